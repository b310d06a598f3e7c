"""`minidl experiment dropout-and-augmentation`: a net with few images, with and without AlexNet's two helps.

The lecture: AlexNet has heavy data augmentation and dropout 0.5. Krizhevsky et al., NIPS 2012, sec. 4: without them it
overfits.
"""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure

from minidl.cli.experiments.images import draw_images
from minidl.cli.experiments.nets import SmallAlexNet
from minidl.cli.experiments.options import Option, Settings, training_options
from minidl.cli.experiments.results import Column, Measures, Results, Variant
from minidl.cli.experiments.slide import BLUE, GREEN, INK, POINTS, VERMILION, columns, dress, panels, percent_axis
from minidl.cli.experiments.training import train
from minidl.cli.experiments.verdict import Claim
from minidl.data.transforms import RandomCrop, RandomHorizontalFlip

DESCRIPTION = """a net with few images, with and without AlexNet's two helps against overfitting

A small AlexNet with two large fully connected layers: as it is, with dropout 0.5 before both of them, with images that
are shifted at random (and mirrored, where the mirror image of a thing is one, too; a digit's is not), and with both."""

NOTE = POINTS
TITLE = "Dropout and augmentation: what helps where images are few"

OPTIONS = (
    *training_options(size=16, images=200, test_images=1500, epochs=120, lr=0.01, batch_size=32, seeds=5),
    Option("hidden", "units of FC6 and FC7", 256, 16),
)

COLUMNS = (
    Column("train_error", "training/error", "%"),
    Column("test_error", "test/error", "%"),
    Column("gap", "gap", "%"),
    Column("seconds", "training/time", "s", 1),
)

NEITHER, DROPOUT, AUGMENTED, BOTH = "neither", "dropout", "augmentation", "both"
PROBABILITY = 0.5
WITH_MIRRORS = ("fashion-mnist", "cifar10", "cifar100")


def variants(settings: Settings) -> list[Variant]:
    return [
        Variant(NEITHER, "neither", {"dropout": 0.0, "augment": False}),
        Variant(DROPOUT, "dropout", {"dropout": PROBABILITY, "augment": False}),
        Variant(AUGMENTED, "augmentation", {"dropout": 0.0, "augment": True}),
        Variant(BOTH, "both", {"dropout": PROBABILITY, "augment": True}),
    ]


def augmentation(settings: Settings) -> list[Callable]:
    """Shifts by up to an eighth of the image, as AlexNet's 224 of 256 and ResNet's 32 of 40 pixels; and mirrors."""
    shift = RandomCrop(settings.size, padding=max(1, settings.size // 8))
    return [shift, RandomHorizontalFlip()] if settings.data in WITH_MIRRORS else [shift]


def run(variant: Variant, seed: int, settings: Settings) -> Measures:
    images = draw_images(settings, seed)
    model = SmallAlexNet(
        images.shape[0],
        settings.size,
        len(images.classes),
        hidden=settings.hidden,
        dropout=variant.details["dropout"],
    )
    augment = augmentation(settings) if variant.details["augment"] else []
    trained = train(model, images, settings, seed, augment)
    return {**trained.measures, "gap": trained.test_error - trained.train_error}


def claims(results: Results) -> list[Claim]:
    lower = [
        results.compared(
            f"{name} {'make' if name == BOTH else 'makes'} the test error lower",
            f"test error, neither minus {name}",
            "test_error",
            NEITHER,
            name,
        )
        for name in (DROPOUT, AUGMENTED, BOTH)
    ]
    overfits = Claim(
        "with neither of them, the net overfits: its test error is above its training error",
        "test error minus training error",
        results.values(NEITHER, "gap"),
        step=results.step("test_error"),
    )
    return [overfits, *lower]


def draw(figure: Figure, bottom: float, results: Results) -> None:
    left, right = panels(figure, bottom, (1, 1))
    names = (NEITHER, DROPOUT, AUGMENTED, BOTH)
    for axes, measure, title in ((left, "train_error", "Training error"), (right, "test_error", "Test error")):
        dress(axes, title)
        columns(axes, names, [results.values(name, measure) for name in names], (VERMILION, GREEN, BLUE, INK))
        percent_axis(axes)
    top = max(axes.get_ylim()[1] for axes in (left, right))
    left.set_ylim(0, top)
    right.set_ylim(0, top)
