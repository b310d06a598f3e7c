"""Every layer: the same as its function, and (where PyTorch is installed) the same as PyTorch's layer of that name.

One table: how a layer is made (with minidl.nn or torch.nn), the shape of its input, and what function it calls.
"""

import math

import numpy
import pytest

import minidl
from minidl import nn
from minidl.nn import functional

LAYERS = {
    "Linear": (lambda nn: nn.Linear(4, 3), (2, 4), lambda F, m, x: F.linear(x, m.weight, m.bias)),
    "Linear-3d": (lambda nn: nn.Linear(4, 3, bias=False), (2, 5, 4), lambda F, m, x: F.linear(x, m.weight)),
    "Conv2d": (lambda nn: nn.Conv2d(2, 3, 3), (2, 2, 5, 6), lambda F, m, x: F.conv2d(x, m.weight, m.bias)),
    "Conv2d-all": (
        lambda nn: nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2, bias=False),
        (2, 4, 5, 6),
        lambda F, m, x: F.conv2d(x, m.weight, None, (2, 1), (1, 2), (1, 2), 2),
    ),
    "Conv2d-unbatched": (lambda nn: nn.Conv2d(2, 3, 3), (2, 5, 6), lambda F, m, x: F.conv2d(x, m.weight, m.bias)),
    "Conv2d-same": (
        lambda nn: nn.Conv2d(2, 3, (2, 3), padding="same"),
        (1, 2, 5, 6),
        lambda F, m, x: F.conv2d(x, m.weight, m.bias, padding="same"),
    ),
    "Conv2d-valid": (
        lambda nn: nn.Conv2d(2, 3, 2, padding="valid"),
        (1, 2, 4, 5),
        lambda F, m, x: F.conv2d(x, m.weight, m.bias),
    ),
    "Conv2d-reflect": (
        lambda nn: nn.Conv2d(2, 3, 3, padding=(1, 2), padding_mode="reflect"),
        (1, 2, 4, 5),
        lambda F, m, x: F.conv2d(F.pad(x, (2, 2, 1, 1), "reflect"), m.weight, m.bias),
    ),
    "Conv2d-replicate": (
        lambda nn: nn.Conv2d(2, 3, (2, 3), padding="same", padding_mode="replicate"),
        (1, 2, 4, 5),
        lambda F, m, x: F.conv2d(F.pad(x, (1, 1, 0, 1), "replicate"), m.weight, m.bias),
    ),
    "Conv2d-circular": (
        lambda nn: nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"),
        (1, 2, 4, 5),
        lambda F, m, x: F.conv2d(F.pad(x, (1, 1, 1, 1), "circular"), m.weight, m.bias),
    ),
    "ConvTranspose2d": (
        lambda nn: nn.ConvTranspose2d(2, 3, 3),
        (2, 2, 3, 4),
        lambda F, m, x: F.conv_transpose2d(x, m.weight, m.bias),
    ),
    "ConvTranspose2d-all": (
        lambda nn: nn.ConvTranspose2d(4, 6, (3, 2), (2, 3), (1, 0), (1, 2), 2, False, (2, 1)),
        (2, 4, 3, 4),
        lambda F, m, x: F.conv_transpose2d(x, m.weight, None, (2, 3), (1, 0), (1, 2), 2, (2, 1)),
    ),
    "Unfold": (lambda nn: nn.Unfold((2, 3), stride=2), (2, 3, 4, 7), lambda F, m, x: F.unfold(x, (2, 3), stride=2)),
    "Fold": (
        lambda nn: nn.Fold((4, 5), (2, 2), padding=1),
        (2, 12, 30),
        lambda F, m, x: F.fold(x, (4, 5), (2, 2), padding=1),
    ),
    "MaxPool2d": (lambda nn: nn.MaxPool2d(2), (2, 3, 5, 4), lambda F, m, x: F.max_pool2d(x, 2)),
    "MaxPool2d-all": (
        lambda nn: nn.MaxPool2d((3, 2), (2, 1), (1, 0), (1, 2), ceil_mode=True),
        (2, 3, 6, 7),
        lambda F, m, x: F.max_pool2d(x, (3, 2), (2, 1), (1, 0), (1, 2), ceil_mode=True),
    ),
    "AvgPool2d": (
        lambda nn: nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        (2, 3, 5, 6),
        lambda F, m, x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    ),
    "AdaptiveAvgPool2d": (
        lambda nn: nn.AdaptiveAvgPool2d((2, None)),
        (2, 3, 5, 4),
        lambda F, m, x: F.adaptive_avg_pool2d(x, (2, None)),
    ),
    "AdaptiveMaxPool2d": (
        lambda nn: nn.AdaptiveMaxPool2d(2),
        (2, 3, 5, 4),
        lambda F, m, x: F.adaptive_max_pool2d(x, 2),
    ),
    "LocalResponseNorm": (
        lambda nn: nn.LocalResponseNorm(3, alpha=1.0, k=2.0),
        (2, 5, 2, 3),
        lambda F, m, x: F.local_response_norm(x, 3, 1.0, 0.75, 2.0),
    ),
    "BatchNorm1d": (
        lambda nn: nn.BatchNorm1d(3),
        (4, 3),
        lambda F, m, x: F.batch_norm(x, None, None, m.weight, m.bias, True),
    ),
    "BatchNorm2d": (
        lambda nn: nn.BatchNorm2d(3, eps=0.1, momentum=0.3),
        (2, 3, 4, 5),
        lambda F, m, x: F.batch_norm(x, None, None, m.weight, m.bias, True, eps=0.1),
    ),
    "BatchNorm2d-cumulative": (
        lambda nn: nn.BatchNorm2d(3, momentum=None, affine=False),
        (2, 3, 4, 5),
        lambda F, m, x: F.batch_norm(x, None, None, training=True),
    ),
    "BatchNorm2d-untracked": (
        lambda nn: nn.BatchNorm2d(3, track_running_stats=False, bias=False),
        (2, 3, 4, 5),
        lambda F, m, x: F.batch_norm(x, None, None, m.weight, None, True),
    ),
    "InstanceNorm1d": (
        lambda nn: nn.InstanceNorm1d(3, affine=True),
        (2, 3, 4),
        lambda F, m, x: F.instance_norm(x, weight=m.weight, bias=m.bias),
    ),
    "InstanceNorm2d": (lambda nn: nn.InstanceNorm2d(3), (2, 3, 4, 5), lambda F, m, x: F.instance_norm(x)),
    "InstanceNorm2d-tracked": (
        lambda nn: nn.InstanceNorm2d(3, track_running_stats=True),
        (3, 4, 5),
        lambda F, m, x: F.instance_norm(x.unsqueeze(0)).squeeze(0),
    ),
    "LayerNorm": (
        lambda nn: nn.LayerNorm([3, 4], eps=0.1),
        (2, 3, 4),
        lambda F, m, x: F.layer_norm(x, (3, 4), m.weight, m.bias, 0.1),
    ),
    "LayerNorm-no-bias": (
        lambda nn: nn.LayerNorm(4, bias=False),
        (2, 3, 4),
        lambda F, m, x: F.layer_norm(x, (4,), m.weight),
    ),
    "LayerNorm-plain": (
        lambda nn: nn.LayerNorm(4, elementwise_affine=False),
        (2, 3, 4),
        lambda F, m, x: F.layer_norm(x, (4,)),
    ),
    "GroupNorm": (
        lambda nn: nn.GroupNorm(2, 4),
        (2, 4, 3, 2),
        lambda F, m, x: F.group_norm(x, 2, m.weight, m.bias),
    ),
    "GroupNorm-plain": (
        lambda nn: nn.GroupNorm(2, 4, affine=False),
        (2, 4, 3, 2),
        lambda F, m, x: F.group_norm(x, 2),
    ),
    "ReLU": (lambda nn: nn.ReLU(), (3, 4), lambda F, m, x: F.relu(x)),
    "ReLU6": (lambda nn: nn.ReLU6(), (3, 4), lambda F, m, x: F.relu6(x)),
    "LeakyReLU": (lambda nn: nn.LeakyReLU(0.2), (3, 4), lambda F, m, x: F.leaky_relu(x, 0.2)),
    "ELU": (lambda nn: nn.ELU(0.5), (3, 4), lambda F, m, x: F.elu(x, 0.5)),
    "SELU": (lambda nn: nn.SELU(), (3, 4), lambda F, m, x: F.selu(x)),
    "GELU": (lambda nn: nn.GELU(), (3, 4), lambda F, m, x: F.gelu(x)),
    "GELU-tanh": (lambda nn: nn.GELU("tanh"), (3, 4), lambda F, m, x: F.gelu(x, approximate="tanh")),
    "SiLU": (lambda nn: nn.SiLU(), (3, 4), lambda F, m, x: F.silu(x)),
    "Softplus": (lambda nn: nn.Softplus(2.0), (3, 4), lambda F, m, x: F.softplus(x, 2.0)),
    "Sigmoid": (lambda nn: nn.Sigmoid(), (3, 4), lambda F, m, x: F.sigmoid(x)),
    "Tanh": (lambda nn: nn.Tanh(), (3, 4), lambda F, m, x: F.tanh(x)),
    "Hardtanh": (lambda nn: nn.Hardtanh(-0.5, 0.7), (3, 4), lambda F, m, x: F.hardtanh(x, -0.5, 0.7)),
    "Hardsigmoid": (lambda nn: nn.Hardsigmoid(), (3, 4), lambda F, m, x: F.hardsigmoid(x)),
    "Hardswish": (lambda nn: nn.Hardswish(), (3, 4), lambda F, m, x: F.hardswish(x)),
    "Softmax": (lambda nn: nn.Softmax(dim=1), (3, 4), lambda F, m, x: F.softmax(x, 1)),
    "LogSoftmax": (lambda nn: nn.LogSoftmax(-2), (3, 4), lambda F, m, x: F.log_softmax(x, -2)),
    "Upsample": (lambda nn: nn.Upsample(scale_factor=2), (2, 3, 2, 3), lambda F, m, x: F.interpolate(x, None, 2.0)),
    "Upsample-size": (
        lambda nn: nn.Upsample((5, 4), mode="bilinear", align_corners=True),
        (2, 3, 2, 3),
        lambda F, m, x: F.interpolate(x, (5, 4), mode="bilinear", align_corners=True),
    ),
    "Upsample-factors": (
        lambda nn: nn.Upsample(scale_factor=(2, 3), mode="bilinear"),
        (2, 3, 2, 3),
        lambda F, m, x: F.interpolate(x, scale_factor=(2, 3), mode="bilinear"),
    ),
    "PixelShuffle": (lambda nn: nn.PixelShuffle(2), (2, 8, 2, 3), lambda F, m, x: F.pixel_shuffle(x, 2)),
    "PixelUnshuffle": (lambda nn: nn.PixelUnshuffle(2), (2, 2, 4, 6), lambda F, m, x: F.pixel_unshuffle(x, 2)),
    "Flatten": (lambda nn: nn.Flatten(), (2, 3, 4), lambda F, m, x: x.reshape(2, 12)),
    "Flatten-first": (lambda nn: nn.Flatten(0, 1), (2, 3, 4), lambda F, m, x: x.reshape(6, 4)),
    "Unflatten": (lambda nn: nn.Unflatten(1, (2, 3)), (4, 6), lambda F, m, x: x.reshape(4, 2, 3)),
    "Unflatten-last": (lambda nn: nn.Unflatten(-1, (3, -1)), (4, 6), lambda F, m, x: x.reshape(4, 3, 2)),
    "ZeroPad2d": (lambda nn: nn.ZeroPad2d((1, 2, 0, 3)), (2, 3, 4), lambda F, m, x: F.pad(x, (1, 2, 0, 3))),
    "ConstantPad2d": (lambda nn: nn.ConstantPad2d(1, 3.5), (2, 3, 4), lambda F, m, x: F.pad(x, (1,) * 4, value=3.5)),
    "ReflectionPad2d": (
        lambda nn: nn.ReflectionPad2d((1, 2, 0, 1)),
        (1, 2, 3, 4),
        lambda F, m, x: F.pad(x, (1, 2, 0, 1), "reflect"),
    ),
    "ReplicationPad2d": (
        lambda nn: nn.ReplicationPad2d(2),
        (1, 2, 3, 4),
        lambda F, m, x: F.pad(x, (2,) * 4, "replicate"),
    ),
    "Identity": (lambda nn: nn.Identity(54, unused=True), (3, 4), lambda F, m, x: x),
    "Dropout-0": (lambda nn: nn.Dropout(0.0), (3, 4), lambda F, m, x: x),
    "Dropout1d-0": (lambda nn: nn.Dropout1d(0), (2, 3, 4), lambda F, m, x: x),
    "Dropout2d-1": (lambda nn: nn.Dropout2d(1), (2, 3, 4, 5), lambda F, m, x: x * 0.0),
}

INTO = numpy.random.default_rng(3)
SCORES, CLASSES = INTO.standard_normal((4, 3)), numpy.array([0, 2, 1, 2])
OTHER, SHARES = INTO.standard_normal((4, 3)), INTO.uniform(0.1, 0.9, (4, 3))
WEIGHT = numpy.array([1.0, 2.0, 0.5])

# How a loss is made, the input and the target, and what function it calls.
LOSSES = {
    "CrossEntropyLoss": (lambda nn, w: nn.CrossEntropyLoss(), SCORES, CLASSES, "cross_entropy", {}),
    "CrossEntropyLoss-all": (
        lambda nn, w: nn.CrossEntropyLoss(w, ignore_index=2, label_smoothing=0.1, reduction="sum"),
        *(SCORES, CLASSES, "cross_entropy", {"ignore_index": 2, "label_smoothing": 0.1, "reduction": "sum"}),
    ),
    "NLLLoss": (lambda nn, w: nn.NLLLoss(w, reduction="none"), SCORES, CLASSES, "nll_loss", {"reduction": "none"}),
    "BCELoss": (lambda nn, w: nn.BCELoss(), SHARES, 1 - SHARES, "binary_cross_entropy", {}),
    "BCELoss-weight": (lambda nn, w: nn.BCELoss(w), SHARES, 1 - SHARES, "binary_cross_entropy", {}),
    "BCEWithLogitsLoss": (lambda nn, w: nn.BCEWithLogitsLoss(), SCORES, SHARES, "binary_cross_entropy_with_logits", {}),
    "BCEWithLogitsLoss-all": (
        lambda nn, w: nn.BCEWithLogitsLoss(w, pos_weight=w),
        *(SCORES, SHARES, "binary_cross_entropy_with_logits", {"pos_weight": WEIGHT}),
    ),
    "KLDivLoss": (
        lambda nn, w: nn.KLDivLoss(reduction="batchmean", log_target=True),
        *(SCORES, OTHER, "kl_div", {"reduction": "batchmean", "log_target": True}),
    ),
    "MSELoss": (lambda nn, w: nn.MSELoss(), SCORES, OTHER, "mse_loss", {}),
    "L1Loss": (lambda nn, w: nn.L1Loss(reduction="sum"), SCORES, OTHER, "l1_loss", {"reduction": "sum"}),
    "SmoothL1Loss": (lambda nn, w: nn.SmoothL1Loss(beta=0.5), SCORES, OTHER, "smooth_l1_loss", {"beta": 0.5}),
    "HuberLoss": (
        lambda nn, w: nn.HuberLoss("sum", 0.5),
        SCORES,
        OTHER,
        "huber_loss",
        {"reduction": "sum", "delta": 0.5},
    ),
}


def torch_or_skip():
    return pytest.importorskip("torch", reason="PyTorch is not installed: make test-torch")


def filled(layer, seed=1):
    """The layer in float64, its parameters and statistics set to draws."""
    rng = numpy.random.default_rng(seed)
    layer.double()
    state = {name: rng.uniform(0.5, 1.5, value.shape) for name, value in layer.state_dict().items()}
    layer.load_state_dict({name: 3 if name == "num_batches_tracked" else value for name, value in state.items()})
    return layer


def draws(shape):
    return numpy.random.default_rng(2).standard_normal(shape)


# ---------------------------------------------------------------------------------------------- without PyTorch


@pytest.mark.parametrize("name", LAYERS)
def test_layer_equals_function(name):
    make, shape, call = LAYERS[name]
    layer = filled(make(nn))
    x = minidl.from_numpy(draws(shape))
    expected = call(functional, layer, x).detach().numpy()
    # Not to the last bit: the tracked instance norm is ops.BatchNorm, the function without statistics ops.GroupNorm.
    numpy.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", LOSSES)
def test_loss_equals_function(name):
    make, x, target, verb, options = LOSSES[name]
    loss = make(nn, minidl.tensor(WEIGHT))
    if getattr(loss, "weight", None) is not None:
        options = {**options, "weight": loss.weight}
    options = {key: minidl.tensor(v) if isinstance(v, numpy.ndarray) else v for key, v in options.items()}
    x, target = minidl.tensor(x), minidl.tensor(target)
    expected = getattr(functional, verb)(x, target, **options)
    numpy.testing.assert_array_equal(loss(x, target).numpy(), expected.numpy())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, "mean"),
        ({"reduction": "none"}, "none"),
        ({"size_average": False}, "sum"),
        ({"size_average": True}, "mean"),
        ({"reduce": True}, "mean"),
        ({"reduce": False, "size_average": True}, "none"),
        ({"reduce": True, "size_average": False, "reduction": "none"}, "sum"),
    ],
)
def test_older_spelling_of_reduction(arguments, expected):
    assert nn.MSELoss(**arguments).reduction == nn.CrossEntropyLoss(**arguments).reduction == expected


def test_weights_of_a_loss_are_saved_with_it():
    weight = minidl.tensor([1.0, 2.0])
    assert list(nn.CrossEntropyLoss(weight).state_dict()) == ["weight"]
    assert list(nn.BCEWithLogitsLoss(weight, pos_weight=weight).state_dict()) == ["weight", "pos_weight"]
    assert not list(nn.CrossEntropyLoss(weight).parameters()) and not nn.CrossEntropyLoss().state_dict()


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), nn.Dropout1d(0.5), nn.Dropout2d(0.5)])
def test_dropout_acts_in_training_only(layer):
    x = minidl.ones((4, 50, 6) if isinstance(layer, nn.Dropout1d) else (4, 50, 3, 2))
    minidl.manual_seed(0)
    y = layer.train()(x)
    assert set(y.data.ravel().tolist()) == {0.0, 2.0} and abs(y.mean().item() - 1) < 0.3
    if type(layer) is not nn.Dropout:
        assert (y.data == y.data[:, :, :1, ...]).all(), "a channel is dropped as a whole"
    assert layer.eval()(x) is x
    minidl.manual_seed(0)
    assert (layer.train()(x).data == y.data).all()


def test_in_place_layers_write_into_their_input():
    for layer in (
        nn.ReLU(True),
        nn.ReLU6(True),
        nn.LeakyReLU(0.1, True),
        nn.ELU(inplace=True),
        nn.Hardtanh(inplace=True),
    ):
        x = minidl.tensor([-1.0, 2.0])
        expected = type(layer)()(minidl.tensor([-1.0, 2.0]))
        assert layer(x) is x
        if not isinstance(layer, nn.LeakyReLU):
            assert x.tolist() == expected.tolist()


def test_initial_weights_of_linear_and_convolution():
    minidl.manual_seed(0)
    for layer, fan_in in (
        (nn.Linear(50, 400), 50),
        (nn.Conv2d(8, 60, (3, 2), groups=2), 24),
        (nn.ConvTranspose2d(100, 16, 3, groups=2), 72),
    ):
        bound = 1 / math.sqrt(fan_in)
        for parameter in (layer.weight, layer.bias):
            values = parameter.data
            assert values.dtype == numpy.float32 and abs(values).max() <= bound
            assert abs(values).max() > 0.85 * bound and abs(values.mean()) < 0.3 * bound
        assert abs(layer.weight.data.std() / (bound / math.sqrt(3)) - 1) < 0.05
        before = layer.weight.data.copy()
        layer.reset_parameters()
        assert (layer.weight.data != before).any()


def test_one_seed_gives_one_network():
    minidl.manual_seed(7)
    first = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(2, 2)).state_dict()
    minidl.manual_seed(7)
    second = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(2, 2)).state_dict()
    assert all((first[name].data == second[name].data).all() for name in first)


def test_dtype_and_device_of_a_layer():
    for layer in (
        nn.Linear(2, 3, dtype=minidl.float64, device="cpu"),
        nn.Conv2d(1, 2, 3, dtype=minidl.float64),
        nn.BatchNorm2d(2, dtype=minidl.float64),
        nn.LayerNorm(2, dtype=minidl.float64),
        nn.GroupNorm(1, 2, dtype=minidl.float64),
    ):
        assert {p.dtype for p in layer.parameters()} == {minidl.float64}
    assert nn.BatchNorm2d(2, dtype=minidl.float64).running_var.dtype == minidl.float64
    assert nn.BatchNorm2d(2).num_batches_tracked.dtype == minidl.int64


def test_batch_norm_statistics_by_hand():
    layer = nn.BatchNorm1d(1, momentum=0.25).double()
    layer(minidl.tensor(numpy.array([[1.0], [3.0]])))
    # mean 2, unbiased variance 2: running mean 0.75 * 0 + 0.25 * 2, running variance 0.75 * 1 + 0.25 * 2
    assert layer.running_mean.tolist() == [0.5] and layer.running_var.tolist() == [1.25]
    assert layer.num_batches_tracked.item() == 1
    layer.eval()
    y = layer(minidl.tensor(numpy.array([[0.5 + math.sqrt(1.25 + 1e-5)]])))
    assert y.item() == pytest.approx(1.0, abs=1e-12) and layer.num_batches_tracked.item() == 1
    layer.reset_running_stats()
    assert [layer.running_mean.item(), layer.running_var.item(), layer.num_batches_tracked.item()] == [0, 1, 0]


def test_batch_norm_cumulative_average():
    layer = nn.BatchNorm1d(1, momentum=None).double()
    for values in ([1.0, 3.0], [5.0, 7.0], [8.0, 12.0]):
        layer(minidl.tensor(values, dtype=minidl.float64).reshape(2, 1))
    assert layer.running_mean.item() == pytest.approx((2 + 6 + 10) / 3)
    assert layer.running_var.item() == pytest.approx((2 + 2 + 8) / 3)


def test_checkpoints_without_a_count_of_batches_load():
    layer = nn.Sequential(nn.BatchNorm2d(2))
    state = layer.state_dict()
    del state["0.num_batches_tracked"]
    layer.load_state_dict(state)
    del state["0.running_var"]
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "0.running_var"'):
        layer.load_state_dict(state)


def test_conv_transpose_output_size():
    layer = nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1)
    x = minidl.ones(1, 1, 4, 5)
    assert layer(x).shape == (1, 1, 7, 9)
    assert layer(x, output_size=(8, 9)).shape == layer(x, output_size=[1, 1, 8, 9]).shape == (1, 1, 8, 9)
    with pytest.raises(ValueError, match=r"requested an output size of \(9, 9\), but valid sizes range from \(7, 9\)"):
        layer(x, output_size=(9, 9))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError, "in_channels must be divisible by groups"),
        (lambda: nn.Conv2d(4, 3, 3, groups=2), ValueError, "out_channels must be divisible by groups"),
        (lambda: nn.Conv2d(4, 4, 3, groups=0), ValueError, "groups must be a positive integer"),
        (lambda: nn.Conv2d(1, 1, 3, padding_mode="mirror"), ValueError, "padding_mode"),
        (lambda: nn.Conv2d(1, 1, 3, padding="full"), ValueError, "padding"),
        (lambda: nn.Conv2d(1, 1, 3, stride=2, padding="same"), ValueError, "not supported for strided"),
        (lambda: nn.Conv2d(1, 1, (3, 3, 3)), RuntimeError, "kernel_size to be a single int or a pair"),
        (lambda: nn.Conv2d(1, 1, 3, stride=0), RuntimeError, "stride must be at least 1"),
        (lambda: nn.ConvTranspose2d(1, 1, 3, padding_mode="reflect"), ValueError, 'Only "zeros"'),
        (lambda: nn.Conv2d("1", 2, 3), TypeError, r"Conv2d\(\): in_channels must be an int, got '1'"),
        (lambda: nn.Conv2d(0, 2, 3), RuntimeError, r"Conv2d\(\): in_channels must be at least 1, got 0"),
        (
            lambda: nn.ConvTranspose2d(1, 2.0, 3),
            TypeError,
            r"ConvTranspose2d\(\): out_channels must be an int, got 2.0",
        ),
        (lambda: nn.Linear(16.0, 3), TypeError, r"Linear\(\): in_features must be an int, got 16.0"),
        (lambda: nn.Linear(-1, 2), RuntimeError, r"Linear\(\): in_features must be at least 0, got -1"),
        (lambda: nn.BatchNorm2d("3"), TypeError, r"BatchNorm2d\(\): num_features must be an int, got '3'"),
        (lambda: nn.GroupNorm(0, 4), RuntimeError, "num_groups must be at least 1"),
        (lambda: nn.Dropout(1.5), ValueError, "between 0 and 1"),
        (lambda: nn.Dropout("0.5"), TypeError, "p must be a number between 0 and 1, got '0.5'"),
        (lambda: nn.GroupNorm(3, 4), ValueError, "num_channels must be divisible by num_groups"),
        (lambda: nn.MSELoss(reduction="average"), ValueError, "reduction"),
        (lambda: nn.ZeroPad2d((1, 2)), ValueError, "left, right, top, bottom"),
        (lambda: nn.BatchNorm2d(2)(minidl.ones(2, 2)), ValueError, r"expected 4D input \(got 2D input\)"),
        (lambda: nn.BatchNorm1d(2)([1, 2]), TypeError, "argument 'input' must be Tensor, not list"),
        (lambda: nn.BatchNorm1d(2)(minidl.ones(2, 2, 1, 1)), ValueError, r"expected 2D or 3D input \(got 4D input\)"),
    ],
)
def test_errors(make, error, words):
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "MSELoss", "HuberLoss"])
def test_a_loss_is_built_before_it_is_called(name):
    with pytest.raises(TypeError, match=rf"build it first, then call it: loss = nn\.{name}\(\)\(out, y\)"):
        getattr(nn, name)(minidl.ones(2, 3), minidl.ones(2, 3))


@pytest.mark.parametrize(
    "name",
    ["ReLU", "ELU", "LeakyReLU", "Hardtanh", "GELU", "Softplus", "Softmax", "LogSoftmax", "Dropout", "MaxPool2d"],
)
def test_a_layer_is_built_before_it_is_called(name):
    with pytest.raises(TypeError, match=rf"build it first, then call it: nn\.{name}\("):
        getattr(nn, name)(minidl.ones(2, 3))


def test_an_error_names_the_layer():
    model = nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.ReLU(), nn.Linear(4, 2)))
    with pytest.raises(RuntimeError, match="cannot be multiplied") as caught:
        model(minidl.ones(2, 4))
    assert caught.value.__notes__ == ["in module 1.1 of Sequential: Linear(in_features=4, out_features=2, bias=True)"]


# ------------------------------------------------------------------------------------------------ with PyTorch


def from_torch(layer):
    return {name: value.detach().numpy() for name, value in layer.state_dict().items()}


@pytest.mark.torch
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_layer_equals_torch(name):
    torch = torch_or_skip()
    rtol = 1e-7 if name == "Hardsigmoid" else 1e-9  # PyTorch rounds its 1/6 to float32
    make, shape, _ = LAYERS[name]
    ours, theirs = filled(make(nn)), make(torch.nn).double()
    assert repr(ours) == repr(theirs)
    theirs.load_state_dict({key: torch.from_numpy(value.numpy().copy()) for key, value in ours.state_dict().items()})
    ours = filled(make(nn), seed=5)
    ours.load_state_dict(from_torch(theirs))
    x = draws(shape)
    for training in (True, True, False):
        a, b = minidl.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y, expected = ours.train(training)(a), theirs.train(training)(b)
        numpy.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), rtol=rtol, atol=1e-9)
        cotangent = numpy.random.default_rng(4).standard_normal(y.shape)
        y.backward(minidl.tensor(cotangent))
        expected.backward(torch.tensor(cotangent))
        numpy.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=rtol, atol=1e-9)
        for (key, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            numpy.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=rtol, atol=1e-9, err_msg=key)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        for key, value in theirs.state_dict().items():
            assert str(ours.state_dict()[key].dtype) == str(value.dtype).removeprefix("torch.")
            numpy.testing.assert_allclose(ours.state_dict()[key].numpy(), value.numpy(), rtol=1e-12, err_msg=key)


@pytest.mark.torch
@pytest.mark.parametrize("name", LOSSES)
def test_loss_equals_torch(name):
    torch = torch_or_skip()
    make, x, target, *_ = LOSSES[name]
    ours, theirs = make(nn, minidl.tensor(WEIGHT)), make(torch.nn, torch.tensor(WEIGHT))
    assert repr(ours) == repr(theirs) and list(ours.state_dict()) == list(theirs.state_dict())
    a, b = minidl.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, expected = ours(a, minidl.tensor(target)), theirs(b, torch.tensor(target))
    numpy.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), rtol=1e-9)
    y.sum().backward()
    expected.sum().backward()
    numpy.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-9, atol=1e-12)


NOT_OURS = {  # PyTorch's ReLU6 is a Hardtanh; the others are for its own use
    *(("ReLU6", "min_val"), ("ReLU6", "max_val"), ("Upsample", "name"), ("Upsample", "recompute_scale_factor")),
}


@pytest.mark.torch
@pytest.mark.parametrize("name", sorted({name.partition("-")[0] for name in [*LAYERS, *LOSSES]}))
def test_attributes_and_initial_values_equal_torch(name):
    """What PyTorch's layer of default settings has as plain attributes, ours has too, with the same values."""
    torch = torch_or_skip()
    first = next(key for key in [*LAYERS, *LOSSES] if key.partition("-")[0] == name)
    arguments = (None,) if first in LOSSES else ()
    make = {**LAYERS, **LOSSES}[first][0]
    ours, theirs = make(nn, *arguments), make(torch.nn, *arguments)
    for key, value in vars(theirs).items():
        if not key.startswith("_") and (name, key) not in NOT_OURS:
            assert getattr(ours, key) == value, key
    for key, value in theirs.state_dict().items():
        assert ours.state_dict()[key].shape == tuple(value.shape), key
        if len(value.unique()) == 1:  # ones and zeros; the others are drawn
            assert (ours.state_dict()[key].numpy() == value.numpy()).all(), key


@pytest.mark.torch
def test_functional_has_what_torch_has():
    torch = torch_or_skip()
    for verb in functional.__all__:
        assert hasattr(torch.nn.functional, verb), verb
    missing = {name for name in vars(minidl.functional) if hasattr(torch.nn.functional, name)} - set(functional.__all__)
    assert not {name for name in missing if callable(getattr(minidl.functional, name)) and not name[0].isupper()}
    for name in nn.__all__:
        assert hasattr(torch.nn, name), name


@pytest.mark.torch
def test_initial_distribution_equals_torch():
    torch = torch_or_skip()
    minidl.manual_seed(0)
    torch.manual_seed(0)
    for make in (
        lambda nn: nn.Linear(30, 300),
        lambda nn: nn.Conv2d(6, 99, 5, groups=3),
        lambda nn: nn.ConvTranspose2d(60, 30, 3, groups=2),
    ):
        ours, theirs = make(nn), make(torch.nn)
        for key, value in from_torch(theirs).items():
            mine = ours.state_dict()[key].numpy()
            assert abs(mine).max() == pytest.approx(abs(value).max(), rel=0.1), key
            if key == "weight":
                assert mine.std() == pytest.approx(value.std(), rel=0.03)
