"""Reading, checking and writing recipes, and building what they name."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from minidl import optim
from minidl.creation import zeros
from minidl.data import transforms
from minidl.optim import Optimizer, lr_scheduler
from minidl.optim.lr_scheduler import LRScheduler
from minidl.tensor import Tensor
from minidl.training.auxiliary import AuxiliaryLoss

FOLDER = Path(__file__).parent

OPTIMIZERS = {name: getattr(optim, name) for name in optim.__all__ if name not in ("Optimizer", "lr_scheduler")}
SCHEDULERS = {
    name: getattr(lr_scheduler, name)
    for name in (
        "StepLR",
        "MultiStepLR",
        "ExponentialLR",
        "CosineAnnealingLR",
        "LinearLR",
        "OneCycleLR",
        "ReduceLROnPlateau",
        "SequentialLR",
    )
}
TRANSFORMS = {name: getattr(transforms, name) for name in transforms.__all__ if name != "Transform"}
COLOUR_ONLY = ("Lighting", "ColorJitter")
TIMES = ("milestones", "step_size", "T_max", "total_iters", "total_steps")  # arguments that count epochs or steps


class RecipeError(Exception):
    """A recipe that cannot be read, or says something that is not possible."""


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. The fields are the tables of the file: see the package."""

    name: str
    networks: list[str] = field(default_factory=list)
    epochs: int | None = None
    iterations: int | None = None
    batch_size: int = 128
    validation: float = 0
    fit: str = ""
    optimizer: dict[str, Any] = field(default_factory=dict)
    schedule: dict[str, Any] = field(default_factory=dict)
    loss: dict[str, Any] = field(default_factory=dict)
    network: dict[str, Any] = field(default_factory=dict)
    augment: list[dict[str, Any]] = field(default_factory=list)
    evaluate: list[dict[str, Any]] = field(default_factory=list)

    # ------------------------------------------------------------------------------------------ what it names

    def optimizer_for(self, parameters: Iterable[Tensor]) -> Optimizer:
        return OPTIMIZERS[self.optimizer["name"]](parameters, **_options(self.optimizer))

    def scheduler_for(self, optimizer: Optimizer) -> LRScheduler | None:
        """The schedule, or None for a constant rate."""
        return _scheduler(optimizer, self.schedule) if self.schedule else None

    @property
    def schedule_by(self) -> str:
        return self.schedule.get("by", "epoch")

    def loss_function(self) -> AuxiliaryLoss:
        """Cross-entropy, with those of auxiliary classifiers where there are any."""
        return AuxiliaryLoss(self.loss.get("auxiliary", 0.0), self.loss.get("label_smoothing", 0.0))

    def pipeline(
        self, table: str, size: tuple[int, int], input_size: tuple[int, int], mean: Any, std: Any
    ) -> list[transforms.Transform]:
        """The transforms of "augment" or "evaluate", for images of `size` and a network made for `input_size`.

        `mean` and `std` of the channels are for Normalize; images without three channels go without changes of colour.
        """
        steps = [step for step in getattr(self, table) if len(mean) == 3 or step["name"] not in COLOUR_ONLY]
        names = [step["name"] for step in steps]
        steps = steps + [{"name": name} for name in ("ToTensor", "Normalize") if name not in names]
        made = []
        for step in steps:
            kind, options = TRANSFORMS[step["name"]], _options(step)
            if step["name"] == "Normalize":
                options = {"mean": mean, "std": std} | options
            elif "size" in inspect.signature(kind).parameters:
                options.setdefault("size", size)
                if options["size"] == "input":
                    options["size"] = input_size
            made.append(kind(**options))
        return made

    def length(self, steps_per_epoch: int) -> tuple[int, int | None]:
        """The epochs that are begun, and the steps after which the last of them ends (None: with the epoch)."""
        if self.iterations is None:
            return self.epochs or 1, None
        return -(-self.iterations // steps_per_epoch), self.iterations

    def changed(self, lr: float | None = None, **settings: Any) -> Recipe:
        """Another lr, batch_size or validation; what is None stays as it is. For OneCycleLR, lr is the highest rate."""
        recipe = replace(self, **{name: value for name, value in settings.items() if value is not None})
        if lr is None:
            return recipe
        schedule = self.schedule | {"max_lr": lr} if "max_lr" in self.schedule else self.schedule
        return replace(recipe, optimizer=self.optimizer | {"lr": lr}, schedule=schedule)

    def for_epochs(self, epochs: int, steps_per_epoch: int) -> Recipe:
        """A longer or shorter training, whose schedule is stretched: what came after 50 % comes after 50 %."""
        factor = epochs / (self.epochs or (self.iterations or 1) / steps_per_epoch)
        return replace(self, epochs=epochs, iterations=None, schedule=_stretched(self.schedule, factor))

    def to_toml(self) -> str:
        """The text of a file that holds this recipe."""
        values = {
            name: value for name, value in asdict(self).items() if name != "name" and value not in (None, "", {}, [])
        }
        return "\n".join(_toml(values)) + "\n"


# ------------------------------------------------------------------------------------------------------- reading


def recipe_names() -> list[str]:
    """The recipes of the package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def default_recipe(network: str) -> str | None:
    """The name of the recipe that lists the network; None where none does."""
    return next((name for name in recipe_names() if network in load_recipe(name).networks), None)


def load_recipe(name: str) -> Recipe:
    """A recipe of the package by its name, or one from a file by its path.

    RecipeError: there is neither, it is no TOML, or it has a key or a value that means nothing.
    """
    path = FOLDER / f"{name}.toml" if name in recipe_names() else Path(name)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        hint = _nearest(name, recipe_names()) or f"the recipes are {', '.join(recipe_names())}"
        raise RecipeError(f"no recipe {name!r}, and no file of that name can be read ({reason}); {hint}") from None
    return parse_recipe(text, path.stem, str(path))


def parse_recipe(text: str, name: str, where: str) -> Recipe:
    """The recipe in `text`, checked. `where` is for error messages."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{where} is no TOML: {error}") from None
    known = {each.name: each for each in fields(Recipe) if each.name != "name"}
    _check_keys(where, values, known)
    for key, value in values.items():
        kind = type(_default(known[key]))
        if kind in (dict, list) and not isinstance(value, kind):
            raise RecipeError(f"{where}: {key} must be {'a table' if kind is dict else 'a list'}, but is {value!r}")
    recipe = Recipe(name, **values)
    _check(recipe, where)
    return recipe


def _default(each: Any) -> Any:
    return each.default_factory() if callable(each.default_factory) else each.default


def _check(recipe: Recipe, where: str) -> None:
    """Build everything once, so that what is wrong is said before the training and not in its middle."""
    for key in ("epochs", "iterations", "batch_size"):
        value = getattr(recipe, key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise RecipeError(f"{where}: {key} must be an int of at least 1, but is {value!r}")
    if (recipe.epochs is None) == (recipe.iterations is None):
        raise RecipeError(f"{where}: a recipe has either epochs or iterations")
    if not isinstance(recipe.validation, (int, float)) or not recipe.validation >= 0:
        raise RecipeError(
            f"{where}: validation must be a number of images, or a fraction, but is {recipe.validation!r}"
        )
    if recipe.fit not in ("", "pad"):
        raise RecipeError(f'{where}: fit can be "pad" or left out, but is {recipe.fit!r}')
    _check_keys(f"{where}: [loss]", recipe.loss, ("auxiliary", "label_smoothing"))
    for key, value in recipe.loss.items():
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise RecipeError(f"{where}: [loss] {key} must be a number, but is {value!r}")
    _check_named(f"{where}: [optimizer]", recipe.optimizer, OPTIMIZERS)
    if recipe.schedule:
        _check_schedule(f"{where}: [schedule]", recipe.schedule)
    for table in ("augment", "evaluate"):
        for number, step in enumerate(getattr(recipe, table), 1):
            _check_named(f"{where}: [[{table}]] number {number}", step, TRANSFORMS)
    try:
        recipe.scheduler_for(recipe.optimizer_for([zeros(1, requires_grad=True)]))
        recipe.loss_function()
        for table in ("augment", "evaluate"):
            recipe.pipeline(table, (8, 8), (8, 8), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{where}: {str(error).splitlines()[0]}") from None


def _check_schedule(where: str, table: dict[str, Any]) -> None:
    if table.get("name") == "inv":
        _check_keys(where, table, ("name", "by", "gamma", "power"))
    else:
        _check_named(where, table, SCHEDULERS, ("by",), also=("inv",))
    if table.get("by", "epoch") not in ("epoch", "step"):
        raise RecipeError(f'{where}: by is "epoch" or "step", but is {table["by"]!r}')
    if table["name"] == "ReduceLROnPlateau" and table.get("by") == "step":
        raise RecipeError(f'{where}: ReduceLROnPlateau looks at the test after an epoch: by = "epoch"')
    for number, part in enumerate(table.get("schedulers", ()), 1):
        _check_schedule(f"{where} scheduler {number}", part)


def _check_named(
    where: str, table: Any, known: dict[str, Any], further: Sequence[str] = (), also: Sequence[str] = ()
) -> None:
    """A table with the name of a class and arguments that it takes."""
    if not isinstance(table, dict) or not isinstance(table.get("name"), str):
        raise RecipeError(f'{where} needs a name, such as name = "{next(iter(known))}"')
    if table["name"] not in known:
        names = [*known, *also]
        hint = _nearest(table["name"], names) or f"the names are {', '.join(names)}"
        raise RecipeError(f"{where}: there is no {table['name']!r}; {hint}")
    parameters = list(inspect.signature(known[table["name"]]).parameters)
    _check_keys(where, table, ("name", *further, *(each for each in parameters if each not in ("params", "optimizer"))))


def _check_keys(where: str, table: dict[str, Any], known: Iterable[str]) -> None:
    known = list(known)
    for key in table:
        if key not in known:
            hint = _nearest(key, known) or f"the keys are {', '.join(known)}"
            raise RecipeError(f"{where}: unknown key {key!r}; {hint}")


def _nearest(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else ""


# ------------------------------------------------------------------------------------------------------ building


class InverseDecay:
    """(1 + gamma t)^-power: Caffe's policy "inv". An object, so that LambdaLR takes it with its numbers."""

    def __init__(self, gamma: float, power: float):
        self.gamma, self.power = gamma, power

    def __call__(self, epoch: int) -> float:
        return (1 + self.gamma * epoch) ** -self.power


def _scheduler(optimizer: Optimizer, table: dict[str, Any]) -> LRScheduler:
    options = {key: value for key, value in _options(table).items() if key != "by"}
    if table["name"] == "inv":
        return lr_scheduler.LambdaLR(optimizer, InverseDecay(**options))
    if "schedulers" in options:
        options["schedulers"] = [_scheduler(optimizer, part) for part in options["schedulers"]]
    return SCHEDULERS[table["name"]](optimizer, **options)


def _options(table: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key != "name"}


def _stretched(table: dict[str, Any], factor: float) -> dict[str, Any]:
    result = dict(table)
    for key in TIMES:
        if key in table:
            value = table[key]
            # at least 1: a rate that falls before the first step is another rate
            stretched = [max(round(each * factor), 1) for each in (value if isinstance(value, list) else [value])]
            result[key] = stretched if isinstance(value, list) else stretched[0]
    if table.get("name") == "inv":
        result["gamma"] = table["gamma"] / factor
    if "schedulers" in table:
        result["schedulers"] = [_stretched(part, factor) for part in table["schedulers"]]
    return result


# ------------------------------------------------------------------------------------------------------- writing


def _toml(table: dict[str, Any], path: str = "") -> list[str]:
    """The lines of a table: values first, then the tables in it."""
    lines = [f"{key} = {_toml_value(value)}" for key, value in table.items() if not _is_table(value)]
    for key, value in table.items():
        name = f"{path}{key}"
        if isinstance(value, dict):
            lines += ["", f"[{name}]", *_toml(value, f"{name}.")]
        elif _is_table(value):
            for each in value:
                lines += ["", f"[[{name}]]", *_toml(each, f"{name}.")]
    return lines


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_toml_value(each) for each in value)}]"
    return repr(value)
