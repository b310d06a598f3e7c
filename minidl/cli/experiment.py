"""`minidl experiment`: the lecture's experiments, each one command that measures, decides and draws."""

from __future__ import annotations

import argparse
import json
import textwrap
from pathlib import Path
from time import perf_counter
from types import ModuleType

import minidl
from minidl.checkpoint import atomic_write, versions
from minidl.cli.arguments import CommandError, output_folder, positive_int
from minidl.cli.experiments import (
    degradation,
    dropout_and_augmentation,
    ensemble,
    features,
    filters,
    inception,
    smaller_filters,
    stochastic_depth,
)
from minidl.cli.experiments.images import draw_images
from minidl.cli.experiments.options import Settings, add_options, chosen_settings
from minidl.cli.experiments.results import Results
from minidl.cli.experiments.runner import run_all
from minidl.cli.experiments.slide import slide
from minidl.cli.experiments.verdict import OPEN, OPPOSITE, RULE, SHOWS, Verdict, judge
from minidl.cli.train_report import save_figure
from minidl.training.console import duration

EXPERIMENTS = {
    "degradation": degradation,
    "ensemble": ensemble,
    "smaller-filters": smaller_filters,
    "inception": inception,
    "stochastic-depth": stochastic_depth,
    "dropout-and-augmentation": dropout_and_augmentation,
    "features": features,
    "filters": filters,
}

DESCRIPTION = """run one of the lecture's experiments: train, compare, decide, draw

Without a name, lists them. Each trains small networks on real images with several seeds, prints a table and whether the
lecture's claims show, and writes results.json and a slide. Finished runs are kept in the folder, and not repeated."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    names = parser.add_subparsers(title="experiments", metavar="NAME", dest="experiment")
    for name, module in EXPERIMENTS.items():
        summary, _, details = module.DESCRIPTION.partition("\n\n")
        command = names.add_parser(
            name,
            help=summary,
            description=f"{summary}\n\n{details}\n\n{textwrap.fill(RULE, 120)}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        add_options(command, module.OPTIONS)
        add = command.add_argument
        add("--quick", action="store_true", help="tiny nets, few images: shows that it runs, and nothing else")
        add("--device", metavar="D", help="cpu, cuda or cuda:1 (cuda where there is one)")
        add("--jobs", type=positive_int, metavar="N", help="runs at a time (one on each core)")
        add("--again", action="store_true", help="repeat the runs that the folder has")
        add("--out", type=Path, metavar="DIR", help=f"where everything goes (out/experiments/{name})")


def run(arguments: argparse.Namespace) -> int:
    if arguments.experiment is None:
        print(listing())
        return 0
    experiment = EXPERIMENTS[arguments.experiment]
    settings = chosen_settings(arguments, experiment.OPTIONS)
    settings.device = arguments.device or ("cuda" if minidl.cuda.is_available() else "cpu")
    experiment.variants(settings)  # what cannot be done is said before a folder is made
    draw_images(settings, 0)
    with output_folder(arguments.out or Path("out", "experiments", arguments.experiment)) as folder:
        began = perf_counter()
        print(experiment.TITLE)
        print(scale(settings, experiment) + "\n")
        results = run_all(experiment, settings, folder / "runs", jobs=arguments.jobs, again=arguments.again)
        verdicts = [judge(claim) for claim in experiment.claims(results)]
        print("\nMean ± standard error over " + counted(settings.seeds, "seed") + "\n")
        print(results.table(experiment.COLUMNS))
        print("\n" + lesson(verdicts) + "\n")
        write(folder, arguments.experiment, experiment, results, verdicts)
        print(f"Picture: {folder / arguments.experiment}.png; numbers: {folder / 'results.json'}")
        print(f"Took {duration(perf_counter() - began)}")
    return 0


def listing() -> str:
    """A line for each experiment."""
    width = max(map(len, EXPERIMENTS))
    lines = [f"  {name:{width}}  {module.DESCRIPTION.partition(chr(10))[0]}" for name, module in EXPERIMENTS.items()]
    return "\n".join(["minidl experiment NAME, where NAME is one of", "", *lines, "", "NAME --help has its options."])


def lesson(verdicts: list[Verdict]) -> str:
    """What came out, in words: every claim, and how many show."""
    lines = []
    for verdict in verdicts:
        lines += textwrap.wrap(str(verdict), 118, initial_indent="* ", subsequent_indent="  ")
    answers = [verdict.answer for verdict in verdicts]
    counts = f"At this scale {answers.count(SHOWS)} of {counted(len(answers), 'claim')} show{'s' * (len(answers) == 1)}"
    others = [f"{answers.count(OPEN)} cannot be told from chance"] if OPEN in answers else []
    others += [f"of {answers.count(OPPOSITE)} the opposite shows"] if OPPOSITE in answers else []
    return "\n".join([*lines, ", ".join([counts, *others]) + ".", textwrap.fill(RULE, 118)])


def scale(settings: Settings, experiment: ModuleType) -> str:
    """digits, 400 images of 16x16, 20 epochs, 5 seeds"""
    words = [settings.data, f"{counted(settings.images, 'training image')} of {settings.size}x{settings.size}"]
    words += [counted(settings.epochs, "epoch"), counted(settings.seeds, "seed")]
    return ", ".join(words)


def counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def write(folder: Path, name: str, experiment: ModuleType, results: Results, verdicts: list[Verdict]) -> None:
    """results.json and the slide. CommandError: they cannot be written."""
    record = {
        "experiment": name,
        **results.as_record(experiment.COLUMNS),
        "claims": [verdict.as_record() for verdict in verdicts],
        "rule": RULE,
        "versions": versions(),
    }
    figure, bottom = slide(experiment.TITLE, scale(results.settings, experiment), verdicts, f"{experiment.NOTE} {RULE}")
    experiment.draw(figure, bottom, results)
    try:
        with atomic_write(folder / "results.json") as file:
            file.write((json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode())
        save_figure(figure, folder / f"{name}.png")
    except OSError as error:
        raise CommandError(f"cannot write into {folder}: {error.strerror}") from None
