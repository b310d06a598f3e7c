"""The summary of a network: the lecture's table of VGG, every column by hand, and a model that is left as it was."""

import csv
import io
import json

import numpy
import pytest

import minidl
import minidl.nn.functional as F
from architectures.googlenet import googlenet
from architectures.vgg import vgg16
from minidl import cli, nn, ops
from minidl.inspect import summary
from minidl.tensor import apply
from tests.architectures.weights import blank

FLOAT = 4  # bytes


class Net(nn.Module):
    """Operations in forward, a layer that is called twice, and a container below it."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.scale = nn.Parameter(numpy.ones((3, 1, 1), numpy.float32))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(48, 5))

    def forward(self, x):
        x = F.relu(self.conv(x))
        x = x + self.conv(x) * self.scale
        return self.head(x)


def cells(result, *names):
    return [tuple(getattr(row, name) for name in names) for row in result.rows]


# ---------------------------------------------------------------------------------------------------- the lecture


def test_vgg16_is_the_lectures_table():
    """Its columns "memory" (numbers in the output) and "params" (without biases), line by line, and its totals."""
    result = summary(blank(vgg16), (3, 224, 224))
    rows = [row for row in result.rows if row.type in ("", "Conv2d", "MaxPool2d", "Linear")]
    table = [(row.outputs[0][1:], row.forward // FLOAT, row.parameters - row.biases) for row in rows]
    assert table == [
        ((3, 224, 224), 150_528, 0),
        ((64, 224, 224), 3_211_264, 1_728),
        ((64, 224, 224), 3_211_264, 36_864),
        ((64, 112, 112), 802_816, 0),
        ((128, 112, 112), 1_605_632, 73_728),
        ((128, 112, 112), 1_605_632, 147_456),
        ((128, 56, 56), 401_408, 0),
        ((256, 56, 56), 802_816, 294_912),
        ((256, 56, 56), 802_816, 589_824),
        ((256, 56, 56), 802_816, 589_824),
        ((256, 28, 28), 200_704, 0),
        ((512, 28, 28), 401_408, 1_179_648),
        ((512, 28, 28), 401_408, 2_359_296),
        ((512, 28, 28), 401_408, 2_359_296),
        ((512, 14, 14), 100_352, 0),
        ((512, 14, 14), 100_352, 2_359_296),
        ((512, 14, 14), 100_352, 2_359_296),
        ((512, 14, 14), 100_352, 2_359_296),
        ((512, 7, 7), 25_088, 0),
        ((4096,), 4_096, 102_760_448),
        ((4096,), 4_096, 16_777_216),
        ((1000,), 1_000, 4_096_000),
    ]
    # The lecture's total, 24M numbers or 96 MB, is not the sum of its column, which is this:
    assert sum(numbers for _, numbers, _ in table) == 15_237_608
    average = 25_088  # torchvision's adaptive pooling before the first linear layer, which copies its 7x7 maps
    assert (result.totals.forward - result.totals.in_place) // FLOAT == 15_237_608 + average
    assert result.totals.parameters == 138_357_544
    assert result.totals.parameters - result.totals.biases == 138_344_128
    assert result.totals.multiply_adds == 15_470_264_320
    assert [row.receptive_field for row in rows if row.type == "MaxPool2d"][-1] == (212, 212)
    last = rows[-1]
    assert last.parameter_share == pytest.approx(4_097_000 / 138_357_544)
    assert last.multiply_add_share == pytest.approx(4_096_000 / 15_470_264_320)


def test_googlenet_in_training_has_three_outputs():
    model = blank(googlenet)
    result = summary(model, (3, 224, 224), depth=1)
    assert result.totals.parameters == 13_378_280
    assert result.totals.unused == 0
    assert {row.layer for row in result.rows} >= {"aux1", "aux2", "fc", "inception5b"}
    at_test_time = summary(model.eval(), (3, 224, 224), depth=1)
    assert at_test_time.totals.parameters - at_test_time.totals.unused == 6_998_552
    assert "6,379,728 took no part in this run" in str(at_test_time)


# ------------------------------------------------------------------------------------------------------ multiply-adds


def count_by_hand(positions, weight):
    """Every product of a pixel and a weight, one by one; pixels of the padding are multiplied as well."""
    count = 0
    for _ in numpy.ndindex(positions):
        for _ in numpy.ndindex(weight.shape):
            count += 1
    return count


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("stride, padding", [(1, 0), (2, 1)])
def test_convolutions_count(groups, stride, padding):
    x = minidl.ones(2, 4, 5, 7)
    layer = nn.Conv2d(4, 6, (3, 2), stride, padding, groups=groups)
    N, _, OH, OW = layer(x).shape
    assert summary(layer, x).totals.multiply_adds == count_by_hand((N, OH, OW), layer.weight)
    layer = nn.ConvTranspose2d(4, 6, (3, 2), stride, padding, groups=groups)
    assert summary(layer, x).totals.multiply_adds == count_by_hand((2, 5, 7), layer.weight)


def test_products_count():
    assert summary(nn.Linear(7, 5), minidl.ones(2, 3, 7)).totals.multiply_adds == 2 * 3 * 7 * 5
    for a, b, count in [
        ((2, 3), (3, 4), 2 * 3 * 4),
        ((5, 2, 3), (3, 4), 5 * 2 * 3 * 4),
        ((3,), (3, 4), 3 * 4),
        ((2, 3), (3,), 2 * 3),
        ((3,), (3,), 3),
    ]:
        assert apply_and_count(ops.MatMul, minidl.ones(*a), minidl.ones(*b)) == count
    assert apply_and_count(ops.Add, minidl.ones(3), minidl.ones(3)) == 0


def apply_and_count(operation, *inputs):
    nodes = []
    with minidl.events.listening(lambda node, inputs, outputs: nodes.append(node)):
        apply(operation, *inputs)
    return sum(node.multiply_adds for node in nodes)


# --------------------------------------------------------------------------------------------------- rows and columns


def test_operations_outside_layers_belong_to_the_module_that_calls_them():
    result = summary(Net(), (3, 4, 4))
    assert cells(result, "layer", "type", "outputs", "kernel", "parameters", "shared") == [
        ("input", "", ((1, 3, 4, 4),), "", 0, 0),
        ("conv", "Conv2d", ((1, 3, 4, 4),), "3x3", 84, 0),
        ("", "ReLU", ((1, 3, 4, 4),), "", 0, 0),
        ("conv", "Conv2d", ((1, 3, 4, 4),), "3x3", 0, 84),
        ("", "Mul", ((1, 3, 4, 4),), "", 3, 0),
        ("", "Add", ((1, 3, 4, 4),), "", 0, 0),
        ("head.0", "Flatten", ((1, 48),), "", 0, 0),
        ("head.1", "Linear", ((1, 5),), "", 245, 0),
    ]
    assert result.totals.parameters == 84 + 3 + 245
    assert result.totals.multiply_adds == 2 * 3 * 3 * 9 * 16 + 48 * 5
    assert sum(row.parameter_share for row in result.rows) == pytest.approx(1)
    assert sum(row.multiply_add_share for row in result.rows) == pytest.approx(1)


def test_depth_folds():
    result = summary(nn.Sequential(Net()), (3, 4, 4))
    one, two = (summary(nn.Sequential(Net()), (3, 4, 4), depth=depth) for depth in (1, 2))
    assert cells(one, "layer", "type", "parameters") == [("input", "", 0), ("0", "Net", 332)]
    assert [row.layer for row in two.rows] == ["input", "0.conv", "0", "0.conv", "0", "0", "0.head"]
    assert one.totals == two.totals == result.totals
    assert one.rows[1].outputs == result.rows[-1].outputs
    with pytest.raises(ValueError, match="depth must be at least 1"):
        summary(Net(), (3, 4, 4), depth=0)


def test_memory_is_that_of_outputs_and_of_what_is_kept():
    """Each memory once: what ReLU saves, its output, is what the next layer saves as its input."""
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 5))
    result = summary(model, minidl.ones(1, 3, 6, 6))
    maps = 2 * 4 * 4 * FLOAT
    assert cells(result, "type", "forward", "in_place", "backward") == [
        ("", 108 * FLOAT, 0, 0),
        ("Conv2d", maps, 0, 108 * FLOAT),
        ("ReLU", maps, maps, maps),
        ("MaxPool2d", maps // 4, 0, 8),  # a byte for each window
        ("Flatten", 0, 0, 0),  # a view
        ("Linear", 5 * FLOAT, 0, maps // 4),
    ]
    frozen = summary(model.requires_grad_(False), minidl.ones(1, 3, 6, 6))
    assert frozen.totals.backward == 0
    assert frozen.totals.trainable == 0
    assert frozen.totals.parameters == result.totals.parameters


def test_memory_of_dropped_branches_is_not_kept():
    class Dropped(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            self.second(x).exp()
            return self.first(x)

    assert cells(summary(Dropped(), (4,)), "type", "backward") == [
        ("", 0),
        ("Linear", 0),
        ("Exp", 0),
        ("Linear", 4 * FLOAT),
    ]


def test_layers_without_operations_and_in_place():
    model = nn.Sequential(nn.Dropout(), nn.Identity(), nn.Conv2d(1, 1, 1), nn.ReLU(inplace=True)).eval()
    result = summary(model, (1, 3, 3))
    assert cells(result, "type", "forward", "receptive_field") == [
        ("", 9 * FLOAT, None),
        ("Dropout", 0, (1, 1)),
        ("Identity", 0, (1, 1)),
        ("Conv2d", 9 * FLOAT, (1, 1)),
        ("ReLU", 0, (1, 1)),  # into the memory of its input
    ]


def test_outputs_of_any_structure():
    class Heads(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(4, 2), nn.Linear(4, 3)

        def forward(self, x):
            return {"scores": self.one(x), "boxes": [self.two(x), x]}

    result = summary(nn.Sequential(Heads()), minidl.ones(2, 4), depth=1)
    assert result.rows[1].outputs == ((2, 2), (2, 3), (2, 4))
    assert result.rows[1].backward == 8 * FLOAT
    assert "2 +2" in str(result)
    assert "for 2 images" in str(result)


def test_a_single_layer_and_other_dtypes():
    result = summary(nn.Conv2d(1, 1, 3).double(), (1, 3, 3))
    assert [row.layer for row in result.rows] == ["input", ""]
    assert result.rows[0].forward == 9 * 8
    assert "(Conv2d)  Conv2d" in str(result)


def test_refuses_other_inputs():
    for wrong in (3, "3,4,4", (3, 4.0, 4), (0, 3, 3), ()):
        with pytest.raises(TypeError, match="input must be a Tensor, or the shape of one image"):
            summary(Net(), wrong)


# ----------------------------------------------------------------------------------------------- the model afterwards


class Stateful(nn.Module):
    """A forward that changes everything a forward can change."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.drop = nn.Dropout()
        self.layer = nn.Conv2d(3, 3, 1)
        self.calls = 0
        self.register_buffer("mean", minidl.zeros(1))

    def forward(self, x):
        x.mul_(2)
        self.calls += 1
        self.mean = self.mean + 1
        return self.layer(self.drop(self.norm(x)))


def test_nothing_is_changed():
    model = Stateful()
    model.drop.eval()
    model.layer.weight.requires_grad_(False)
    model(minidl.ones(2, 3, 4, 4)).sum().backward()
    seen = []
    model.norm.register_forward_hook(lambda module, inputs, output: seen.append(output))
    image = minidl.rand(2, 3, 4, 4)

    attributes = {module: dict(vars(module)) for module in model.modules()}
    arrays = {name: (tensor.data, tensor.data.copy()) for name, tensor in model.state_dict().items()}
    pixels = image.data.copy()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    state = minidl.default_generator.get_state()

    for run in (lambda: summary(model, image), lambda: summary(model, (3, 4, 4)), lambda: fails(model)):
        run()
        assert {module: vars(module) for module in model.modules()} == attributes
        for name, tensor in model.state_dict().items():
            array, copy = arrays[name]
            assert numpy.shares_memory(tensor.data, array)
            numpy.testing.assert_array_equal(array, copy)
        assert {name: parameter.grad for name, parameter in model.named_parameters()} == gradients
        assert [parameter.requires_grad for parameter in model.parameters()] == [True, True, False, True]
        assert minidl.default_generator.get_state() == state
        numpy.testing.assert_array_equal(image.data, pixels)
    assert [len(hooks) for hooks in model.norm._hooks.values()] == [0, 1, 0]
    assert len(seen) == 3
    assert not minidl.events.observers


def fails(model):
    """A run that stops in the middle leaves nothing behind either."""
    with pytest.raises(RuntimeError, match="conv2d"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(model.layer, "stride", 0)
        summary(model, (3, 4, 4))


# -------------------------------------------------------------------------------------------------------- as text


TABLE = """\
                                                                       memory  kept for  receptive    % of   % of
layer   type     input     output  kernel  parameters  multiply-adds  forward  backward      field  params  madds
-----------------------------------------------------------------------------------------------------------------
input                      3x4x4                    -              -    192 B         -          -       -      -
conv    Conv2d   3x4x4     3x4x4   3x3             84          1,296    192 B     192 B          3   25.3%  45.8%
(Net)   ReLU     3x4x4     3x4x4                    -              -    192 B     192 B          3       -      -
conv    Conv2d   3x4x4     3x4x4   3x3       (shared)          1,296    192 B         -          5       -  45.8%
(Net)   Mul      3x4x4 +1  3x4x4                    3              -    192 B     192 B          5    0.9%      -
(Net)   Add      3x4x4 +1  3x4x4                    -              -    192 B         -          5       -      -
head.0  Flatten  3x4x4     48                       -              -        -         -          8       -      -
head.1  Linear   48        5                      245            240     20 B     192 B          8   73.8%   8.5%
-----------------------------------------------------------------------------------------------------------------
total                                             332          2,832   1.2 kB     768 B

332 parameters, 8 of them biases
2,832 multiply-adds
forward memory 1.2 kB for 1 image; 980 B if activations and dropout work in place
"""


def test_table():
    assert str(summary(Net(), (3, 4, 4))) + "\n" == TABLE


def test_csv_json_and_markdown():
    result = summary(Net(), (3, 4, 4))
    rows = list(csv.DictReader(io.StringIO(result.to_csv())))
    assert len(rows) == len(result.rows)
    assert rows[1]["layer"] == "conv"
    assert rows[1]["outputs"] == "1x3x4x4"
    assert rows[5]["inputs"] == "1x3x4x4 1x3x4x4"
    assert rows[1]["receptive_field"] == "3x3"
    for name in ("parameters", "multiply_adds", "forward", "backward"):
        assert sum(int(row[name]) for row in rows) == getattr(result.totals, name)

    data = json.loads(result.to_json())
    assert data["totals"]["parameters"] == 332
    assert data["rows"][1]["outputs"] == [[1, 3, 4, 4]]
    assert data["input"] == [1, 3, 4, 4]

    lines = result.to_markdown().splitlines()
    assert {line.count("|") for line in lines[:11]} == {13}
    assert lines[1].startswith("| --- | --- |")
    assert lines[3].startswith("| conv | Conv2d | 3x4x4 | 3x4x4 | 3x3 | 84 | 1,296 |")
    assert lines[10].startswith("| **total** |  |  |  |  | **332** |")


# ----------------------------------------------------------------------------------------------------- the command


def test_command(capsys):
    assert cli.main(["summary", "lenet5"]) == 0
    output = capsys.readouterr().out
    assert "conv2    Conv2d     6x14x14   16x10x10  5x5          2,416        240,000" in output
    assert "61,706 parameters, 236 of them biases" in output
    assert cli.main(["summary", "lenet5", "--input", "3,32,32", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["input"] == [1, 3, 32, 32]
    assert cli.main(["summary", "squeezenet1_1", "--input", "3,64,64", "--depth", "1", "--format", "csv"]) == 0
    assert capsys.readouterr().out.startswith("layer,type,inputs,outputs,kernel,parameters,")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["resnet51"], "there is no network 'resnet51'; did you mean resnet56 or resnet50"),
        (["xyz"], "there is no network 'xyz'; `minidl nets` lists all names"),
        (["alexnet", "--input", "3,32,32"], "alexnet cannot read an image of 3x32x32: max_pool2d()"),
    ],
)
def test_command_explains(arguments, words, capsys):
    assert cli.main(["summary", *arguments]) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("shape", ["3,224", "3,224,0", "a,b,c", "-1,2,3"])
def test_command_refuses_a_shape(shape, capsys):
    with pytest.raises(SystemExit):
        cli.main(["summary", "lenet5", f"--input={shape}"])
    assert "must be three ints C,H,W" in capsys.readouterr().err
