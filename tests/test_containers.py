"""Sequential, ModuleList, ModuleDict, ParameterList: as PyTorch's, in names, order and what they print."""

from collections import OrderedDict

import pytest

import minidl
from minidl import nn


def keys(module):
    return list(module.state_dict())


def test_sequential_runs_in_order():
    layers = [nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)]
    model = nn.Sequential(*layers)
    x = minidl.ones(4, 2)
    assert model(x).tolist() == layers[2](layers[1](layers[0](x))).tolist()
    assert nn.Sequential()(x) is x
    relu = nn.ReLU()
    assert nn.Sequential(relu, nn.Identity(), relu)(minidl.tensor([-1.0, 1.0])).tolist() == [0.0, 1.0]


def test_sequential_as_a_list():
    model = nn.Sequential(nn.Linear(1, 2), nn.Linear(2, 3), nn.Linear(3, 4))
    assert len(model) == 3 and model[-1] is model[2] and list(model) == [model[0], model[1], model[2]]
    assert isinstance(model[1:], nn.Sequential) and keys(model[1:])[0] == "1.weight"
    assert model[:2][0] is model[0] and len(model[5:]) == 0
    assert model.append(nn.ReLU()) is model and keys(model)[-1] == "2.bias" and len(model) == 4
    model[3] = nn.Linear(4, 5)
    assert keys(model)[-1] == "3.bias"
    model.insert(1, nn.Identity())
    assert [name for name, _ in model.named_children()] == ["0", "1", "2", "3", "4"]
    assert isinstance(model[1], nn.Identity) and model[2].out_features == 3
    del model[0]
    assert [name for name, _ in model.named_children()] == ["0", "1", "2", "3"]
    del model[1:3]
    assert [type(module) for module in model] == [nn.Identity, nn.Linear]
    assert model.pop(0).__class__ is nn.Identity and len(model) == 1
    model.extend([nn.ReLU(), nn.Tanh()])
    assert repr(model[1:]) == "Sequential(\n  (1): ReLU()\n  (2): Tanh()\n)"
    for index in (3, -4):
        with pytest.raises(IndexError, match=f"index {index} is out of range"):
            model[index]
    with pytest.raises(TypeError):
        nn.Sequential(3)
    with pytest.raises(TypeError):
        model["1"]


def test_sequential_says_how_to_add_what_is_no_module():
    with pytest.raises(TypeError, match=r"list is not a Module subclass\n  help: unpack the modules with \*"):
        nn.Sequential([nn.ReLU(), nn.Tanh()])
    with pytest.raises(
        TypeError, match=r"relu is not a Module subclass\n  help: relu is a function; use .*nn.ReLU\(\)"
    ):
        nn.Sequential(nn.functional.relu)
    with pytest.raises(TypeError, match=r"ReLU is not a Module subclass\n  help: .* call it to build one: nn.ReLU\(\)"):
        nn.Sequential(nn.Linear(1, 1), nn.ReLU)


def test_sequential_with_names():
    model = nn.Sequential(OrderedDict([("conv", nn.Conv2d(1, 2, 3)), ("relu", nn.ReLU())]))
    assert keys(model) == ["conv.weight", "conv.bias"] and model.conv is model[0]
    assert keys(model[:1]) == ["conv.weight", "conv.bias"]
    model.append(nn.Linear(2, 2))
    assert keys(model)[-1] == "2.bias"


def test_module_list():
    layers = nn.ModuleList(nn.Linear(i, i + 1) for i in range(1, 4))
    assert len(layers) == 3 and layers[-1].in_features == 3 and layers[0] in layers
    assert isinstance(layers[1:], nn.ModuleList) and keys(layers[1:])[0] == "0.weight"
    layers.append(nn.ReLU())
    layers += [nn.ReLU()]
    layers.insert(0, nn.Identity())
    assert [type(layer).__name__ for layer in layers] == ["Identity", *["Linear"] * 3, "ReLU", "ReLU"]
    assert isinstance(layers.pop(), nn.ReLU) and len(layers) == 5
    layers[0] = nn.Linear(9, 9)
    assert keys(layers)[0] == "0.weight" and layers[0].in_features == 9
    assert len(layers + [nn.ReLU()]) == 6 and len(layers) == 5
    with pytest.raises(NotImplementedError):
        layers(1)
    with pytest.raises(IndexError):
        layers[7]


def test_module_dict():
    layers = nn.ModuleDict({"a": nn.Linear(1, 2), "b": nn.ReLU()})
    assert keys(layers) == ["a.weight", "a.bias"] and layers["a"].out_features == 2
    assert list(layers) == list(layers.keys()) == ["a", "b"] and len(layers) == 2
    assert "a" in layers and "c" not in layers
    layers.update([("c", nn.Tanh()), ("b", nn.Sigmoid())])
    assert [type(layer).__name__ for layer in layers.values()] == ["Linear", "Sigmoid", "Tanh"]
    assert [key for key, _ in layers.items()] == ["a", "b", "c"]
    del layers["a"]
    assert isinstance(layers.pop("c"), nn.Tanh) and list(layers) == ["b"]
    assert list(nn.ModuleDict(layers)) == ["b"] and list(nn.ModuleDict()) == []
    layers.clear()
    assert len(layers) == 0
    with pytest.raises(KeyError):
        layers["a"]
    with pytest.raises(KeyError, match="already exists"):
        layers["keys"] = nn.ReLU()


def test_parameter_list():
    values = nn.ParameterList([minidl.ones(2), nn.Parameter(minidl.zeros(3))])
    assert keys(values) == ["0", "1"] and all(isinstance(value, nn.Parameter) for value in values)
    values.append(minidl.ones(1))
    values[0] = minidl.zeros(4)
    assert [value.shape for value in values] == [(4,), (3,), (1,)] and len(list(values.parameters())) == 3
    with pytest.raises(TypeError):
        values.append(3)


@pytest.mark.torch
def test_reprs_equal_torch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test-torch")

    def build(library, nn):
        block = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Sequential(nn.Tanh(), nn.Identity(5)))
        return [
            nn.Sequential(),
            block,
            block[1:],
            nn.ModuleList(),
            nn.ModuleList([nn.ReLU(), nn.ReLU(), block, nn.ReLU(), *[nn.Sequential(nn.Linear(1, 1))] * 3]),
            nn.ModuleDict({"a": block, "b": nn.ModuleList([nn.ReLU()])}),
            nn.Sequential(nn.ParameterList([library.ones(2, 3), library.zeros(1)]), nn.ParameterList()),
        ]

    for ours, theirs in zip(build(minidl, nn), build(torch, torch.nn), strict=True):
        assert repr(ours) == repr(theirs).replace("torch.float32", "float32")
