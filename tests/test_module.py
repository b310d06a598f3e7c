"""Module: what belongs to it, what it lists, saves and loads, its hooks, and what its errors say."""

import copy
import pickle
from collections import OrderedDict

import numpy
import pytest

import minidl
from minidl.nn.module import Module
from minidl.nn.parameter import Parameter
from minidl.tensor import Tensor


class Scale(Module):
    """y = x * weight + shift, with a buffer `count` that is not saved: small enough to be followed by eye."""

    def __init__(self, size, scale=2.0):
        super().__init__()
        self.size = size
        self.weight = Parameter(numpy.full(size, scale, numpy.float32))
        self.bias = None
        self.register_buffer("shift", Tensor(numpy.zeros(size, numpy.float32)))
        self.register_buffer("count", minidl.tensor(0), persistent=False)

    def forward(self, x):
        return x * self.weight + self.shift

    def extra_repr(self):
        return f"{self.size}"


class Block(Module):
    def __init__(self):
        super().__init__()
        self.first = Scale(3)
        self.second = Scale(3, 5.0)

    def forward(self, x):
        return self.second(self.first(x))


class Net(Module):
    def __init__(self):
        super().__init__()
        self.block = Block()
        self.last = Scale(3)
        self.offset = Parameter(numpy.zeros(3, numpy.float32))

    def forward(self, x):
        return self.last(self.block(x)) + self.offset


NAMES = ["offset", "block.first.weight", "block.second.weight", "last.weight"]


def vector(*values):
    return minidl.tensor(list(values))


# --------------------------------------------------------------------------------------------- Parameter


def test_a_parameter_is_a_leaf_that_requires_a_gradient():
    parameter = Parameter(vector(1.0, 2.0))
    assert parameter.requires_grad and parameter.is_leaf and isinstance(parameter, Tensor)
    assert not Parameter(vector(1.0), requires_grad=False).requires_grad
    assert repr(parameter) == "Parameter containing:\ntensor([1., 2.], requires_grad=True)"
    result = parameter * 2.0
    assert Parameter(result).is_leaf
    with pytest.raises(RuntimeError, match="floating point"):
        Parameter(minidl.tensor([1, 2]))


def test_a_parameter_shares_the_memory_of_its_tensor():
    array = numpy.zeros(2, numpy.float32)
    assert Parameter(array).data is array
    tensor = Tensor(array)
    assert Parameter(tensor).data is array


# ------------------------------------------------------------------------------------- what belongs to it


def test_listings():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == NAMES
    assert next(net.parameters()) is net.offset
    assert [name for name, _ in net.named_parameters(recurse=False)] == ["offset"]
    assert [name for name, _ in net.named_parameters("net", recurse=False)] == ["net.offset"]
    assert [name for name, _ in net.named_children()] == ["block", "last"]
    assert list(net.children()) == [net.block, net.last]
    assert [name for name, _ in net.named_modules()] == ["", "block", "block.first", "block.second", "last"]
    assert list(net.modules())[3] is net.block.second
    assert [name for name, _ in net.last.named_buffers()] == ["shift", "count"]
    assert len(list(net.buffers())) == 6
    assert list(net.state_dict()) == [
        *["offset", "block.first.weight", "block.first.shift", "block.second.weight", "block.second.shift"],
        *["last.weight", "last.shift"],
    ]
    assert list(net.last.state_dict(prefix="x.")) == ["x.weight", "x.shift"]


def test_what_stands_twice_is_listed_once():
    net = Net()
    net.again = net.last
    net.tied = net.offset
    assert [name for name, _ in net.named_parameters()] == NAMES
    assert len(list(net.children())) == 2
    assert "again" not in dict(net.named_modules())
    assert [name for name, _ in net.named_parameters(remove_duplicate=False)][-1] == "again.weight"
    assert "again" in dict(net.named_modules(remove_duplicate=False))
    assert "tied" in net.state_dict() and "again.weight" in net.state_dict()


def test_attributes_can_be_replaced_and_deleted():
    net = Net()
    net.last = Block()
    net.block = None
    del net.offset
    net.extra = Parameter(vector(1.0))
    assert [name for name, _ in net.named_parameters()] == ["extra", "last.first.weight", "last.second.weight"]
    scale = Scale(2)
    scale.weight = None
    scale.shift = None
    assert list(scale.state_dict()) == []
    scale.shift = vector(1.0, 2.0)
    assert list(scale.state_dict()) == ["shift"]
    scale.shift = Parameter(vector(1.0, 2.0))
    assert [name for name, _ in scale.named_parameters()] == ["shift"]
    assert [name for name, _ in scale.named_buffers()] == ["count"]
    del scale.count
    assert not list(scale.buffers())


def test_plain_values_do_not_replace_what_is_registered():
    scale, net = Scale(2), Net()
    with pytest.raises(TypeError, match="cannot assign 'Tensor' as parameter 'weight'"):
        scale.weight = vector(1.0, 2.0)
    with pytest.raises(TypeError, match="cannot assign 'int' as buffer 'shift'"):
        scale.shift = 3
    with pytest.raises(TypeError, match="cannot assign 'function' as child module 'last'"):
        net.last = lambda x: x
    assert isinstance(scale.weight, Parameter)


def test_a_place_that_was_set_to_none_is_kept():
    scale, net = Scale(2), Net()
    scale.weight = None
    with pytest.raises(TypeError, match=r"cannot assign 'Tensor' as parameter 'weight' \(Parameter or None expected\)"):
        scale.weight = vector(1.0, 2.0)
    scale.weight = None
    scale.weight = Parameter(vector(1.0, 2.0))
    net.last = None
    with pytest.raises(TypeError, match="cannot assign 'int' as child module 'last'"):
        net.last = 3
    module = Module()
    module.register_parameter("left_out", None)
    module.add_module("later", None)
    for name in ("left_out", "later"):
        with pytest.raises(TypeError, match="cannot assign"):
            setattr(module, name, vector(1.0))
    module.nothing = None  # an attribute of no kind
    module.nothing = vector(1.0)


def test_what_is_deleted_is_forgotten():
    scale = Scale(2)
    del scale.shift, scale.weight
    scale.shift = scale.weight = vector(1.0, 2.0)
    assert [name for name, _ in scale.named_buffers()] == ["count"]
    scale.shift = 3


def test_registration_checks_names_and_types():
    module = Module()
    module.register_parameter("weight", None)
    assert module.weight is None and not list(module.parameters())
    module.register_parameter("weight", Parameter(vector(1.0)))
    module.add_module("0", Scale(1))
    module.register_module("0", Scale(2))
    module.register_buffer("mean", None)
    module.register_buffer("mean", vector(1.0))
    assert list(module.state_dict()) == ["weight", "mean", "0.weight", "0.shift"]
    for name, error in (("a.b", KeyError), ("", KeyError), (3, TypeError), ("forward", KeyError)):
        with pytest.raises(error):
            module.register_parameter(name, Parameter(vector(1.0)))
        with pytest.raises(error):
            module.register_buffer(name, vector(1.0))
        with pytest.raises(error):
            module.add_module(name, Module())
    with pytest.raises(KeyError, match="attribute 'weight' already exists"):
        module.register_buffer("weight", vector(1.0))
    with pytest.raises(TypeError, match="Parameter or None"):
        module.register_parameter("bias", vector(1.0))
    with pytest.raises(TypeError, match="Tensor or None"):
        module.register_buffer("var", 1.0)
    with pytest.raises(TypeError, match="int is not a Module subclass"):
        module.add_module("x", 3)


def test_assignment_before_init():
    class Early(Module):
        def __init__(self, value):
            self.value = value

    with pytest.raises(AttributeError, match=r"cannot assign parameters before Module.__init__\(\) call") as caught:
        Early(Parameter(vector(1.0)))
    assert "help: write super().__init__() as the first line of Early.__init__" in str(caught.value)
    with pytest.raises(AttributeError, match=r"cannot assign module before Module.__init__\(\) call"):
        Early(Scale(1))


def test_unknown_attributes():
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'x'"):
        _ = Net().x


def test_get():
    net = Net()
    assert net.get_submodule("") is net
    assert net.get_submodule("block.first") is net.block.first
    assert net.get_parameter("block.first.weight") is net.block.first.weight
    assert net.get_parameter("offset") is net.offset
    assert net.get_buffer("last.count") is net.last.count
    for get, target in (
        (net.get_submodule, "block.third"),
        (net.get_submodule, "offset"),
        (net.get_submodule, "offset.x"),
        (net.get_parameter, "last.shift"),
        (net.get_parameter, "last.nothing"),
        (net.get_buffer, "last.weight"),
        (net.get_buffer, "nowhere.weight"),
    ):
        with pytest.raises(AttributeError):
            get(target)


# --------------------------------------------------------------------------------- changes of the whole module


def test_train_and_eval():
    net = Net()
    assert net.training and net.eval() is net
    assert not any(module.training for module in net.modules())
    assert net.train() is net and all(module.training for module in net.modules())
    with pytest.raises(ValueError, match="boolean"):
        net.train("yes")


def test_apply_visits_children_first():
    visited = []
    net = Net()
    assert net.apply(visited.append) is net
    assert visited == [net.block.first, net.block.second, net.block, net.last, net]


def test_requires_grad_and_zero_grad():
    net = Net()
    net(vector(1.0, 2.0, 3.0)).sum().backward()
    assert net.last.weight.grad.tolist() == [10.0, 20.0, 30.0]
    net.zero_grad(set_to_none=False)
    assert net.last.weight.grad.tolist() == [0.0, 0.0, 0.0]
    net.zero_grad()
    assert net.last.weight.grad is None
    assert net.block.requires_grad_(False) is net.block
    net(vector(1.0, 2.0, 3.0)).sum().backward()
    assert net.block.first.weight.grad is None and net.last.weight.grad is not None


def test_to_keeps_the_parameter_objects():
    net = Net()
    before = list(net.parameters())
    net(vector(1.0, 2.0, 3.0)).sum().backward()
    assert net.double() is net
    assert all(a is b for a, b in zip(before, net.parameters(), strict=True))
    assert all(p.dtype == minidl.float64 and p.requires_grad and p.is_leaf for p in net.parameters())
    assert net.last.weight.grad.dtype == minidl.float64
    assert net.last.weight.grad.tolist() == [10.0, 20.0, 30.0]
    assert net.last.shift.dtype == minidl.float64
    assert net.last.count.dtype == minidl.int64, "ints stay as they are"
    net(vector(1.0, 2.0, 3.0).double()).sum().backward()
    assert net.last.weight.grad.tolist() == [20.0, 40.0, 60.0]
    assert net.float().last.weight.dtype == minidl.float32
    assert net.to("cpu", minidl.float64).cpu().last.weight.dtype == minidl.float64
    assert net.to(vector(1.0)).last.weight.dtype == minidl.float32
    with pytest.raises(TypeError, match="floating point"):
        net.to(minidl.int64)


# --------------------------------------------------------------------------------------- saving and restoring


def test_state_dict_shares_memory():
    scale = Scale(2)
    state = scale.state_dict()
    assert isinstance(state, OrderedDict)
    assert state["weight"].data is scale.weight.data and not state["weight"].requires_grad


def test_load_takes_tensors_arrays_and_numbers():
    scale = Scale(2)
    weight, memory = scale.weight, scale.weight.data
    result = scale.load_state_dict({"weight": numpy.array([3.0, 4.0]), "shift": Parameter(vector(1.0, 2.0))})
    assert scale.weight is weight and scale.weight.data is memory and weight.dtype == minidl.float32
    assert weight.tolist() == [3.0, 4.0] and scale.shift.tolist() == [1.0, 2.0]
    assert result.missing_keys == [] and result.unexpected_keys == []
    assert repr(result) == "<All keys matched successfully>"
    scalar = Module()
    scalar.register_buffer("n", minidl.tensor(0))
    scalar.x = Parameter(minidl.tensor(0.5))
    scalar.load_state_dict({"n": 7, "x": numpy.float64(2)})
    assert scalar.n.tolist() == 7 and scalar.x.tolist() == 2.0 and scalar.n.dtype == minidl.int64
    scalar.load_state_dict(scalar.state_dict())
    assert scalar.n.tolist() == 7


def test_load_reports_all_problems_and_loads_nothing():
    net = Net()
    state = {name: value.clone() + 1.0 for name, value in net.state_dict().items()}
    del state["offset"], state["last.shift"]
    state["fc.bias"] = state["fc.weight"] = vector(1.0)
    state["last.weight"] = vector(1.0, 2.0)
    state["block.first.weight"] = "three"
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(state)
    assert str(caught.value) == (
        "Error(s) in loading state_dict for Net:"
        '\n\tMissing key(s) in state_dict: "offset", "last.shift". '
        '\n\tUnexpected key(s) in state_dict: "fc.bias", "fc.weight". '
        '\n\tWhile copying the parameter named "block.first.weight", expected a Tensor, an array or a number '
        "from checkpoint but received <class 'str'>."
        "\n\tsize mismatch for last.weight: copying a param with shape (2,) from checkpoint, "
        "the shape in current model is (3,)."
    )
    assert net.block.second.weight.tolist() == [5.0] * 3, "nothing is loaded"
    with pytest.raises(RuntimeError, match="size mismatch") as caught:
        net.load_state_dict(state, strict=False)
    assert "Missing" not in str(caught.value)
    with pytest.raises(TypeError, match="dict-like"):
        net.load_state_dict([1, 2])


def test_load_refuses_floats_for_ints():
    module = Module()
    module.register_buffer("n", minidl.tensor(0))
    with pytest.raises(RuntimeError, match=r"dtype mismatch for n: .* float64 .* int64"):
        module.load_state_dict({"n": 1.5})
    assert module.n.tolist() == 0


def test_load_not_strict():
    net = Net()
    result = net.load_state_dict({"last.weight": vector(7.0, 8.0, 9.0), "fc": vector(1.0)}, strict=False)
    assert net.last.weight.tolist() == [7.0, 8.0, 9.0]
    assert "offset" in result.missing_keys and result.unexpected_keys == ["fc"]
    missing, unexpected = result
    assert repr(result) == f"_IncompatibleKeys(missing_keys={missing}, unexpected_keys={unexpected})"


def test_a_change_by_loading_is_seen_by_backward():
    scale = Scale(2)
    y = (vector(1.0, 2.0).requires_grad_() * scale.weight).sum()
    scale.load_state_dict({"weight": [1.0, 1.0], "shift": [0.0, 0.0]})
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_deepcopy_and_pickle(copied):
    net = Net()
    net.tied = net.last
    net(vector(1.0, 2.0, 3.0)).sum().backward()
    twin = copied(net)
    assert repr(twin) == repr(net) and twin.tied is twin.last
    assert list(twin.state_dict()) == list(net.state_dict())
    assert twin.last.weight.data is not net.last.weight.data
    assert all(p.grad is None and p.requires_grad and type(p) is Parameter for p in twin.parameters())
    old = net.last.weight.grad.clone()
    (twin(vector(1.0, 2.0, 3.0)) * 2.0).sum().backward()
    assert twin.last.weight.grad.tolist() == [20.0, 40.0, 60.0]
    assert net.last.weight.grad.tolist() == old.tolist(), "the copy has gradients of its own"


def test_deepcopy_keeps_what_is_frozen():
    assert not copy.deepcopy(Scale(2).requires_grad_(False)).weight.requires_grad


# ------------------------------------------------------------------------------------------------------ hooks


def test_forward_hooks():
    scale, seen = Scale(2), []
    x = vector(1.0, 2.0)
    first = scale.register_forward_pre_hook(lambda module, inputs: seen.append((module, inputs)))
    second = scale.register_forward_hook(lambda module, inputs, output: seen.append((module, inputs, output)))
    y = scale(x)
    assert seen[0] == (scale, (x,)) and seen[1][:2] == (scale, (x,)) and seen[1][2] is y
    first.remove()
    with second:
        scale(x)
    assert len(seen) == 3
    assert scale(x).tolist() == [2.0, 4.0] and len(seen) == 3


def test_forward_hooks_replace():
    scale = Scale(2)
    scale.register_forward_pre_hook(lambda module, inputs: inputs[0] + 1.0)
    scale.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 10.0,))
    scale.register_forward_hook(lambda module, inputs, output: output - 0.5)
    assert scale(vector(1.0, 2.0)).tolist() == [39.5, 59.5]


def test_full_backward_hook():
    net, seen = Net(), []
    handle = net.last.register_full_backward_hook(lambda *args: seen.append(args))
    x = vector(1.0, 2.0, 3.0).requires_grad_()
    (net(x) * 3.0).sum().backward()
    ((module, grad_input, grad_output),) = seen
    assert module is net.last
    assert [g.tolist() for g in grad_input] == [[6.0] * 3] and [g.tolist() for g in grad_output] == [[3.0] * 3]
    assert x.grad.tolist() == [60.0] * 3
    handle.remove()
    net(x).sum().backward()
    assert len(seen) == 1


def test_full_backward_hook_replaces_the_gradient():
    net = Net()
    net.last.register_full_backward_hook(lambda module, grad_input, grad_output: (grad_input[0] * 100.0,))
    x = vector(1.0, 2.0, 3.0).requires_grad_()
    net(x).sum().backward()
    assert x.grad.tolist() == [2000.0] * 3 and net.last.weight.grad.tolist() == [10.0, 20.0, 30.0]
    net.last.register_full_backward_hook(lambda module, grad_input, grad_output: (grad_input[0], None))
    with pytest.raises(RuntimeError, match="got 2, but expected 1"):
        net(x).sum().backward()


def test_full_backward_hook_of_several_inputs_and_outputs():
    class Cross(Module):
        def forward(self, a, b, flag):
            return a * b, b * 2.0, flag

    cross, seen = Cross(), []
    cross.register_full_backward_hook(lambda *args: seen.append(args[1:]))
    a, b = vector(1.0, 2.0).requires_grad_(), vector(3.0, 4.0).requires_grad_()
    product, double, flag = cross(a, b, True)
    (product + double).sum().backward()
    ((grad_input, grad_output),) = seen
    assert flag is True
    assert grad_input[0].tolist() == [3.0, 4.0] and grad_input[1].tolist() == [3.0, 4.0] and grad_input[2] is None
    assert grad_output[0].tolist() == [1.0, 1.0] and grad_output[1].tolist() == [1.0, 1.0] and grad_output[2] is None


def test_full_backward_hook_without_an_input_that_requires_a_gradient():
    scale, seen = Scale(2), []
    scale.register_full_backward_hook(lambda *args: seen.append(args[1:]))
    scale(vector(1.0, 2.0)).sum().backward()
    ((grad_input, grad_output),) = seen
    assert grad_input == (None,) and grad_output[0].tolist() == [1.0, 1.0]
    with minidl.no_grad():
        scale(vector(1.0, 2.0))


@pytest.mark.torch
def test_full_backward_hooks_equal_torch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test-torch")

    def run(library, module):
        class Layer(module):
            def __init__(self):
                super().__init__()
                self.child = Inner()

            def forward(self, x, scale):
                return self.child(x * scale)

        class Inner(module):
            def forward(self, x):
                return x * x

        seen = []
        layer = Layer()
        layer.register_full_backward_hook(lambda m, gi, go: seen.append(("outer", gi, go)))
        layer.child.register_full_backward_hook(lambda m, gi, go: seen.append(("inner", gi, go)) or (gi[0] * 2.0,))
        x = library.tensor([1.0, 2.0], requires_grad=True)
        layer(x, 3.0).sum().backward()
        grads = [(name, *[[g if g is None else g.tolist() for g in gs] for gs in both]) for name, *both in seen]
        return grads, x.grad.tolist()

    assert run(minidl, Module) == run(torch, torch.nn.Module)


# ------------------------------------------------------------------------------------------ where an error arose


class Fails(Module):
    def forward(self, x):
        raise RuntimeError("this layer fails")

    def extra_repr(self):
        return "64, 192"


def notes_of(module):
    with pytest.raises(RuntimeError) as caught:
        module(vector(1.0, 2.0, 3.0))
    return caught.value.__notes__


def test_an_error_names_the_module_from_the_outermost():
    net = Net()
    net.block.second = Fails()
    assert notes_of(net) == ["in module block.second of Net: Fails(64, 192)"]
    assert notes_of(net.block) == ["in module second of Block: Fails(64, 192)"]
    assert notes_of(net.block.second) == ["in module Fails(64, 192)"]


def test_an_error_in_a_forward_that_has_children():
    net = Net()
    net.block.first = Scale(2)  # too small
    net.block.second = net.block.first
    with pytest.raises(RuntimeError, match="broadcast") as caught:
        net(vector(1.0, 2.0, 3.0))
    assert caught.value.__notes__ == ["in module block.first of Net: Scale(2)"]

    class Wrong(Net):
        def forward(self, x):
            return self.last(x) + vector(1.0, 2.0)

    assert notes_of(Wrong()) == ["in module Wrong()"]


def test_an_error_in_extra_repr_does_not_hide_the_other():
    class Unfinished(Fails):
        def extra_repr(self):
            return f"{self.missing}"

    assert notes_of(Unfinished()) == ["in module Unfinished"]


def test_an_error_in_a_module_that_is_not_registered():
    class Hidden(Module):
        def __init__(self):
            super().__init__()
            self.layers = [Fails()]

        def forward(self, x):
            return self.layers[0](x)

    assert notes_of(Hidden()) == ["in module Fails(64, 192)"]


def test_a_module_without_forward():
    with pytest.raises(NotImplementedError, match=r'Module \[Module\] is missing the required "forward" function'):
        Module()(1)


# --------------------------------------------------------------------------------------------------- in words


def test_repr():
    assert repr(Scale(3)) == "Scale(3)"
    assert repr(Module()) == "Module()"
    assert repr(Net()) == (
        "Net(\n  (block): Block(\n    (first): Scale(3)\n    (second): Scale(3)\n  )\n  (last): Scale(3)\n)"
    )
