"""`minidl train`: trains a network on a data set by a recipe; stops and goes on at any moment."""

from __future__ import annotations

import argparse
import json
import math
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

from minidl.checkpoint import CheckpointError, atomic_write, load_checkpoint, load_first, read_checkpoint, versions
from minidl.cli.arguments import CommandError, positive_float, positive_int, seed, writable_folder
from minidl.cli.crew import Crew, crew_of
from minidl.cli.networks import network_named
from minidl.cli.train_report import Curves, final_report
from minidl.cli.train_setup import Settings, Setup, prepare
from minidl.data.named import NAMES
from minidl.distributed import DistBackendError
from minidl.inspect.tables import text_table
from minidl.recipes import Recipe, RecipeError, load_recipe, recipe_names
from minidl.training import Console, RunFolder, Training, Watch, locked, stop_at_signals
from minidl.training.run_folder import LAST, checkpoints_in

WORKERS = 1
HERE = object()  # --resume without a folder

DESCRIPTION = """train a network on a data set, by its recipe: the paper's where it can be

NET is one of `minidl nets`. The data is digits, mnist, fashion-mnist, cifar10, cifar100, imagefolder:PATH (with the
folders train and val, and in them one for each class) or imagenet:PATH. Without --recipe the network's own is taken
(--list-recipes), whose entries the options below override; what came out of that is in recipe.toml.

Ctrl-C finishes the step, saves, and says how to go on; --resume goes on as if the training had never stopped, bit for
bit. The folder of the run has last.safetensors and best.safetensors (checkpoints), log.jsonl, curves.png (while it
trains), and in the end report.png and model.safetensors (the weights alone)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("network", nargs="?", metavar="NET", help="its name: resnet20, lenet5, ... (`minidl nets` lists them)")
    add("--data", metavar="D", help=f"what to train on: {', '.join(NAMES)}")
    add("--recipe", metavar="R", help="a recipe by name, or a TOML file of your own (the network's)")
    add("--list-recipes", action="store_true", help="show the recipes, and do nothing else")
    add(
        "--epochs",
        type=positive_int,
        metavar="N",
        help="times through the images; the schedule is stretched to it "
        "(with --resume: so many in all, and the schedule stays)",
    )
    add("--batch-size", type=positive_int, metavar="N", help="images in a step")
    add("--lr", type=positive_float, metavar="X", help="the learning rate to begin with (of OneCycleLR: the highest)")
    add("--validation", type=part, metavar="N", help="training images to keep back: a number, or a fraction below 1")
    add("--seed", type=seed, metavar="N", help="of weights, order, augmentation and dropout (0)")
    add("--resize", action="store_true", help="scale images whose size does not fit the network or the recipe")
    add("--data-dir", "--root", dest="root", type=Path, metavar="DIR", help="where the data lies, or is downloaded to")
    add("--partial", action="store_true", help="make do with the files of cifar10 or cifar100 that are there")
    add("--device", metavar="D", help="cpu, cuda or cuda:1 (cuda where there is one)")
    add("--workers", type=count, default=WORKERS, metavar="N", help="threads that load; no result depends on them (1)")
    add("--max-steps", type=positive_int, metavar="N", help="stop after so many steps in all, as by Ctrl-C")
    add("--save-every", type=interval, default=Interval(), metavar="T", help="60s, 10min, or 500 steps (5min)")
    add("--out", type=Path, metavar="DIR", help="the folder of the run (runs/NET-DATA)")
    add("--distributed", choices=["mpi", "nccl"], help="train with all the processes that `mpiexec -n K` started")
    add("--sync-batch-norm", action="store_true", help="batch norm over the images of all processes, not of each")
    add(
        "--timeout", type=seconds, default=40.0, metavar="T", help="give up on a process after so long: 40s, 2min (40s)"
    )
    add("--resume", nargs="?", const=HERE, type=Path, metavar="DIR", help="go on with the run in DIR (or in --out)")


def run(arguments: argparse.Namespace) -> int:
    if arguments.list_recipes:
        print(recipe_table())
        return 0
    with crew_of(arguments.distributed, arguments.timeout) as crew:
        settings = Settings(**json.loads(crew.from_first(lambda: json.dumps(asdict(chosen_settings(arguments))))))
        setup = crew.in_turn(lambda: prepare(settings, arguments.device, arguments.workers))
        if not crew.is_first:
            return follow(setup, arguments, crew)
        folder = run_folder(arguments)
        with alone_in(writable_folder(folder)):
            return train(setup, folder, arguments, crew)


def chosen_settings(arguments: argparse.Namespace) -> Settings:
    """Those of the run to go on with, or of a new one."""
    folder = run_folder(arguments)
    if arguments.resume is not None:
        return resumed(arguments, folder)
    if any(path.exists() for path in checkpoints_in(folder)):
        raise CommandError(
            f"there is a run in {folder} already: `{resume_command(folder)}` goes on with it, --out DIR puts a new one "
            "elsewhere"
        )
    return Settings.of(arguments)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """CommandError: another process trains in `folder`."""
    try:
        with locked(folder):
            yield
    except BlockingIOError as error:
        raise CommandError(f"{error}: wait for it, or --out DIR for another run") from None


def run_folder(arguments: argparse.Namespace) -> Path:
    """The folder that is meant: of --resume, of --out, or named after network and data."""
    if arguments.resume not in (None, HERE):
        return arguments.resume
    if arguments.out is not None:
        return arguments.out
    for value, name in ((arguments.network, "NET"), (arguments.data, "--data")):
        if value is None:
            raise CommandError(f"{name} is missing: `minidl train NET --data D`, or `minidl train --resume DIR`")
    return Path("runs", f"{arguments.network}-{Path(arguments.data).name.replace(':', '-')}")


def resumed(arguments: argparse.Namespace, folder: Path) -> Settings:
    """The settings of the run in `folder`. CommandError: there is none, or the options contradict it."""
    if not any(path.exists() for path in checkpoints_in(folder)):
        raise CommandError(
            f"there is no run in {folder}: it has no last.safetensors and no best.safetensors. Was nothing saved yet "
            "(--save-every)? Then begin again"
        )
    try:  # what is damaged is said later, when it is loaded
        _, (content, _) = load_first(checkpoints_in(folder), read_checkpoint, lambda text: None)
        settings = Settings(**content["state"]["settings"])
        different = settings.contradictions(arguments)
    except (CheckpointError, RecipeError) as error:
        raise CommandError(str(error)) from None
    except (KeyError, TypeError):
        raise CommandError(f"the run in {folder} was not begun by `minidl train`") from None
    network_named(settings.network)
    if different:
        raise CommandError(f"the run in {folder} was begun otherwise: {', '.join(different)}; --out DIR for a new one")
    ours, theirs = versions(), content["versions"]
    changed = [f"{name} {theirs.get(name)} (here {ours[name]})" for name in ours if theirs.get(name) != ours[name]]
    if changed:
        print(f"note: begun with {', '.join(changed)}: the last bits may come out differently")
    if arguments.root is not None:  # the data may have moved
        settings = replace(settings, root=str(arguments.root.absolute()))
    return settings if arguments.epochs is None else replace(settings, extended_to=arguments.epochs)


def follow(setup: Setup, arguments: argparse.Namespace, crew: Crew) -> int:
    """What every process but the first does: take the same steps, and leave the rest to it."""
    training = setup.training
    if arguments.resume is not None:
        with crew.received() as path:
            training.load_state_dict(load_checkpoint(path, training.model, training.optimizer)["training"])
    limit = StopAfter(arguments.max_steps)
    if not training.finished:
        limit.step(training)
    with stop_at_signals(training, say=False):
        try:
            training.run(limit)
        except FloatingPointError:  # on all of them: the first says it, and ends the job
            pass
        except OSError as error:
            raise CommandError(str(error)) from None
        except MemoryError as error:
            raise CommandError(f"out of memory ({error}): --batch-size N for less") from None
    crew.finish()
    return 0


def train(setup: Setup, folder: Path, arguments: argparse.Namespace, crew: Crew) -> int:
    """Train to the end or until a signal; returns the exit code."""
    training, console = setup.training, Console(setup.watched)
    often = arguments.save_every
    run_files = RunFolder(
        folder, asdict(setup.settings), save_seconds=often.seconds, save_steps=often.steps, tell=console.tell
    )
    go_on = crew.command(resume_command(folder, arguments))
    print_header(setup, folder, crew, go_on)
    try:
        if arguments.resume is not None:
            path = run_files.resume(training)
            crew.send(path)
            place = f"epoch {training.position.epoch + 1}, step {training.position.step}"
            print(f"resumed from {path}: {'nothing is left to do' if training.finished else place}")
        else:
            run_files.begin()
        with atomic_write(folder / "recipe.toml") as file:
            file.write(setup.recipe.to_toml().encode())
    except (CheckpointError, OSError) as error:
        raise CommandError(str(error)) from None

    watch = Watch(console.tell, len(setup.splits.classes))
    curves = Curves(folder / "curves.png", setup.settings.title, setup.watched, console.tell)
    limit = StopAfter(arguments.max_steps)
    if not training.finished:  # a run that goes on may have taken so many steps already
        limit.step(training)
    with stop_at_signals(training) as stopped:
        try:
            # The files first: that nobody reads what is printed must not keep an epoch from being saved.
            training.run(watch, run_files, console, curves, limit)
        except KeyboardInterrupt:
            if not training.testing:  # in the middle of a step, which a second signal broke off
                print(f"\nleft at once; {kept_in(folder)}. To go on:\n  {go_on}")
                if crew.backend is None:
                    return stopped.exit_code
                raise SystemExit(stopped.exit_code) from None  # which ends the others too
        except FloatingPointError as error:
            raise CommandError(f"{error}\n{kept_in(folder)}") from None
        except MemoryError as error:
            raise CommandError(f"out of memory ({error}): --batch-size N for less\n{kept_in(folder)}") from None
        except BrokenPipeError:
            raise
        except OSError as error:  # an image that cannot be read: no step was under way
            run_files.save(training)
            raise CommandError(f"{error}\n{kept_in(folder)}") from None
        except DistBackendError as error:
            raise CommandError(f"{error}\n{kept_in(folder)}. To go on:\n  {go_on}") from None
        finally:
            console.close()
        run_files.save(training)
    curves.draw(training)
    unsaved = f"{folder / LAST} could not be written: {kept_in(folder)}"
    if training.stop:
        if not run_files.saved:
            raise CommandError(unsaved)
        place = f"in epoch {training.position.epoch + 1}, after step {training.position.step}"
        print(f"\nstopped {place}; saved. To go on:\n  {go_on}")
        crew.finish()
        return stopped.exit_code
    final_report(setup, folder)
    crew.finish()
    if not run_files.saved:
        raise CommandError(unsaved)
    return 0


class StopAfter:
    """Stops a training after `steps` steps in all, as a signal would: for --max-steps."""

    def __init__(self, steps: int | None):
        self.steps = steps

    def step(self, training: Training) -> None:
        if self.steps is not None and training.position.step >= self.steps:
            training.stop = True

    def epoch(self, training: Training) -> None:
        pass


def resume_command(folder: Path, arguments: argparse.Namespace | None = None) -> str:
    """With the options that no checkpoint keeps: where and how it runs, not what."""
    words = ["minidl", "train", "--resume", str(folder)]
    if arguments is not None:
        words += ["--device", arguments.device] if arguments.device else []
        words += ["--workers", str(arguments.workers)] if arguments.workers != WORKERS else []
        words += ["--save-every", arguments.save_every.text] if arguments.save_every.text else []
    return shlex.join(words)


def kept_in(folder: Path) -> str:
    """What there is to go on from: last.safetensors and best.safetensors in runs/x are from before that"""
    kept = [path.name for path in checkpoints_in(folder) if path.exists()]
    if not kept:
        return f"there is no checkpoint in {folder} yet"
    return f"{' and '.join(kept)} in {folder} {'are' if len(kept) > 1 else 'is'} from before that"


# -------------------------------------------------------------------------------------------------------- in words


def print_header(setup: Setup, folder: Path, crew: Crew, go_on: str) -> None:
    training, recipe, splits = setup.training, setup.recipe, setup.splits
    parameters = sum(parameter.numel() for parameter in setup.model.parameters())
    counts = [f"{len(training.train_loader.dataset):,} to train on"]  # type: ignore[attr-defined]
    if setup.watched == "validation":
        counts.append(f"{len(training.test_loader.dataset):,} to validate on")  # type: ignore[attr-defined]
    counts.append(f"{len(splits.test):,} to test on")
    print(f"{setup.network.name} on {setup.settings.data}: {parameters:,} parameters, {len(splits.classes)} classes")
    print(f"images: {', '.join(counts)}")
    for note in setup.notes:
        print(f"note: {note}")
    print(f"recipe {recipe.name}: {in_words(recipe)}")
    steps = f", {training.max_steps:,} steps" if training.max_steps else ""
    if crew.backend is not None:
        statistics = "all of them" if setup.settings.sync_batch_norm else "each"
        who = "1 process" if crew.size == 1 else f"{crew.size} processes"
        print(
            f"{who} ({crew.backend}), each with its part of every batch; batch norm, if there is one, over the images "
            f"of {statistics}"
        )
        # Now, for mpiexec swallows what a job says when it is stopped.
        print(f"stopped or broken off, it goes on, with any -n, by\n  {go_on}")
    print(
        f"{_epochs(training.epochs)}{steps} in batches of {recipe.batch_size}; seed {setup.settings.seed}; on "
        f"{training.device}; everything goes to {folder}"
    )


def _epochs(count: int) -> str:
    return f"{count} epoch{'' if count == 1 else 's'}"


def in_words(recipe: Recipe) -> str:
    """SGD, lr 0.1, momentum 0.9; MultiStepLR, milestones 32000 48000, by step"""
    tables = [recipe.optimizer, recipe.schedule] if recipe.schedule else [recipe.optimizer]
    return "; ".join(_table_in_words(table) for table in tables)


def _table_in_words(table: dict) -> str:
    words = [table["name"]]
    for key, value in table.items():
        if key == "schedulers":
            words += [f"({_table_in_words(each)})" for each in value]
        elif key != "name":
            values = value if isinstance(value, list) else [value]
            words.append(
                f"{key} {' '.join(f'{each:.4g}' if isinstance(each, float) else str(each) for each in values)}"
            )
    return ", ".join(words)


def recipe_table() -> str:
    """The recipes, and for which networks they are."""
    rows = []
    for name in recipe_names():
        recipe = load_recipe(name)
        length = _epochs(recipe.epochs) if recipe.epochs else f"{recipe.iterations:,} steps"
        rate = f"{recipe.optimizer['name']} {recipe.optimizer['lr']}"
        schedule = recipe.schedule.get("name", "constant")
        rows.append([name, rate, schedule, str(recipe.batch_size), length, " ".join(recipe.networks) or "(on request)"])
    table = text_table(["recipe", "optimizer", "schedule", "batch", "length", "networks"], rows, 6)
    return f"{table}\n\nEach is a TOML file in minidl/recipes; --recipe takes one of your own as well."


# ------------------------------------------------------------------------------------------------- kinds of options


def count(text: str) -> int:
    """An int of at least 0."""
    return seed(text)


def part(text: str) -> float:
    """A number of images, or a fraction: 5000, 0.1, 0."""
    if text.isdecimal():
        return int(text)
    value = positive_float(text)
    if value >= 1:
        raise argparse.ArgumentTypeError(f"must be a whole number, or a fraction below 1, got {text}")
    return value


class Interval(NamedTuple):
    """How often: after so many seconds, or steps; `text`: as it was asked for."""

    seconds: float = 300.0
    steps: int | None = None
    text: str = ""


def seconds(text: str) -> float:
    """60s, 10min, 1h."""
    every = interval(text)
    if every.steps is not None:
        raise argparse.ArgumentTypeError(f"must be a time, as 60s or 10min, got {text}")
    return every.seconds


def interval(text: str) -> Interval:
    """60s, 10min, 1h, or 500 (steps)."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|min|h)", text)
    if match:
        return Interval(float(match[1]) * {"s": 1, "min": 60, "h": 3600}[match[2]], text=text)
    if text.isdecimal() and int(text):
        return Interval(math.inf, int(text), text)
    raise argparse.ArgumentTypeError(f"must be a time such as 60s or 10min, or a number of steps, got {text!r}")
