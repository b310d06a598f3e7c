"""Receptive fields: known ones, every operation against where gradients really arrive, and the measured ones."""

import subprocess
import sys

import numpy
import pytest

import minidl
from minidl import autograd, cli, nn
from minidl.inspect import effective_fields, receptive_field
from minidl.inspect.field_plot import field_figure
from minidl.inspect.receptive_field import Fields
from minidl.inspect.trace import trace


def conv(*arguments, **options):
    """A convolution whose gradient is positive wherever it looks."""
    layer = nn.Conv2d(*arguments, **options, bias=False)
    layer.weight.data = numpy.ones_like(layer.weight.data)
    return layer


class Apply(nn.Module):
    """`function` as a layer."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Branches(nn.Module):
    """Several layers side by side, their outputs brought together by `join`."""

    def __init__(self, join, *layers):
        super().__init__()
        self.join = join
        self.layers = nn.ModuleList(layers)

    def forward(self, x):
        return self.join([layer(x) for layer in self.layers])


def concatenate(maps):
    return minidl.cat(maps, dim=1)


def fields_of(model, shape):
    """(size, stride, centre) of the last layer."""
    row = receptive_field(model, shape).rows[-1]
    return row.size, row.stride, row.centre


# ------------------------------------------------------------------------------------------------- known numbers


def test_three_3x3_see_what_one_7x7_sees():
    """The lecture's stack of VGG."""
    assert fields_of(nn.Sequential(conv(1, 1, 3), conv(1, 1, 3), conv(1, 1, 3)), (1, 9, 9)) == ((7, 7), (1, 1), (3, 3))
    assert fields_of(conv(1, 1, 7), (1, 9, 9)) == ((7, 7), (1, 1), (3, 3))


def test_vgg16():
    """212 pixels for pool5, and 6 * 32 more for fc6, which looks at all of its 7x7 positions."""
    layers = []
    for convolutions in (2, 2, 3, 3, 3):
        layers += [conv(1, 1, 3, padding=1) for _ in range(convolutions)] + [nn.MaxPool2d(2)]
    result = receptive_field(nn.Sequential(*layers, nn.Flatten(), nn.Linear(49, 2)), (1, 224, 224))
    sizes = [row.size[0] for row in result.rows]
    assert sizes == [3, 5, 6, 10, 14, 16, 24, 32, 40, 44, 60, 76, 92, 100, 132, 164, 196, 212, 404, 404]
    assert result.rows[17].stride == (32, 32)
    assert result.rows[17].centre == (15.5, 15.5)
    assert result.rows[-1].stride == (0, 0)


def test_rows_and_columns_apart():
    model = nn.Sequential(conv(1, 1, (3, 5), (2, 1), (1, 0), (1, 2)), nn.AvgPool2d((1, 3), (1, 3)))
    # rows: 3 pixels around 0, 2, 4...; columns: 9 pixels from 0, then three windows next to each other
    assert fields_of(model, (1, 16, 40)) == ((3, 11), (2, 3), (0, 5))


def test_the_table():
    text = str(receptive_field(nn.Sequential(conv(1, 2, (3, 1), 2), nn.ReLU()), (1, 9, 9)))
    assert text.splitlines()[2:] == [
        "-----------------------------------------------",
        "0      Conv2d   2x4x5    3x1       2        1x0",
        "1      ReLU     2x4x5    3x1       2        1x0",
    ]


# ------------------------------------------------------------------------- against where the gradient arrives

MODELS = {
    "dilation": lambda: nn.Sequential(conv(1, 1, 3, dilation=2), conv(1, 1, 2, 2, dilation=3)),
    "padding": lambda: nn.Sequential(conv(1, 1, 5, 2, 2), conv(1, 1, (3, 2), padding=1), nn.AvgPool2d(2, 1, 1)),
    "same": lambda: nn.Sequential(conv(1, 1, 4, padding="same"), conv(1, 1, 2, padding="same")),
    "stride above kernel": lambda: nn.Sequential(conv(1, 1, 1, 3), conv(1, 1, 2)),
    "ceil mode": lambda: nn.Sequential(nn.AvgPool2d(3, 2, ceil_mode=True), conv(1, 1, 2)),
    "residual": lambda: Branches(sum, nn.Identity(), nn.Sequential(conv(1, 1, 3, padding=1), conv(1, 1, 3, padding=1))),
    "concatenation": lambda: nn.Sequential(
        Branches(concatenate, conv(1, 1, 1, 2), conv(1, 2, 3, 2, padding=1), conv(1, 1, 5, 2, padding=2)),
        nn.BatchNorm2d(4),
        conv(4, 1, 2),
    ),
    "branches aside": lambda: Branches(sum, conv(1, 1, (1, 3)), Apply(lambda x: x[:, :, :, 2:])),
    "option A": lambda: Branches(sum, Apply(lambda x: x[:, :, ::2, ::2]), conv(1, 1, 3, 2, 1)),
    "reversed slices of rows only": lambda: Apply(lambda x: x[:, :, 3:9:3]),
    "constant border": lambda: nn.Sequential(nn.ZeroPad2d((2, 0, 1, 3)), conv(1, 1, 3)),
    "adaptive pooling": lambda: nn.Sequential(conv(1, 1, 2), nn.AdaptiveAvgPool2d((5, 4))),
    "global pooling": lambda: nn.Sequential(conv(1, 1, 3), nn.AdaptiveAvgPool2d(1), conv(1, 1, 1)),
    "nearest": lambda: nn.Sequential(conv(1, 1, 3, 2), nn.Upsample(scale_factor=2), conv(1, 1, 3)),
    "bilinear": lambda: nn.Sequential(
        nn.AvgPool2d(3), nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False), conv(1, 1, 2)
    ),
    "transposed": lambda: nn.Sequential(conv(1, 1, 3, 2), ones_transposed(4, 2, 1), conv(1, 1, 2)),
    "transposed with holes": lambda: ones_transposed(3, 2, 0, dilation=2),
    "gate": lambda: Branches(lambda maps: maps[0] + maps[1], nn.Identity(), nn.AdaptiveAvgPool2d(1)),
    "stacked": lambda: Branches(lambda maps: minidl.stack(maps).sum(0), conv(1, 1, 3), nn.AvgPool2d((3, 5), 1, (0, 1))),
    "flatten": lambda: nn.Sequential(conv(1, 1, 3, 2), nn.Flatten(), nn.Linear(35, 3)),
    "mean": lambda: nn.Sequential(conv(1, 1, 3), Apply(lambda x: x.mean((2, 3)))),
    "out in place": lambda: Branches(lambda maps: maps[0].add_(maps[1]), conv(1, 1, 1), conv(1, 1, 3, padding=1)),
}


def ones_transposed(*arguments, **options):
    layer = nn.ConvTranspose2d(1, 1, *arguments, **options, bias=False)
    layer.weight.data = numpy.ones_like(layer.weight.data)
    return layer


@pytest.mark.parametrize("name", MODELS)
def test_is_where_the_gradient_arrives(name):
    """Of every unit: exactly for one that sees no border, at most for the others."""
    model = MODELS[name]().double().eval()
    for parameter in model.parameters():
        parameter.data = abs(parameter.data)
    H, W = 15, 12
    image = minidl.ones(1, 1, H, W, dtype=minidl.float64).requires_grad_()
    run = trace(model, image)
    (output,) = run.root.outputs
    field = Fields(run).of(output)
    inside = 0
    for unit in numpy.ndindex(output.shape):
        one = numpy.zeros(output.shape)
        one[unit] = 1
        (gradient,) = autograd.grad(output.tensor, image, minidl.tensor(one), retain_graph=True)
        rows, columns = numpy.nonzero(gradient.data[0, 0])
        for span, index, size, seen in zip(field, unit[-2:], (H, W), (rows, columns), strict=True):
            i = index if len(span) > 1 else 0
            first, last = span.first[i], span.last[i]
            if not len(seen):
                continue
            if first >= 0 and last < size:
                assert (seen.min(), seen.max()) == (first, last)
                inside += 1
            else:
                assert first <= seen.min()
                assert seen.max() <= last
    assert inside > 0
    assert len(field.rows) in (1, output.shape[-2] if len(output.shape) == 4 else 1)


def test_what_does_not_depend_on_the_image_has_no_field():
    class Position(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(numpy.ones((1, 2, 4, 4), numpy.float32))
            self.smooth = nn.Conv2d(2, 1, 3, padding=1)

        def forward(self, x):
            return x + self.smooth(self.table)

    rows = receptive_field(Position(), (1, 4, 4)).rows
    assert [(row.layer, row.type, row.size) for row in rows] == [("", "Add", (1, 1))]


def test_refuses_what_is_no_image():
    with pytest.raises(ValueError, match="expected images"):
        receptive_field(nn.Linear(4, 2), (4,))
    with pytest.raises(TypeError, match="input must be a Tensor, or the shape of one image"):
        receptive_field(nn.Linear(4, 2), "4")
    with pytest.raises(ValueError, match="no layer with several positions"):
        effective_fields(nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), (1, 4, 4))


# ------------------------------------------------------------------------------------------------- the effective field


def test_two_box_filters_make_a_triangle():
    """Without any non-linearity the gradient is the same for all images: each filter is convolved with the other."""
    (field,) = effective_fields(nn.Sequential(conv(1, 1, 3, padding=1), conv(1, 1, 3, padding=1)), (1, 11, 9))
    triangle = numpy.array([1, 2, 3, 2, 1])
    expected = numpy.zeros((11, 9))
    expected[3:8, 2:7] = numpy.outer(triangle, triangle) / 9
    numpy.testing.assert_allclose(field.weight, expected, rtol=1e-6)
    assert field.box == (3, 2, 7, 6)
    assert (field.size, field.centre, field.stride) == ((5, 5), (5, 4), (1, 1))
    # 9 of 81 lie in the middle, 49 of 81 in the inner 3x3
    assert [field.diameter(share) for share in (0.1, 0.12, 0.6, 0.61, 0.95)] == [1, 3, 3, 5, 5]


def test_is_smaller_than_the_theoretical_field():
    minidl.manual_seed(0)
    layers = [layer for _ in range(9) for layer in (nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())]
    (field,) = effective_fields(nn.Sequential(nn.Conv2d(1, 8, 1), *layers), (1, 27, 27))
    assert field.size == (19, 19)
    assert 7 <= field.diameter() <= 15


def test_one_for_each_stride_the_last():
    model = nn.Sequential(conv(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), conv(3, 2, 3), nn.AdaptiveAvgPool2d(1))
    fields = effective_fields(model, (1, 14, 14), samples=2)
    assert [(f.layer, f.type, f.stride, f.output) for f in fields] == [
        ("1", "ReLU", (1, 1), (3, 12, 12)),
        ("3", "Conv2d", (2, 2), (2, 4, 4)),
    ]
    again = effective_fields(model, (1, 14, 14), samples=2)
    assert all((a.weight == b.weight).all() for a, b in zip(fields, again, strict=True))


def test_deep_residual_networks_do_not_explode():
    """Fresh batch norms take statistics first; those that have some keep them, and nothing of it is left behind."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(4)
            self.conv = nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, x):
            return x + 40 * self.conv(self.norm(x))

    minidl.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 1), *(Block() for _ in range(40)))
    before = {name: tensor.data.copy() for name, tensor in model.state_dict().items()}
    (field,) = effective_fields(model, (1, 12, 12), samples=1)
    assert numpy.isfinite(field.weight).all()
    assert field.weight.max() == 1
    for name, tensor in model.state_dict().items():
        numpy.testing.assert_array_equal(tensor.data, before[name])
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


# ----------------------------------------------------------------------------------------------------- the picture


def test_the_picture(tmp_path):
    minidl.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3), nn.Flatten())
    shape = (1, 32, 40)
    figure = field_figure("a title", receptive_field(model, shape), effective_fields(model, shape))
    figure.savefig(tmp_path / "fields.png")
    assert (tmp_path / "fields.png").read_bytes().startswith(b"\x89PNG")
    words = [text.get_text() for axes in figure.get_axes() for text in (axes.title, axes.xaxis.label)]
    assert "0" in words
    assert "Conv2d: 13x17, stride 2\ntheoretical 8\neffective 8" in words


def test_matplotlib_is_not_imported():
    code = "import sys, minidl.inspect; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["receptive-field", "lenet5", "--samples", "2"]) == 0
    output = capsys.readouterr().out
    assert "pool     MaxPool2d    16x5x5     16       4        7.5" in output
    assert "Picture: out/receptive-field-lenet5.png" in output.replace("\\", "/")
    assert (tmp_path / "out" / "receptive-field-lenet5.png").stat().st_size > 10_000
    assert cli.main(["receptive-field", "lenet5", "--samples", "1", "--out", "fields.picture"]) == 1
    assert "cannot write fields.picture" in capsys.readouterr().err
