"""`minidl experiment features`: what a net has learnt on one task, carried to another.

The lecture: FC7 features generalize well to other tasks. Here a net learns some classes; then a linear classifier is to
tell other classes apart from a few labelled images, by what FC7 makes of them. Beside it: the same net with the weights
that it began with, and the pixels themselves. Simonyan & Zisserman, ICLR 2015, arXiv:1409.1556, appendix B; Donahue et
al., "DeCAF", ICML 2014, arXiv:1310.1531.

What can be carried over is what the two tasks have in common. Of digits that all stand upright in the middle there is
little: their pixels are good features already (--shift 0 shows that). In photographs things are anywhere, and so they
are here, in both tasks.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

import minidl
from minidl import nn, optim
from minidl.cli.arguments import CommandError, not_negative_int
from minidl.cli.experiments.images import Images, draw_images
from minidl.cli.experiments.nets import SmallAlexNet
from minidl.cli.experiments.options import Option, Settings, positive_ints, training_options
from minidl.cli.experiments.results import Column, Measures, Results, Variant
from minidl.cli.experiments.slide import (
    BLUE,
    GREEN,
    INK,
    POINTS,
    VERMILION,
    dress,
    line_with_points,
    panels,
    percent_axis,
)
from minidl.cli.experiments.training import TEST_BATCH, error_of, train
from minidl.cli.experiments.verdict import Claim
from minidl.data import ArrayDataset, DataLoader
from minidl.data.transforms import RandomCrop
from minidl.nn.eval_mode import eval_mode
from minidl.tensor import Tensor

DESCRIPTION = """FC7 features carried to another task, beside pixels and an untrained net

The task to learn from: the first half of the classes (or all those of another data set, --source). The other task: the
second half (or all those of --data), from few labelled images of each class, by a linear classifier. Its features are
FC7's of the net that has learnt, FC7's of the same net before it learnt, or the pixels. In both tasks an image lies
anywhere in a larger, black one. The error for each number of labelled images is the mean over several choices of them.
"""

NOTE = POINTS
TITLE = "Features: what was learnt on one task, carried to another"

OPTIONS = (
    *training_options(size=12, images=1200, test_images=590, epochs=40, lr=0.02, batch_size=32, seeds=5),
    Option(
        "shift",
        "pixels by which an image may lie away from the middle, on a ground that leaves room",
        3,
        1,
        not_negative_int,
    ),
    Option("source", "the data to learn features from, where it is another than --data", "", "", str, "D"),
    Option("shots", "labelled images of each class", (1, 2, 5, 10, 20, 50), (1, 2), positive_ints, "N,N"),
    Option("choices", "choices of labelled images that are averaged over", 5, 2),
)

COLUMNS = (
    Column("fewest_error", "fewest images:/test error", "%"),
    Column("most_error", "most images:/test error", "%"),
    Column("mean_error", "mean over/all numbers"),
)

LEARNT, RANDOM, PIXELS = "learnt", "random", "pixels"
EXAMPLES = 5  # classes that the slide shows an image of
STEPS, RATE, DECAY = 300, 4.0, 1e-3  # of the linear classifier, whose features have length 1 on average


def variants(settings: Settings) -> list[Variant]:
    return [
        Variant(LEARNT, "FC7, of a net that learnt another task"),
        Variant(RANDOM, "FC7, of a net that learnt nothing"),
        Variant(PIXELS, "pixels"),
    ]


def run(variant: Variant, seed: int, settings: Settings) -> Measures:
    source, target = _anywhere(*_tasks(settings, seed), settings.shift, seed)
    minidl.manual_seed(seed)
    ground = source.shape[-1]
    model = SmallAlexNet(source.shape[0], ground, len(source.classes))
    measures: dict[str, object] = {}
    if variant.name == LEARNT:
        anywhere = RandomCrop(ground, padding=settings.shift)  # in each epoch at another place
        trained = train(model, source, settings, seed, [anywhere])
        measures = {"source_error": trained.test_error}
    known, known_labels = _features(variant.name, model, source, target.train)
    test, test_labels = _features(variant.name, model, source, target.test)
    errors = []
    for shots in settings.shots:
        numbers = numpy.random.default_rng([seed, shots])  # the same choices for every kind of features
        found = []
        for _ in range(settings.choices):
            chosen = _of_each_class(known_labels, shots, len(target.classes), numbers)
            found.append(_linear_error(known[chosen], known_labels[chosen], test, test_labels, len(target.classes)))
        errors.append(math.fsum(found) / len(found))
    return measures | {
        "pictures": {"source": _examples(source), "target": _examples(target)},
        "errors": errors,
        "fewest_error": errors[0],
        "most_error": errors[-1],
        "mean_error": math.fsum(errors) / len(errors),
    }


def _tasks(settings: Settings, seed: int) -> tuple[Images, Images]:
    """What to learn features from, and where they are to be of use. CommandError: images that do not go together."""
    images = draw_images(settings, seed)
    if not settings.source or settings.source == settings.data:
        half = len(images.classes) // 2
        source, target = images.of_classes(0, half), images.of_classes(half, len(images.classes))
    else:
        other = Settings(**vars(settings) | {"data": settings.source})
        source, target = draw_images(other, seed), images
        if source.shape != target.shape:
            raise CommandError(f"images of {settings.source} have {source.shape[0]} channels, not {target.shape[0]}")
    fewest = int(numpy.bincount(target.train.targets, minlength=len(target.classes)).min())
    if max(settings.shots) > fewest:
        raise CommandError(
            f"too few images to label: of some class {fewest}, not {max(settings.shots)}: --shots lower, or "
            "--images higher"
        )
    return source, target


def _anywhere(source: Images, target: Images, shift: int, seed: int) -> tuple[Images, Images]:
    """Every image somewhere on a black ground, up to `shift` pixels from its middle; nothing is cut off.

    Only those to learn features from are in the middle, since training moves them in each epoch.
    """
    numbers = numpy.random.default_rng(seed)

    def placed(images: ArrayDataset) -> ArrayDataset:
        return _on_a_ground(images, shift, numbers.integers(2 * shift + 1, size=(len(images), 2)))

    middle = _on_a_ground(source.train, shift, numpy.full((len(source.train), 2), shift))
    mean, std = (tuple(values.tolist()) for values in (middle.data.mean((0, 2, 3)), middle.data.std((0, 2, 3))))
    return (
        replace(source, train=middle, test=placed(source.test), mean=mean, std=std),
        replace(target, train=placed(target.train), test=placed(target.test), mean=mean, std=std),
    )


def _on_a_ground(images: ArrayDataset, shift: int, places: numpy.ndarray) -> ArrayDataset:
    """(N, C, H, W) -> (N, C, H + 2 shift, W + 2 shift), each with its upper left corner at its place (row, column)."""
    count, channels, height, width = images.data.shape
    ground = numpy.zeros((count, channels, height + 2 * shift, width + 2 * shift), images.data.dtype)
    for larger, image, (top, left) in zip(ground, images.data, places.tolist(), strict=True):
        larger[:, top : top + height, left : left + width] = image
    return ArrayDataset(ground, images.targets)


def _examples(images: Images) -> list:
    """For the slide: the first test image (C, H, W) of each of the first classes."""
    labels = images.test.targets
    firsts = [index for label in range(EXAMPLES) for index in numpy.flatnonzero(labels == label)[:1]]
    return numpy.round(images.test.data[firsts], 3).tolist()


def _features(
    name: str, model: SmallAlexNet, source: Images, images: ArrayDataset
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """(N, features), and the labels. A net gets the images as those that it learnt from were normalised."""
    found, labels = [], []
    device = next(model.parameters()).device
    with eval_mode(model), minidl.no_grad():
        for x, y in DataLoader(source.normalized(images), TEST_BATCH):
            features = x.flatten(1) if name == PIXELS else model.fc7(x.to(device)).cpu()
            found.append(features.numpy())
            labels.append(y.numpy())
    return numpy.concatenate(found), numpy.concatenate(labels)


def _of_each_class(labels: numpy.ndarray, count: int, classes: int, numbers: numpy.random.Generator) -> numpy.ndarray:
    """Indices of `count` images of each class."""
    return numpy.concatenate(
        [numbers.choice(numpy.flatnonzero(labels == label), count, replace=False) for label in range(classes)]
    )


def _linear_error(
    known: numpy.ndarray, known_labels: numpy.ndarray, test: numpy.ndarray, test_labels: numpy.ndarray, classes: int
) -> float:
    """The test error of softmax regression on these features.

    They are moved to mean 0 and scaled, all by one number, to length 1 on average, so that one learning rate and one
    weight decay are the same for every kind of features. The loss is convex: weights begin at 0, and chance is out.
    """
    mean = known.mean(axis=0)
    length = max(float(numpy.sqrt(((known - mean) ** 2).sum(axis=1).mean())), 1e-12)
    x, y = Tensor((known - mean) / length), Tensor(known_labels)
    model = nn.Linear(known.shape[1], classes)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    optimizer = optim.SGD(model.parameters(), lr=RATE, momentum=0.9, weight_decay=DECAY)
    loss_fn = nn.CrossEntropyLoss()
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss_fn(model(x), y).backward()
        optimizer.step()
    with minidl.no_grad():
        return error_of(model(Tensor((test - mean) / length)), Tensor(test_labels))


def claims(results: Results) -> list[Claim]:
    shots = results.settings.shots
    fewest = f"with {shots[0]} labelled image{'' if shots[0] == 1 else 's'} of each class"
    compared = (
        ("mean_error", PIXELS, "beat the pixels, on average over all numbers of labelled images"),
        ("mean_error", RANDOM, "beat those of the net before it learnt, on average"),
        ("fewest_error", PIXELS, f"beat the pixels {fewest}"),
        ("most_error", PIXELS, f"beat the pixels with {shots[-1]} of them"),
    )
    return [
        Claim(
            f"FC7 features of another task {words}",
            f"test error, {'pixels' if other == PIXELS else 'before'} minus FC7",
            results.differences(measure, other, LEARNT),
            step=results.step("test_error"),
        )
        for measure, other, words in compared
    ]


def draw(figure: Figure, bottom: float, results: Results) -> None:
    axes, right = panels(figure, bottom, (2.3, 1), gap=0.04)
    shots = results.settings.shots
    looks = ((LEARNT, BLUE, "o", "-"), (RANDOM, GREEN, "D", ":"), (PIXELS, VERMILION, "s", "--"))
    labels = {variant.name: variant.label for variant in results.variants}
    for name, colour, marker, style in looks:
        values = list(zip(*results.values(name, "errors"), strict=True))
        line_with_points(axes, shots, values, colour, marker, labels[name], linestyle=style)
    dress(axes, "Test error of a linear classifier on the new task", "Labelled images of each class")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(shots))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(shots, [str(count) for count in shots])
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=13, labelcolor=INK)
    percent_axis(axes)
    _draw_examples(right, results)


def _draw_examples(axes: Axes, results: Results) -> None:
    """An image of each class: of the task that was learnt from, and of the new one below."""
    pictures = results.any_run(LEARNT)["pictures"]
    axes.set_axis_off()
    for name, words, top in (("source", "Learnt from", 0.97), ("target", "The new task", 0.56)):
        tiles = numpy.array(pictures[name]).transpose(0, 2, 3, 1)
        tiles = numpy.pad(tiles, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=1.0)  # a white line between them
        row = numpy.concatenate(list(tiles), axis=1)
        row = numpy.repeat(row, 3 // row.shape[-1], axis=-1)
        axes.text(0, top, words, fontsize=13.5, fontweight="bold", color=INK, va="bottom", transform=axes.transAxes)
        place = axes.inset_axes((0, top - 0.36, 1, 0.34))
        place.imshow(row, interpolation="nearest", vmin=0, vmax=1)
        place.set_anchor("NW")
        place.set_axis_off()
