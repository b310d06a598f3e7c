"""`minidl experiment degradation`: plain and residual nets as they grow deeper.

The lecture: a plain net of 56 layers has a higher training error than one of 20, so it does not overfit; it is harder
to optimise. A residual net of 56 layers has not. He et al., CVPR 2016, arXiv:1512.03385: fig. 1 and 6.
"""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from architectures.resnet_cifar import BasicBlock, PlainBlock, ResNet
from minidl.cli.arguments import CommandError
from minidl.cli.experiments.images import draw_images
from minidl.cli.experiments.options import Option, Settings, positive_ints, training_options
from minidl.cli.experiments.results import Column, Measures, Results, Variant
from minidl.cli.experiments.slide import BLUE, INK, POINTS, VERMILION, dress, line_with_points, panels, percent_axis
from minidl.cli.experiments.training import train
from minidl.cli.experiments.verdict import Claim

DESCRIPTION = """plain against residual nets as they grow deeper: training error

ResNet's networks for small images, 6n + 2 layers, with and without their shortcuts; everything else is the same. The
training is short, which is where optimisation shows: train plain nets long enough, and they catch up by and by."""

NOTE = POINTS
TITLE = "Degradation: plain and residual nets as they grow deeper"

OPTIONS = (
    *training_options(size=8, images=1437, test_images=360, epochs=10, lr=0.02, seeds=3),
    Option("depths", "layers, each of them 6n + 2", (8, 20, 32, 56), (8, 14), positive_ints, "N,N", of_a_run=False),
    Option("width", "channels of the first stage", 8, 4),
)

COLUMNS = (
    Column("train_error", "training/error", "%"),
    Column("test_error", "test/error", "%"),
    Column("seconds", "training/time", "s", 1),
)

BLOCKS = {"plain": PlainBlock, "residual": BasicBlock}
COLOURS = {"plain": VERMILION, "residual": BLUE}
SLACK = 1.0  # points: "no worse" means by no more than this


def variants(settings: Settings) -> list[Variant]:
    """CommandError: depths that are none of these networks."""
    wrong = [depth for depth in settings.depths if depth % 6 != 2 or depth < 8]
    if wrong or len(settings.depths) < 2:
        raise CommandError(
            f"--depths takes two numbers or more of 8, 14, 20, ... 6n + 2, got {','.join(map(str, settings.depths))}"
        )
    return [
        Variant(f"{kind}-{depth}", f"{kind}, {depth} layers", {"kind": kind, "depth": depth})
        for kind in BLOCKS
        for depth in settings.depths
    ]


def run(variant: Variant, seed: int, settings: Settings) -> Measures:
    images = draw_images(settings, seed)
    block, n = BLOCKS[variant.details["kind"]], (variant.details["depth"] - 2) // 6
    model = ResNet(block, n, len(images.classes), images.shape[0], settings.width)
    trained = train(model, images, settings, seed)
    return {**trained.measures, "curve": trained.learning_errors}


def claims(results: Results) -> list[Claim]:
    shallow, deep = results.settings.depths[0], results.settings.depths[-1]
    plain, residual = (f"plain-{shallow}", f"plain-{deep}"), (f"residual-{shallow}", f"residual-{deep}")
    return [
        results.compared(
            f"a plain net of {deep} layers has a higher training error than one of {shallow}",
            "training error, deep minus shallow",
            "train_error",
            plain[1],
            plain[0],
        ),
        results.compared(
            "its test error is higher, too: this is not overfitting",
            "test error, deep minus shallow",
            "test_error",
            plain[1],
            plain[0],
        ),
        results.compared(
            f"a residual net of {deep} layers trains to within {SLACK:g} point of one of {shallow}, or better",
            "training error, shallow minus deep",
            "train_error",
            residual[0],
            residual[1],
            threshold=-SLACK,
        ),
        results.compared(
            f"with {deep} layers, the residual net has the lower training error",
            "training error, plain minus residual",
            "train_error",
            plain[1],
            residual[1],
        ),
    ]


def draw(figure: Figure, bottom: float, results: Results) -> None:
    """As on the slide: errors while learning, of the shallow and the deep net; on the right, at the end, by depth."""
    left, middle, right = panels(figure, bottom, (1, 1, 1.25))
    top = 0.0
    for axes, kind in ((left, "plain"), (middle, "residual")):
        top = max(top, _draw_curves(axes, kind, results))
    for axes in (left, middle):
        axes.set_ylim(0, 1.05 * top)
    middle.sharey(left)

    depths = results.settings.depths
    places = list(range(len(depths)))
    for kind, marker, style in (("plain", "s", "--"), ("residual", "o", "-")):
        values = [results.values(f"{kind}-{depth}", "train_error") for depth in depths]
        line_with_points(right, places, values, COLOURS[kind], marker, kind, linestyle=style)
    dress(right, "After the last step", "Layers")
    right.set_xticks(places, [str(depth) for depth in depths])
    right.set_xlim(-0.3, len(depths) - 0.7)
    right.set_ylim(bottom=0)
    right.tick_params(axis="x", pad=9)  # as the points at 0 are whole
    right.legend(frameon=False, fontsize=13, labelcolor=INK, loc="upper left")
    percent_axis(right)


def _draw_curves(axes: Axes, kind: str, results: Results) -> float:
    """One line for each seed, named where it ends; returns the highest error."""
    highest = 0.0
    shallow, deep = results.settings.depths[0], results.settings.depths[-1]
    for depth, style, width in ((shallow, "--", 1.6), (deep, "-", 2.6)):
        for number, curve in enumerate(results.values(f"{kind}-{depth}", "curve")):
            epochs = range(1, len(curve) + 1)
            label = f"{depth} layers" if number == 0 else None
            marker = "" if len(curve) > 1 else "o"
            axes.plot(epochs, curve, style, color=COLOURS[kind], linewidth=width, label=label, marker=marker)
            highest = max(highest, *curve)
    up = "Training error" if kind == "plain" else ""
    dress(axes, f"{kind.capitalize()}, while it learns", "Epoch", up)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(0.5, len(curve) + 0.5)
    axes.legend(frameon=False, fontsize=13, labelcolor=INK)
    percent_axis(axes)
    return highest
