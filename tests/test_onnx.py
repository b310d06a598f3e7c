"""ONNX files: every operation that has a form there and whole networks, checked with onnx and run by onnxruntime."""

import numpy
import pytest

import architectures
import minidl
import minidl.nn.functional as F
from architectures.alexnet import AlexNetOWT
from minidl import nn, ops
from minidl.onnx.operations import CONVERTERS
from minidl.serialization.protobuf import fields
from tests.architectures.weights import spread
from tests.op_samples import SAMPLES
from tests.op_samples.running import Call, flat

NO_FORM = {  # operations without a converter; the list says so when it grows
    *(ops.BinaryCrossEntropy, ops.BinaryCrossEntropyWithLogits, ops.CrossEntropy, ops.KLDiv, ops.L1Loss, ops.MSELoss),
    *(ops.NLLLoss, ops.SmoothL1Loss, ops.SoftCrossEntropy, ops.Dropout),  # for training
    *(ops.CumSum, ops.Max, ops.Min, ops.Std, ops.Var, ops.SetItem, ops.Fold, ops.Unfold),
    *(ops.InterpolateLinear, ops.InterpolateNearest),
}


def session(path):
    """The network of the file, in onnxruntime, after onnx has checked it."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed: make test-onnx")
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: make test-onnx")
    onnx.checker.check_model(str(path), full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def outputs_of(path, *inputs):
    running = session(path)
    return running.run(None, dict(zip([each.name for each in running.get_inputs()], inputs, strict=True)))


def assert_same(model, images, path):
    model.eval()
    with minidl.no_grad():
        expected = flat(model(minidl.tensor(images)))
    actual = outputs_of(path, images)
    for one, other in zip(actual, expected, strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        numpy.testing.assert_allclose(one, other.numpy(), rtol=1e-4, atol=1e-4 * max(1, abs(other.numpy()).max()))
    return expected


# ---------------------------------------------------------------------------------------------------- the operations


class OneOperation(nn.Module):
    """A sample of tests/op_samples, of which the first input comes from the file's input."""

    def __init__(self, sample):
        super().__init__()
        self.call = Call(sample, "float32")

    def forward(self, images):
        result = self.call(images[0], *self.call.inputs[1:])
        return result if isinstance(result, minidl.Tensor) else tuple(flat(result))


def has_form(sample):
    return sample.op in CONVERTERS and not sample.seeded and "training" not in sample.options


@pytest.mark.onnx
@pytest.mark.parametrize("sample", [sample for sample in SAMPLES if has_form(sample)], ids=str)
def test_an_operation(sample, tmp_path):
    model = OneOperation(sample)
    if not model.call.inputs:
        pytest.skip("has no input of floats")
    first = model.call.inputs[0].detach().numpy()
    try:
        minidl.onnx.export(model, minidl.tensor(first[None]), tmp_path / "one.onnx")
    except ValueError as error:
        assert "has no form in ONNX: " in str(error)
        pytest.skip(str(error).splitlines()[0])
    assert_same(model, first[None], tmp_path / "one.onnx")


@pytest.mark.onnx
def test_every_converter_is_tried(tmp_path):
    """At least one sample of each operation can be written; the others must say why not."""
    written = set()
    for sample in SAMPLES:
        model = OneOperation(sample) if has_form(sample) else None
        if model is not None and model.call.inputs:
            try:
                minidl.onnx.export(model, model.call.inputs[0].detach().unsqueeze(0), tmp_path / "one.onnx")
                written.add(sample.op)
            except ValueError:
                continue
    assert set(CONVERTERS) - written <= {ops.Transfer, ops.Cast}  # of which there are no samples
    everything = {each for each in vars(ops).values() if isinstance(each, type) and issubclass(each, minidl.Function)}
    assert everything - set(CONVERTERS) == NO_FORM


@pytest.mark.onnx
def test_other_element_types(tmp_path):
    model = Does(lambda x: minidl.where((x.double() > 0.1), x.double() * 3, -1.0).float() + x)
    with pytest.raises(ValueError, match="differs between two batches"):  # comparisons are not recorded
        minidl.onnx.export(model, minidl.zeros(1, 3), tmp_path / "x.onnx")
    model = Does(lambda x: (x.double() * 3).float() + x)
    minidl.onnx.export(model, minidl.zeros(1, 3), tmp_path / "x.onnx")
    assert_same(model, numpy.array([[1, 2, 3]], numpy.float32), tmp_path / "x.onnx")


# -------------------------------------------------------------------------------------------------------- the networks

SMALL = {  # what its file has that no other has
    "lenet5": (1, 32, 32),
    "lenet5_1998": (1, 32, 32),  # indices, constants worked out from weights
    "nin_cifar": (3, 32, 32),  # pooling with ceil_mode
    "resnet20": (3, 32, 32),  # strided slices, padded channels
    "preact_resnet110": (3, 32, 32),
    "densenet40_12": (3, 32, 32),  # concatenations
    "resnet110_stochastic_depth": (3, 32, 32),  # numbers
    "squeezenet1_1": (3, 64, 64),
}


@pytest.mark.onnx
@pytest.mark.parametrize("name", SMALL)
def test_a_network(name, tmp_path):
    pytest.importorskip("onnx", reason="onnx is not installed: make test-onnx")
    path = tmp_path / f"{name}.onnx"
    model = getattr(architectures, name)()
    model.train()
    before = [each.training for each in model.modules()]
    state = {key: value.numpy().copy() for key, value in model.state_dict().items()}
    minidl.onnx.export(model, minidl.randn(1, *SMALL[name]), path)
    assert [each.training for each in model.modules()] == before
    assert all((value.numpy() == state[key]).all() for key, value in model.state_dict().items())
    images = numpy.random.default_rng(0).standard_normal((3, *SMALL[name])).astype("float32")
    assert_same(model, images, path)  # for another batch than the one it was written with


@pytest.mark.onnx
def test_alexnet_thin(tmp_path):
    """Adaptive pooling of 4x4 pixels to 6x6, in windows of two sizes."""
    model = AlexNetOWT(maps=(8, 12, 16, 12, 8), hidden=20)
    minidl.onnx.export(spread(model), minidl.zeros(2, 3, 159, 159), tmp_path / "alexnet.onnx")
    images = numpy.random.default_rng(0).standard_normal((3, 3, 159, 159)).astype("float32")
    assert_same(model, images, tmp_path / "alexnet.onnx")


@pytest.mark.onnx
def test_googlenet_thin(tmp_path):
    """Local response norm, pooling beyond the image; its heads are for training, and left out."""
    model = architectures.googlenet(aux=False)
    minidl.onnx.export(spread(model), minidl.zeros(2, 3, 64, 64), tmp_path / "googlenet.onnx")
    assert_same(
        model,
        numpy.random.default_rng(0).standard_normal((1, 3, 64, 64)).astype("float32"),
        tmp_path / "googlenet.onnx",
    )


@pytest.mark.onnx
def test_names_sizes_and_weights(tmp_path):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed: make test-onnx")
    model = architectures.lenet5()
    minidl.onnx.export(
        model, minidl.zeros(5, 1, 32, 32), tmp_path / "a.onnx", input_names=["image"], output_names=["scores"]
    )
    graph = onnx.load(tmp_path / "a.onnx").graph
    [image], [scores] = graph.input, graph.output
    assert (image.name, scores.name, graph.name) == ("image", "scores", "LeNet5")
    dims = image.type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in dims] == ["batch", 1, 32, 32]
    stored = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    assert (stored["conv1.weight"] == model.conv1.weight.detach().numpy()).all()
    assert set(model.state_dict()) <= set(stored)


class Several(nn.Module):
    """Two outputs, a value that is used twice, a change in place, a weight that is used twice, and a constant."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.register_buffer("shift", minidl.tensor([1.0, 2.0, 3.0]))

    def forward(self, x):
        y = self.fc(self.fc(x))
        y += (self.shift * 2).sum()
        z = F.relu(y)
        z[:, 0].shape  # noqa: B018
        y = y.relu_() - z
        return {"a": y}["a"] + 1, z.reshape(-1, 3, 1).expand(-1, 3, 4).permute(2, 0, 1)


@pytest.mark.onnx
def test_two_outputs(tmp_path):
    model = Several()
    minidl.onnx.export(model, minidl.zeros(2, 3), tmp_path / "two.onnx")
    images = numpy.random.default_rng(0).standard_normal((5, 3)).astype("float32")
    first, second = assert_same(model, images, tmp_path / "two.onnx")
    assert second.shape == (4, 5, 3)
    running = session(tmp_path / "two.onnx")
    assert [each.name for each in running.get_outputs()] == ["output_1", "output_2"]
    assert first.shape == (5, 3)


# ------------------------------------------------------------------------------------------- what cannot be written


class Does(nn.Module):
    """What a function does."""

    def __init__(self, function):
        super().__init__()
        self.inner = nn.Identity()
        self.function = function

    def forward(self, x):
        return self.function(self.inner(x))


def one_hot(x):
    return x * minidl.eye(3)[x.argmax(dim=1)]


def by_sign(x):
    return x + 1 if x.sum().item() > 1e-3 else x * 2


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: x.var(dim=1), "Var in the forward of the model has no form in ONNX: there is no operation for it"),
        (lambda x: F.local_response_norm(x[:, :, None], 2), "LocalResponseNorm in .*: an even size, here 2"),
        (one_hot, "Does does something with the images that is no recorded operation"),
        (by_sign, "takes another path for other images"),
        (lambda x: x + float(x.sum().item()), "a number in Add of forward differs"),
        (lambda x: minidl.cat([x, minidl.ones(x.shape[0], 1)], 1), "differs between two batches"),
        (lambda x: x.reshape(x.shape[0] * 3)[: x.shape[0] * 2], "depends on the size of the batch"),
        (lambda x: F.pad(x[None], (1, 1), mode="circular"), "has no mode 'circular'"),
    ],
)
def test_no_form(function, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        minidl.onnx.export(Does(function), minidl.zeros(1, 3), tmp_path / "no.onnx")
    assert not list(tmp_path.iterdir())


def test_the_place_is_named(tmp_path):
    class Inner(nn.Module):
        def forward(self, x):
            return x.std(dim=1)

    with pytest.raises(ValueError, match=r"Std in module 1\.0 has no form"):
        minidl.onnx.export(nn.Sequential(nn.ReLU(), nn.Sequential(Inner())), minidl.zeros(1, 3), tmp_path / "no.onnx")


def test_wrong_arguments(tmp_path):
    model = nn.ReLU()
    for args in ((), [1, 2], (minidl.zeros(1), minidl.zeros(1)), minidl.tensor(1.0)):
        with pytest.raises(TypeError, match=r"takes a Module and its input, one Tensor with a batch dimension"):
            minidl.onnx.export(model, args, tmp_path / "x.onnx")
    with pytest.raises(ValueError, match="the model has 1 input, not 2"):
        minidl.onnx.export(model, minidl.zeros(1, 2), tmp_path / "x.onnx", input_names=["a", "b"])
    with pytest.raises(ValueError, match="must return a Tensor, or a tuple or list of Tensors"):
        minidl.onnx.export(Does(lambda x: {"scores": x}), minidl.zeros(1, 2), tmp_path / "x.onnx")
    with pytest.raises(ValueError, match="the model has 1 outputs, not 2"):
        minidl.onnx.export(model, minidl.zeros(1, 2), tmp_path / "x.onnx", output_names=["a", "b"])


def test_the_file_without_onnx(tmp_path):
    """Its outermost fields, read by our own reader: the format's version, who wrote it, the graph, the opset."""
    minidl.onnx.export(nn.Linear(3, 2), (minidl.zeros(1, 3),), tmp_path / "x.onnx")
    message = {number: value for number, _, value in fields(memoryview((tmp_path / "x.onnx").read_bytes()))}
    assert (message[1], bytes(message[2])) == (8, b"minidl")
    assert {number: value for number, _, value in fields(message[8])}[2] == 18
    graph = [(number, value) for number, _, value in fields(message[7])]
    kinds = [{n: v for n, _, v in fields(value)}[4] for number, value in graph if number == 1]
    assert [bytes(kind) for kind in kinds] == [b"Gemm", b"Identity"]
