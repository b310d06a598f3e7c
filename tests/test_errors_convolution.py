"""What conv2d, conv_transpose2d, unfold and fold refuse, in which class, in which words; and what they accept."""

import numpy
import pytest

import minidl
import minidl.nn.functional as F
from minidl import ops
from minidl.ops.im2col import col2im, im2col, input_size, output_size


def zeros(*shape, **options):
    return minidl.zeros(shape, **options)


IMAGE, WEIGHT = zeros(2, 4, 5, 6), zeros(6, 4, 3, 3)

CONV2D = {
    "channels": ((zeros(2, 3, 5, 6), WEIGHT), {}, RuntimeError, ["expected input to have 4 channels, but got 3"]),
    "channels in groups": ((IMAGE, zeros(6, 1, 3, 3)), {"groups": 2}, RuntimeError, ["groups=2", "to have 2 channels"]),
    "groups do not divide": ((IMAGE, WEIGHT), {"groups": 4}, RuntimeError, ["divisible by 4", "multiples of groups"]),
    "no groups": ((IMAGE, WEIGHT), {"groups": 0}, RuntimeError, ["non-positive groups"]),
    "groups no int": ((IMAGE, WEIGHT), {"groups": 1.0}, TypeError, ["groups must be an int"]),
    "bias size": (
        (IMAGE, WEIGHT, zeros(4)),
        {},
        RuntimeError,
        ["bias to be 1-dimensional with 6 elements", "float32 (4,)"],
    ),
    "bias dimensions": ((IMAGE, WEIGHT, zeros(6, 1)), {}, RuntimeError, ["bias to be 1-dimensional"]),
    "kernel too large": (
        (IMAGE, zeros(6, 4, 6, 3)),
        {},
        RuntimeError,
        ["Kernel size can't be greater", "6 x 3", "5 x 6"],
    ),
    "dilated too large": ((IMAGE, WEIGHT), {"dilation": (3, 1)}, RuntimeError, ["7 x 3 with dilation"]),
    "empty image": ((zeros(2, 4, 0, 6), WEIGHT), {"padding": 2}, RuntimeError, ["Output size is too small"]),
    "matrix": ((zeros(5, 6), WEIGHT), {}, RuntimeError, ["3D (unbatched) or 4D (batched)", "unsqueeze"]),
    "weight dimensions": ((IMAGE, zeros(6, 4, 3)), {}, RuntimeError, ["weight must be (F, C / groups, KH, KW)"]),
    "empty kernel": ((IMAGE, zeros(6, 4, 0, 3)), {}, RuntimeError, ["weight must be"]),
    "no filters": ((IMAGE, zeros(0, 4, 3, 3)), {}, RuntimeError, ["weight must be"]),
    "dtypes": (
        (IMAGE.double(), WEIGHT),
        {},
        RuntimeError,
        ["same dtype", "float64 (2, 4, 5, 6)", "float32 (6, 4, 3, 3)"],
    ),
    "bias dtype": ((IMAGE, WEIGHT, zeros(6).double()), {}, RuntimeError, ["same dtype", "bias"]),
    "integers": ((IMAGE.long(), WEIGHT.long()), {}, RuntimeError, ["input must be floating point"]),
    "array": ((IMAGE.numpy(), WEIGHT), {}, TypeError, ["'input' must be Tensor", "from_numpy"]),
    "stride 0": ((IMAGE, WEIGHT), {"stride": 0}, (RuntimeError, ValueError), ["stride"]),
    "stride no int": ((IMAGE, WEIGHT), {"stride": 1.5}, TypeError, ["stride must be an int or a pair"]),
    "dilation 0": ((IMAGE, WEIGHT), {"dilation": 0}, (RuntimeError, ValueError), ["dilation"]),
    "negative padding": ((IMAGE, WEIGHT), {"padding": -1}, (RuntimeError, ValueError), ["padding"]),
    "same with stride": ((IMAGE, WEIGHT), {"padding": "same", "stride": 2}, RuntimeError, ["strided convolutions"]),
    "padding word": ((IMAGE, WEIGHT), {"padding": "full"}, RuntimeError, ["Invalid padding string: 'full'"]),
}

TRANSPOSED = zeros(4, 3, 3, 3)
CONV_TRANSPOSE2D = {
    "channels": (
        (zeros(2, 3, 5, 6), TRANSPOSED),
        {},
        RuntimeError,
        ["to have 4 channels, but got 3", "(C, F / groups"],
    ),
    "groups do not divide": ((IMAGE, TRANSPOSED), {"groups": 3}, RuntimeError, ["divisible by 3"]),
    "bias size": ((IMAGE, TRANSPOSED, zeros(3)), {"groups": 2}, RuntimeError, ["with 6 elements"]),
    "output padding": (
        (IMAGE, TRANSPOSED),
        {"output_padding": 1},
        RuntimeError,
        ["smaller than either stride or dilation"],
    ),
    "negative output padding": (
        (IMAGE, TRANSPOSED),
        {"output_padding": -1},
        (RuntimeError, ValueError),
        ["output_padding"],
    ),
    "nothing left": ((IMAGE, TRANSPOSED), {"padding": 4}, RuntimeError, ["output size is too small", "(-1, 0)"]),
    "padding word": ((IMAGE, TRANSPOSED), {"padding": "same"}, TypeError, ["padding must be an int or a pair"]),
    "dtypes": ((IMAGE, TRANSPOSED.double()), {}, RuntimeError, ["same dtype"]),
}

UNFOLD = {
    "kernel too large": ((IMAGE, 6), {}, RuntimeError, ["Kernel size can't be greater"]),
    "kernel 0": ((IMAGE, 0), {}, (RuntimeError, ValueError), ["kernel_size"]),
    "integers": ((IMAGE.long(), 2), {}, RuntimeError, ["floating point"]),
    "dimensions": ((zeros(5, 6), 2), {}, RuntimeError, ["3D (unbatched) or 4D (batched)"]),
}

FOLD = {
    "rows": ((zeros(2, 11, 16), 5, 2), {}, RuntimeError, ["multiple of KH * KW = 4", "there are 11"]),
    "columns": ((zeros(2, 12, 15), 5, 2), {}, RuntimeError, ["4 x 4 windows", "15 columns"]),
    "too small": ((zeros(2, 12, 0), 1, 2), {}, RuntimeError, ["0 x 0 windows"]),
    "dimensions": ((zeros(1, 2, 12, 16), 5, 2), {}, RuntimeError, ["2D (unbatched) or 3D (batched)"]),
    "integers": ((zeros(2, 12, 16).long(), 5, 2), {}, RuntimeError, ["floating point"]),
}

CASES = [
    pytest.param(verb, *case, id=f"{verb}: {name}")
    for verb, cases in (("conv2d", CONV2D), ("conv_transpose2d", CONV_TRANSPOSE2D), ("unfold", UNFOLD), ("fold", FOLD))
    for name, case in cases.items()
]


@pytest.mark.parametrize(("verb", "args", "options", "error", "words"), CASES)
def test_refused(verb, args, options, error, words):
    with pytest.raises(error) as caught:
        getattr(F, verb)(*args, **options)
    message = str(caught.value)
    assert message.startswith(f"{verb}(): ")
    for word in words:
        assert word in message


def test_an_error_names_every_operand():
    with pytest.raises(RuntimeError) as caught:
        F.conv2d(zeros(2, 3, 5, 6), WEIGHT, zeros(6), groups=2)
    assert str(caught.value) == (
        "conv2d(): Given groups=2, weight of size (6, 4, 3, 3), expected input to have 8 channels, "
        "but got 3 channels instead\n"
        "  input:  float32 (2, 3, 5, 6) on cpu\n"
        "  weight: float32 (6, 4, 3, 3) on cpu\n"
        "  bias:   float32 (6,) on cpu\n"
        "  groups: 2\n"
        "  help: weight is (F, C / groups, KH, KW); the layer needs in_channels=3, or its input 8 channels"
    )


@pytest.mark.parametrize(
    ("shape", "channels", "help"),
    [
        ((2, 8, 9, 3), 3, "channels last: x.permute(0, 3, 1, 2)"),
        ((8, 9, 3), 3, "channels last: x.permute(2, 0, 1)"),
        ((2, 8, 9), 1, "no dimension of channels: x.unsqueeze(1)"),
        ((2, 8, 9, 4), 3, "the layer needs in_channels=8"),
    ],
)
def test_images_in_another_layout(shape, channels, help):
    with pytest.raises(RuntimeError) as caught:
        F.conv2d(zeros(*shape), zeros(6, channels, 3, 3))
    assert help in str(caught.value)
    if "x." in help:  # what the help says is right
        x = zeros(*shape)
        assert F.conv2d(eval(help.partition(": ")[2], {"x": x}), zeros(6, channels, 3, 3)).shape[-3] == 6


def test_an_empty_batch_is_accepted():
    x = zeros(0, 4, 5, 6, requires_grad=True)
    weight = zeros(6, 4, 3, 3, requires_grad=True)
    y = F.conv2d(x, weight, zeros(6))
    assert y.shape == (0, 6, 3, 4)
    y.sum().backward()
    assert x.grad.shape == (0, 4, 5, 6)
    assert not weight.grad.numpy().any()
    assert F.conv_transpose2d(x, TRANSPOSED).shape == (0, 3, 7, 8)
    assert F.unfold(x, 2).shape == (0, 16, 20)


@pytest.mark.parametrize("needed", [(True, False, False), (False, True, False), (False, False, True)])
@pytest.mark.parametrize("verb", ["conv2d", "conv_transpose2d"])
def test_only_what_is_needed_is_saved_and_computed(verb, needed):
    rng = numpy.random.default_rng(0)
    arrays = [rng.standard_normal(shape) for shape in ((2, 3, 4, 5), (3, 3, 2, 2), (3,))]
    y = getattr(F, verb)(*(minidl.tensor(a, requires_grad=need) for a, need in zip(arrays, needed, strict=True)))
    node = y.grad_fn
    x, weight = node.saved_tensors
    assert [x is not None, weight is not None] == [needed[1], needed[0]]
    gradients = node.backward(rng.standard_normal(y.shape))
    assert [g is not None for g in gradients] == list(needed)


def test_a_1x1_convolution_copies_no_columns():
    x = numpy.ones((2, 3, 4, 5))
    geometry = (1, 1), ((0, 0), (0, 0)), (1, 1)
    columns = im2col(x, (1, 1), *geometry)
    assert numpy.shares_memory(columns, x)
    assert numpy.shares_memory(col2im(columns, (4, 5), *geometry), x)


def test_col2im_is_the_adjoint_of_im2col():
    """<im2col(x), columns> = <x, col2im(columns)>, also where the padding differs on each side."""
    rng = numpy.random.default_rng(0)
    geometry = (2, 1), ((1, 0), (2, 3)), (1, 2)
    x = rng.standard_normal((2, 3, 5, 6))
    columns = im2col(x, (2, 3), *geometry)
    other = rng.standard_normal(columns.shape)
    assert numpy.isclose((columns * other).sum(), (x * col2im(other, (5, 6), *geometry)).sum())


@pytest.mark.parametrize("count", [(1, 1), (2, 3), (4, 2)])
def test_input_size_reverses_output_size(count):
    geometry = (3, 2), (2, 3), ((1, 0), (2, 1)), (1, 2)
    size = input_size(count, *geometry)
    assert output_size(size, *geometry) == count
    assert output_size((size[0] - 1, size[1]), *geometry)[0] == count[0] - 1


def test_unfold_and_fold_of_ones_count_the_windows():
    ones = numpy.ones((1, 1, 3, 3))
    y = F.fold(F.unfold(minidl.from_numpy(ones), 2), 3, 2)
    assert y.tolist() == [[[[1, 2, 1], [2, 4, 2], [1, 2, 1]]]]
    assert y.grad_fn is None
    assert isinstance(F.unfold(minidl.tensor(ones, requires_grad=True), 2).grad_fn, ops.Unfold)
