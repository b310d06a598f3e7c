"""Losses: naive loops, examples by hand, samples."""

import math

import numpy

from minidl import ops
from tests.op_samples.sample import HandComputed, OpSample, distinct, normal, positive

rng = numpy.random.default_rng(13)


def reduced(losses, reduction, count=None):
    """The array of losses, its sum, or its sum divided by `count` (their number)."""
    if reduction == "none":
        return losses
    total = 0.0
    for value in losses.ravel():
        total += value
    return total if reduction == "sum" else total / (losses.size if count is None else count)


def positions(x):
    """(index of a target, scores of the classes there) for each position of (C,) or (N, C, ...)."""
    if x.ndim == 1:
        yield (), x
    else:
        for n in range(x.shape[0]):
            for rest in numpy.ndindex(x.shape[2:]):
                yield (n, *rest), x[(n, slice(None), *rest)]


def log_softmax(scores):
    total = sum(math.exp(score) for score in scores)
    return [math.log(math.exp(score) / total) for score in scores]


def nll(x, target, weight, ignore_index, reduction, label_smoothing, log_probabilities):
    losses, count = numpy.zeros(target.shape), 0.0
    for i, scores in positions(x):
        if target[i] == ignore_index:
            continue
        log_p = log_probabilities(scores)
        for c in range(len(scores)):
            part = label_smoothing / len(scores) + (1 - label_smoothing if c == target[i] else 0)
            losses[i] -= part * (1 if weight is None else weight[c]) * log_p[c]
        count += 1 if weight is None else weight[target[i]]
    return reduced(losses, reduction, count)


def cross_entropy(x, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    return nll(x, target, weight, ignore_index, reduction, label_smoothing, log_softmax)


def nll_loss(x, target, weight=None, ignore_index=-100, reduction="mean"):
    return nll(x, target, weight, ignore_index, reduction, 0.0, list)


def soft_cross_entropy(x, target, weight=None, reduction="mean", label_smoothing=0.0):
    losses = numpy.zeros(x.shape[:1] + x.shape[2:] if x.ndim > 1 else ())
    for (i, scores), (_, probabilities) in zip(positions(x), positions(target), strict=True):
        log_p = log_softmax(scores)
        for c in range(len(scores)):
            q = (1 - label_smoothing) * probabilities[c] + label_smoothing / len(scores)
            losses[i] -= q * (1 if weight is None else weight[c]) * log_p[c]
    return reduced(losses, reduction)


def pairwise(scalar):
    """A naive oracle from the loss of one number against another; weights may broadcast."""

    def naive(input, target, weight=None, pos_weight=None, reduction="mean", **options):
        x, target = numpy.broadcast_arrays(input, target)
        losses = numpy.zeros(x.shape)
        weight = numpy.broadcast_to(1.0 if weight is None else weight, x.shape)
        if pos_weight is not None:
            options["pos_weight"] = numpy.broadcast_to(pos_weight, x.shape)
        for i in numpy.ndindex(x.shape):
            here = {name: value[i] if name == "pos_weight" else value for name, value in options.items()}
            losses[i] = weight[i] * scalar(float(x[i]), float(target[i]), **here)
        return reduced(losses, "sum") / len(x) if reduction == "batchmean" else reduced(losses, reduction)

    return naive


def scalar_smooth_l1(x, t, beta=1.0):
    return (x - t) ** 2 / (2 * beta) if abs(x - t) < beta else abs(x - t) - beta / 2


def scalar_with_logits(x, t, pos_weight=1.0):
    p = 1 / (1 + math.exp(-x))
    return -pos_weight * t * math.log(p) - (1 - t) * math.log(1 - p)


mse_loss = pairwise(lambda x, t: (x - t) ** 2)
l1_loss = pairwise(lambda x, t: abs(x - t))
smooth_l1_loss = pairwise(scalar_smooth_l1)
huber_loss = pairwise(lambda x, t, delta=1.0: delta * scalar_smooth_l1(x, t, delta))
binary_cross_entropy = pairwise(lambda x, t: -t * math.log(x) - (1 - t) * math.log(1 - x))
binary_cross_entropy_with_logits = pairwise(scalar_with_logits)
kl_div = pairwise(
    lambda x, t, log_target=False: math.exp(t) * (t - x) if log_target else t * (math.log(t) - x) if t else 0.0
)

ln2, ln3 = math.log(2), math.log(3)


def by_hand(naive, x, target, y, **options):
    return HandComputed(naive, (numpy.array(x), numpy.array(target)), options, numpy.array(y))


thirds = [[0.0, ln3], [0.0, 0.0], [5.0, 7.0]]  # probabilities 1/4, 3/4; then 1/2, 1/2
weights = numpy.array([2.0, 1.0])

HAND_COMPUTED = [
    by_hand(cross_entropy, [0.0, ln2, math.log(5)], 1, 2 * ln2, reduction="none"),
    by_hand(cross_entropy, thirds, [0, 1, -100], 3 * ln2 / 2),
    by_hand(cross_entropy, thirds, [0, 1, -100], [4 * ln2, ln2, 0.0], reduction="none", weight=weights),
    by_hand(cross_entropy, thirds, [0, 1, -100], 5 * ln2 / 3, weight=weights),
    by_hand(cross_entropy, thirds[:1], [1], (2 * ln2 + 3 * (2 * ln2 - ln3)) / 4, label_smoothing=0.5),
    by_hand(cross_entropy, [[[0.0, 0.0], [ln3, 0.0]]], [[0, 1]], 3 * ln2, reduction="sum"),
    by_hand(soft_cross_entropy, thirds[:2], [[1.0, 0.0], [0.5, 0.5]], 3 * ln2 / 2),
    by_hand(soft_cross_entropy, thirds[:1], [[1.0, 0.0]], 4 * ln2 * 3 / 4 + (2 * ln2 - ln3) / 4, weight=weights,
            label_smoothing=0.5),
    by_hand(nll_loss, [[-1.0, -2.0], [-3.0, -4.0]], [1, 0], 5.0, reduction="sum"),
    by_hand(mse_loss, [1.0, 2.0], [3.0, 5.0], 6.5),
    by_hand(l1_loss, [1.0, 5.0], [3.0, 2.0], [2.0, 3.0], reduction="none"),
    by_hand(mse_loss, [1.0, 2.0], [3.0, 5.0], [8.0, 9.0], reduction="none", weight=weights),
    by_hand(smooth_l1_loss, [1.0, 5.0], [0.0, 2.0], [0.25, 2.0], reduction="none", beta=2.0),
    by_hand(huber_loss, [1.0, 5.0], [0.0, 2.0], 4.5, reduction="sum", delta=2.0),
    by_hand(binary_cross_entropy, [0.25, 0.25], [1.0, 0.0], [2 * ln2, 2 * ln2 - ln3], reduction="none"),
    by_hand(binary_cross_entropy_with_logits, [ln3, ln3], [1.0, 0.0], [4 * ln2 - 2 * ln3, 2 * ln2], reduction="none",
            pos_weight=2.0),
    by_hand(kl_div, [[-ln2, 9.0]], [[0.25, 0.0]], [[-ln2 / 4, 0.0]], reduction="none"),
    by_hand(kl_div, [[-ln2, -ln2]], [[-2 * ln2, 0.0]], 3 * ln2 / 4, reduction="batchmean", log_target=True),
]  # fmt: skip

F = "nn.functional."


def labels(classes, *shape):
    return rng.integers(0, classes, shape)


def probabilities(*shape):
    p = rng.uniform(0.1, 1.0, shape)
    return p / p.sum(axis=1, keepdims=True)


def units(*shape):
    """Numbers in [0.1, 0.9)."""
    return rng.uniform(0.1, 0.9, shape)


def classes_samples(op, verb, naive):
    """The shapes and options that cross_entropy and nll_loss share."""
    return [
        OpSample(op, F + verb, (2 * normal(rng, *shape), target), options, naive, name)
        for name, shape, target, options in (
            ("", (4, 5), labels(5, 4), {}),
            ("unbatched", (5,), labels(5), {}),
            ("pixels", (2, 5, 3, 2), labels(5, 2, 3, 2), {}),
            ("sequence-none", (3, 4, 2), labels(4, 3, 2), {"reduction": "none"}),
            ("sum", (4, 3), labels(3, 4), {"reduction": "sum"}),
            ("weight", (6, 3), labels(3, 6), {"weight": positive(rng, 3)}),
            ("weight-none", (6, 3), labels(3, 6), {"weight": positive(rng, 3), "reduction": "none"}),
            ("ignored", (5, 3), numpy.array([0, -100, 2, -100, 1]), {"weight": positive(rng, 3)}),
            ("ignore-index", (2, 3, 4), numpy.array([[0, 1, 2, 2], [2, 1, 1, 0]]), {"ignore_index": 2}),
        )
    ]


def smoothed(name, shape, target, **options):
    arrays = (2 * normal(rng, *shape), target)
    return OpSample(ops.CrossEntropy, F + "cross_entropy", arrays, options, cross_entropy, name)


def soft(name, shape, **options):
    arrays = (2 * normal(rng, *shape), probabilities(*shape))
    return OpSample(ops.SoftCrossEntropy, F + "cross_entropy", arrays, options, soft_cross_entropy, name)


def pair_sample(op, naive, verb, x, target, name="", **options):
    return OpSample(op, F + verb, (x, target), options, naive, name)


def apart(*shape):
    """Two arrays whose differences are distinct, and none of them 0."""
    target = normal(rng, *shape)
    return target + distinct(rng, *shape), target


SAMPLES = [
    *classes_samples(ops.CrossEntropy, "cross_entropy", cross_entropy),
    *classes_samples(ops.NLLLoss, "nll_loss", nll_loss),
    smoothed("smoothed", (4, 5), labels(5, 4), label_smoothing=0.3),
    smoothed("smoothed-vector", (5,), labels(5), label_smoothing=0.3),
    smoothed(
        "smoothed-all",
        (2, 4, 3),
        numpy.array([[0, 3, 2], [1, 1, 2]]),
        label_smoothing=0.4,
        weight=positive(rng, 4),
        ignore_index=1,
    ),
    smoothed("smoothed-none", (4, 3), labels(3, 4), label_smoothing=0.9, weight=positive(rng, 3), reduction="none"),
    soft("probabilities", (4, 5)),
    soft("probabilities-pixels", (2, 3, 4, 2), weight=positive(rng, 3)),
    soft("probabilities-smoothed", (4, 3), label_smoothing=0.3, weight=positive(rng, 3), reduction="none"),
    soft("probabilities-sum", (2, 3, 4), reduction="sum"),
    OpSample(
        ops.SoftCrossEntropy,
        F + "cross_entropy",
        (normal(rng, 5), units(5)),
        naive=soft_cross_entropy,
        name="probabilities-vector",
    ),
    pair_sample(ops.MSELoss, mse_loss, "mse_loss", normal(rng, 3, 4), normal(rng, 3, 4)),
    pair_sample(ops.MSELoss, mse_loss, "mse_loss", normal(rng, 5), normal(rng, 5), "none", reduction="none"),
    pair_sample(ops.MSELoss, mse_loss, "mse_loss", normal(rng, 2, 3, 2), normal(rng, 2, 3, 2), "sum", reduction="sum"),
    OpSample(
        ops.MSELoss,
        F + "mse_loss",
        {"input": normal(rng, 3, 2), "target": normal(rng, 3, 2), "weight": positive(rng, 3, 2)},
        {"reduction": "none"},
        mse_loss,
        "weight",
    ),
    pair_sample(ops.L1Loss, l1_loss, "l1_loss", *apart(3, 4)),
    pair_sample(ops.L1Loss, l1_loss, "l1_loss", *apart(5), "none", reduction="none"),
    pair_sample(ops.L1Loss, l1_loss, "l1_loss", *apart(2, 3, 2), "sum", reduction="sum"),
    pair_sample(ops.SmoothL1Loss, smooth_l1_loss, "smooth_l1_loss", *apart(5, 6)),
    pair_sample(ops.SmoothL1Loss, smooth_l1_loss, "smooth_l1_loss", *apart(3, 4), "beta", beta=0.3, reduction="none"),
    pair_sample(ops.SmoothL1Loss, huber_loss, "huber_loss", *apart(3, 4), delta=0.4),
    pair_sample(ops.SmoothL1Loss, huber_loss, "huber_loss", *apart(6), "sum", delta=2, reduction="sum"),
    pair_sample(ops.BinaryCrossEntropy, binary_cross_entropy, "binary_cross_entropy", units(3, 4), units(3, 4)),
    pair_sample(
        ops.BinaryCrossEntropy,
        binary_cross_entropy,
        "binary_cross_entropy",
        units(3, 4),
        units(3, 4),
        "weight",
        weight=positive(rng, 4),
        reduction="none",
    ),
    OpSample(
        ops.BinaryCrossEntropy,
        F + "binary_cross_entropy",
        (units(5),),
        {"target": labels(2, 5).astype(float), "reduction": "sum"},
        binary_cross_entropy,
        "labels",
    ),
    pair_sample(
        ops.BinaryCrossEntropyWithLogits,
        binary_cross_entropy_with_logits,
        "binary_cross_entropy_with_logits",
        2 * normal(rng, 3, 4),
        units(3, 4),
    ),
    pair_sample(
        ops.BinaryCrossEntropyWithLogits,
        binary_cross_entropy_with_logits,
        "binary_cross_entropy_with_logits",
        2 * normal(rng, 3, 4),
        units(3, 4),
        "weights",
        weight=positive(rng, 3, 1),
        pos_weight=2 * positive(rng, 4),
        reduction="none",
    ),
    pair_sample(
        ops.BinaryCrossEntropyWithLogits,
        binary_cross_entropy_with_logits,
        "binary_cross_entropy_with_logits",
        2 * normal(rng, 5),
        units(5),
        "sum",
        pos_weight=positive(rng, 5),
        reduction="sum",
    ),
    pair_sample(
        ops.KLDiv, kl_div, "kl_div", -positive(rng, 3, 4), probabilities(3, 4), "batchmean", reduction="batchmean"
    ),
    pair_sample(ops.KLDiv, kl_div, "kl_div", -positive(rng, 2, 3), units(3), "broadcast", reduction="sum"),
    pair_sample(ops.KLDiv, kl_div, "kl_div", -positive(rng, 5), units(5), "none", reduction="none"),
    pair_sample(
        ops.KLDiv,
        kl_div,
        "kl_div",
        -positive(rng, 3, 4),
        -positive(rng, 3, 4),
        "log-target",
        log_target=True,
        reduction="batchmean",
    ),
]
