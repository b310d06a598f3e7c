"""From the command line's settings to a training: data, network, optimizer and loaders, all of one seed."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import minidl
from architectures.catalog import NETWORKS, Network
from minidl.backend import Generator, cuda_device_count, device
from minidl.cli.arguments import CommandError
from minidl.cli.networks import network_named
from minidl.data import BatchSampler, DataLoader, RandomSampler, ShardedBatchSampler, Subset, random_split
from minidl.data.images import ArrayDataset
from minidl.data.named import Splits, named
from minidl.data.transforms import CenterCrop, Compose, Pad, Resize, Transform
from minidl.distributed import get_node_local_rank, get_rank, get_world_size, is_initialized
from minidl.grad_mode import no_grad
from minidl.inspect.trace import unchanged
from minidl.nn import Module, SyncBatchNorm
from minidl.optim import Optimizer
from minidl.optim.lr_scheduler import LRScheduler
from minidl.recipes import Recipe, RecipeError, default_recipe, load_recipe
from minidl.recipes.recipe import parse_recipe
from minidl.training import ShardedTraining, Training

SCALING = ("Resize", "RandomResizedCrop")
TEST_BATCH = 250  # images; testing keeps nothing for a backward pass


@dataclass(frozen=True)
class Settings:
    """What a run is: kept in its checkpoints, so that --resume needs nothing else. Plain values, for JSON."""

    network: str
    data: str
    recipe_name: str
    recipe: str  # TOML, with --lr, --batch-size and --validation in it
    epochs: int | None = None  # as many instead of the recipe's
    seed: int = 0
    resize: bool = False
    partial: bool = False
    sync_batch_norm: bool = False
    root: str | None = None
    extended_to: int | None = None  # epochs, where a --resume asked for another end: the schedule is not stretched

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Settings:
        """From the options of a new run. CommandError: an unknown network or recipe."""
        network_named(arguments.network)
        try:
            recipe = _chosen_recipe(arguments)
        except RecipeError as error:
            raise CommandError(str(error)) from None
        root = None if arguments.root is None else str(arguments.root.absolute())
        return cls(
            network=arguments.network,
            data=_absolute(arguments.data),
            recipe_name=recipe.name,
            recipe=recipe.to_toml(),
            epochs=arguments.epochs,
            seed=arguments.seed or 0,
            resize=arguments.resize,
            partial=arguments.partial,
            sync_batch_norm=arguments.sync_batch_norm,
            root=root,
        )

    def contradictions(self, arguments: argparse.Namespace) -> list[str]:
        """Options that are given and say something else than those that the run was begun with.

        RecipeError: the recipe that is asked for, or that of the run, cannot be read.
        """
        recipe = self.parsed()
        kept = {
            "network": self.network,
            "data": self.data,
            "seed": self.seed,
            "lr": recipe.optimizer.get("lr"),
            "batch_size": recipe.batch_size,
            "validation": recipe.validation,
            "recipe": self.recipe_name,
            "resize": self.resize,
            "partial": self.partial,
            "sync_batch_norm": self.sync_batch_norm,
        }
        given = {name: getattr(arguments, name) for name in kept}
        if given["recipe"] is not None:
            asked = _chosen_recipe(arguments)
            changed = f"{asked.name} as it is now" if asked.name == self.recipe_name else asked.name
            given["recipe"] = self.recipe_name if asked == recipe else changed
        if given["data"] is not None:
            given["data"] = _absolute(given["data"])
        names = {name: "NET" if name == "network" else f"--{name.replace('_', '-')}" for name in kept}
        different = [name for name, value in given.items() if value not in (None, False) and value != kept[name]]
        return [f"{names[name]} {given[name]} (not {kept[name]})" for name in different]

    @property
    def title(self) -> str:
        """resnet20 on cifar10; of a path, the last part."""
        return f"{self.network} on {Path(self.data).name}"

    def parsed(self) -> Recipe:
        return parse_recipe(self.recipe, self.recipe_name, "the recipe of the run")


def _absolute(data: str) -> str:
    """The name of a data set, which must mean the same from any folder."""
    kind, colon, path = data.partition(":")
    return f"{kind}:{Path(path).expanduser().absolute()}" if colon else data


def _chosen_recipe(arguments: argparse.Namespace) -> Recipe:
    """The recipe asked for or the network's own, with the entries that the command line overrides."""
    name = arguments.recipe or default_recipe(arguments.network)
    if name is None:
        raise RecipeError(f"no recipe lists {arguments.network}; choose one with --recipe (--list-recipes shows them)")
    recipe = load_recipe(name)
    return recipe.changed(lr=arguments.lr, batch_size=arguments.batch_size, validation=arguments.validation)


@dataclass
class Setup:
    """A training and what its report needs beside it."""

    settings: Settings
    recipe: Recipe
    network: Network
    model: Module
    optimizer: Optimizer
    training: Training
    splits: Splits
    test_loader: DataLoader
    watched: str  # what the training is watched with after each epoch: "validation" or "test"
    notes: list[str]


def prepare(settings: Settings, device_name: str | None, workers: int) -> Setup:
    """Build everything. CommandError: data that is not there, images that do not fit, a device that is missing."""
    notes: list[str] = []
    network, recipe = NETWORKS[settings.network], settings.parsed()
    splits = _data(settings)
    train_images, test_images = _transformed(splits, network, recipe, settings, notes)

    minidl.manual_seed(settings.seed)
    model = _model(network, recipe, splits, test_images[0][0].shape)
    if settings.sync_batch_norm:
        SyncBatchNorm.convert_sync_batchnorm(model)
    try:
        model.to(device(device_name or default_device()))
    except RuntimeError as error:
        raise CommandError(str(error).splitlines()[0].removeprefix("to(): ")) from None

    kept_back = _kept_back(recipe, len(train_images))
    watched_images: Any = test_images
    if kept_back:
        parts = random_split(
            range(len(train_images)), [len(train_images) - kept_back, kept_back], Generator(settings.seed)
        )
        watched_images = Subset(splits.train.with_transform(test_images.transform), parts[1].indices)
        train_images = Subset(train_images, parts[0].indices)
    if recipe.batch_size > len(train_images):
        raise CommandError(
            f"a batch of {recipe.batch_size} is more than the {len(train_images)} images to train on: --batch-size N"
        )
    train_loader = _train_loader(train_images, recipe.batch_size, workers)
    watched_loader = DataLoader(_part_of_rank(watched_images), TEST_BATCH, num_workers=workers)
    test_loader = DataLoader(test_images, TEST_BATCH, num_workers=workers)

    if settings.epochs is not None:
        recipe = recipe.for_epochs(settings.epochs, len(train_loader))
    optimizer = recipe.optimizer_for(model.parameters())
    epochs, max_steps = recipe.length(len(train_loader))
    if settings.extended_to is not None:
        epochs, max_steps = settings.extended_to, None
    scheduler = recipe.scheduler_for(optimizer)
    _check_length(scheduler, epochs if recipe.schedule_by == "epoch" else max_steps or epochs * len(train_loader))
    training = (ShardedTraining if is_initialized() else Training)(
        model,
        optimizer,
        recipe.loss_function(),
        train_loader,
        watched_loader,
        epochs,
        scheduler=scheduler,
        schedule_by=recipe.schedule_by,
        max_steps=max_steps,
    )
    watched = "validation" if kept_back else "test"
    return Setup(settings, recipe, network, model, optimizer, training, splits, test_loader, watched, notes)


def default_device() -> str:
    """The GPU, if there is one; with several processes on a machine, each takes its own."""
    if not minidl.cuda.is_available():
        return "cpu"
    return f"cuda:{get_node_local_rank(get_rank()) % cuda_device_count()}" if is_initialized() else "cuda"


def _train_loader(images: Any, batch_size: int, workers: int) -> DataLoader:
    """Shuffled; with several processes, the part of this one of each batch. CommandError: a batch is too small."""
    if not is_initialized():
        return DataLoader(images, batch_size, shuffle=True, num_workers=workers)
    smallest = len(images) % batch_size or batch_size  # no batch is larger than the images
    if smallest < get_world_size():
        raise CommandError(
            f"{len(images):,} images in batches of {batch_size} leave {smallest} for the last one, and each of the "
            f"{get_world_size()} processes needs an image of every batch: another --batch-size, or fewer processes"
        )
    parts = ShardedBatchSampler(BatchSampler(RandomSampler(images), batch_size, drop_last=False))
    return DataLoader(images, batch_sampler=parts, num_workers=workers)


def _part_of_rank(images: Any) -> Any:
    """Every K-th image, with K processes. CommandError: there are more processes than images."""
    if not is_initialized():
        return images
    if len(images) < get_world_size():
        raise CommandError(f"{len(images)} images to test on are not enough for {get_world_size()} processes")
    return Subset(images, range(get_rank(), len(images), get_world_size()))


def _check_length(scheduler: LRScheduler | None, calls: int) -> None:
    """CommandError: the schedule ends before the training does."""
    total = getattr(scheduler, "total_steps", calls)
    if calls > total:
        raise CommandError(f"the schedule has total_steps = {total}, and the training would take {calls:,} of them")


def _data(settings: Settings) -> Splits:
    try:
        return named(settings.data, settings.root, partial=settings.partial)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise CommandError(str(error).removeprefix("named(): ").replace("partial=True", "--partial")) from None


def _kept_back(recipe: Recipe, count: int) -> int:
    """How many training images are for validation. CommandError: nothing would be left to train on."""
    kept = round(recipe.validation * count) if recipe.validation < 1 else round(recipe.validation)
    if kept >= count:
        raise CommandError(f"{kept} images to validate on leave none of the {count} to train on: --validation N")
    return kept


# --------------------------------------------------------------------------------------------------- images that fit


def _transformed(splits: Splits, network: Network, recipe: Recipe, settings: Settings, notes: list[str]) -> list[Any]:
    """The training and the test images, as the recipe transforms them for this network.

    CommandError: they would have to be enlarged, and nobody said --resize.
    """
    size, wanted = splits.image_shape[1:], network.input_shape[1:]
    of_one_size = isinstance(splits.train, ArrayDataset)
    result = []
    for table, images in (("augment", splits.train), ("evaluate", splits.test)):
        if any(step["name"] in SCALING for step in getattr(recipe, table)):
            if of_one_size and size != wanted and _fits_in(size, wanted) and not settings.resize:
                raise CommandError(
                    f"the images of {settings.data} are {_by(size)}, and the recipe {recipe.name} makes {_by(wanted)} "
                    f"of them: --resize lets it (enlarged images are slow), or {_small_networks()}"
                )
            steps: list[Transform] = []
            note, now = "", size
        elif not of_one_size:
            steps, now = [Resize(min(wanted)), CenterCrop(wanted)], wanted
            note = f"every image is scaled to {min(wanted)} pixels and cropped to {_by(wanted)}"
        elif recipe.fit == "pad" and size != wanted and _fits_in(size, wanted):
            rows, columns = (wanted[0] - size[0]) // 2, (wanted[1] - size[1]) // 2
            steps, now = [Pad((columns, rows, wanted[1] - size[1] - columns, wanted[0] - size[0] - rows))], wanted
            note = f"images of {_by(size)} are padded to {_by(wanted)}"
        elif settings.resize and size != wanted:
            steps, now = [Resize(wanted)], wanted
            note = f"images of {_by(size)} are scaled to {_by(wanted)}"
        else:
            steps, note, now = [], "", size
        if note and note not in notes:
            notes.append(note)
        pipeline = recipe.pipeline(table, now, wanted, splits.mean, splits.std)
        result.append(images.with_transform(Compose([*steps, *pipeline])))
    return result


def _fits_in(size: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return all(mine <= theirs for mine, theirs in zip(size, wanted, strict=True))


def _model(network: Network, recipe: Recipe, splits: Splits, shape: tuple[int, ...]) -> Module:
    """The network for this data. CommandError: it cannot read images of `shape`, or the recipe's options."""
    channels = shape[0]
    try:
        model = network.build(num_classes=len(splits.classes), in_channels=channels, **recipe.network)
    except (TypeError, ValueError) as error:
        raise CommandError(f"{network.name} cannot be built: {str(error).splitlines()[0]}") from None
    if shape[1:] != network.input_shape[1:]:
        try:
            with unchanged(model), no_grad():
                model.train()
                model(minidl.zeros(2, *shape))
        except (RuntimeError, ValueError):
            raise CommandError(
                f"{network.name} reads images of {_by(network.input_shape[1:])}, and these are {_by(shape[1:])}: "
                f"--resize scales them, or {_small_networks()}"
            ) from None
    return model


def _small_networks() -> str:
    return "take a network for small images: resnet20, wrn_16_8, densenet40_12, ... (`minidl nets` has the sizes)"


def _by(size: Any) -> str:
    return "x".join(map(str, size))
