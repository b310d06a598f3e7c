"""`minidl experiment ensemble`: seven networks that differ in their first weights only, and their average.

The lecture: 7 CNN ensemble, 18.2 % -> 15.4 %. Krizhevsky et al., NIPS 2012, table 2.
"""

from __future__ import annotations

from itertools import combinations

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

import minidl
from minidl.cli.arguments import CommandError
from minidl.cli.experiments.images import draw_images
from minidl.cli.experiments.nets import SmallAlexNet
from minidl.cli.experiments.options import Option, Settings, training_options
from minidl.cli.experiments.results import Column, Measures, Results, Variant
from minidl.cli.experiments.slide import BLUE, POINTS, VERMILION, columns, dress, line_with_points, panels, percent_axis
from minidl.cli.experiments.training import TEST_BATCH, error_of, train
from minidl.cli.experiments.verdict import Claim
from minidl.data import DataLoader
from minidl.tensor import Tensor
from minidl.training import predict

DESCRIPTION = """seven nets, averaged: test error

Each seed is one experiment: a choice of images, on which small AlexNets are trained that differ in their first weights
and in the order of the images. Their probabilities are averaged. The error of an ensemble of k is the mean over all
choices of k of the nets, so no lucky choice is shown."""

NOTE = POINTS
TITLE = "Ensemble: nets that differ in their first weights, averaged"

OPTIONS = (
    *training_options(size=16, images=200, test_images=1500, epochs=20, lr=0.02, batch_size=32, seeds=5),
    Option("members", "nets in the ensemble", 7, 2),
)

COLUMNS = (
    Column("single_error", "one net:/test error", "%"),
    Column("best_error", "the best net:/test error", "%"),
    Column("ensemble_error", "all averaged:/test error", "%"),
    Column("gain", "it falls/by", "%", 1),
)


def variants(settings: Settings) -> list[Variant]:
    """CommandError: one net is no ensemble."""
    if settings.members < 2:
        raise CommandError("an ensemble has --members 2 or more")
    if settings.members > 10:
        raise CommandError("--members 10 at most: all choices of them are averaged over")
    return [Variant("ensemble", f"{settings.members} nets")]


def run(variant: Variant, seed: int, settings: Settings) -> Measures:
    images = draw_images(settings, seed)
    test = DataLoader(images.normalized(images.test), TEST_BATCH)
    probabilities = []
    for member in range(settings.members):
        net_seed = seed * 1000 + member
        minidl.manual_seed(net_seed)
        model = SmallAlexNet(images.shape[0], settings.size, len(images.classes))
        train(model, images, settings, net_seed)
        scores, labels = predict(model, test)
        probabilities.append(scores.softmax(dim=1))
    by_size = [_mean_error(probabilities, labels, size) for size in range(1, settings.members + 1)]
    singles = [error_of(each, labels) for each in probabilities]
    return {
        "single_error": by_size[0],
        "best_error": min(singles),
        "ensemble_error": by_size[-1],
        "gain": 100 * (1 - by_size[-1] / by_size[0]) if by_size[0] else 0.0,
        "errors_by_size": by_size,
        "single_errors": singles,
    }


def _mean_error(probabilities: list[Tensor], labels: Tensor, size: int) -> float:
    """Of all ensembles of this size."""
    errors = []
    for chosen in combinations(probabilities, size):
        total = chosen[0]
        for each in chosen[1:]:
            total = total + each
        errors.append(error_of(total, labels))
    return sum(errors) / len(errors)


def claims(results: Results) -> list[Claim]:
    single, best, together = (
        results.values("ensemble", measure) for measure in ("single_error", "best_error", "ensemble_error")
    )
    count = results.settings.members

    def above(values: tuple[float, ...], text: str, what: str) -> Claim:
        differences = tuple(value - ensemble for value, ensemble in zip(values, together, strict=True))
        return Claim(text, f"test error, {what} minus {count} averaged", differences, step=results.step("test_error"))

    return [
        above(single, f"{count} nets averaged make fewer mistakes than one of them", "one net"),
        above(best, "and fewer than the best of them (which only the test images tell)", "best net"),
    ]


def draw(figure: Figure, bottom: float, results: Results) -> None:
    left, right = panels(figure, bottom, (1.5, 1))
    sizes = range(1, results.settings.members + 1)
    by_seed = results.values("ensemble", "errors_by_size")
    line_with_points(left, sizes, list(zip(*by_seed, strict=True)), BLUE, "o", "")
    dress(left, "By the number of nets", "Nets averaged", "Test error")
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.set_ylim(bottom=0)
    percent_axis(left)
    measures = ("single_error", "best_error", "ensemble_error")
    values = [results.values("ensemble", measure) for measure in measures]
    dress(right, "One, the best, and all")
    columns(right, ["one net\n(mean)", "the best\nof them", "all\naveraged"], values, (VERMILION, VERMILION, BLUE))
    percent_axis(right)
