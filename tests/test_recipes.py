"""Recipes: every one loads, says what its paper says, and names what it does not understand."""

import math

import pytest

from architectures.catalog import NETWORKS
from minidl import optim
from minidl.creation import zeros
from minidl.data.transforms import Normalize, RandomCrop, RandomHorizontalFlip, RandomResizedCrop, ToTensor
from minidl.recipes import RecipeError, default_recipe, load_recipe, recipe_names
from minidl.recipes.recipe import parse_recipe

SMALL = 'epochs = 3\n[optimizer]\nname = "SGD"\nlr = 0.1\n'


def rates(recipe, times):
    """The learning rate after so many steps of the schedule."""
    optimizer = recipe.optimizer_for([zeros(1, requires_grad=True)])
    optimizer.state[optimizer.param_groups[0]["params"][0]] = {"begun": True}  # no warning of a step too early
    scheduler = recipe.scheduler_for(optimizer)
    found = []
    for time in range(max(times) + 1):
        if time:
            scheduler.step()
        if time in times:
            found.append(optimizer.param_groups[0]["lr"])
    return found


OURS = {"cifar_short"}  # the default of no network, only on request


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_is_for_networks_that_exist_and_survives_being_written(name):
    recipe = load_recipe(name)
    assert bool(recipe.networks) != (name in OURS)
    assert set(recipe.networks) <= set(NETWORKS)
    assert parse_recipe(recipe.to_toml(), name, "here") == recipe


def test_every_network_has_one_recipe():
    lists = [load_recipe(name).networks for name in recipe_names()]
    assert sorted(network for each in lists for network in each) == sorted(NETWORKS)
    assert default_recipe("vgg16") == "vgg"
    assert default_recipe("skynet") is None


PAPERS = {  # lr, momentum, weight decay, batch, Nesterov's; the schedule's (time, lr)
    "alexnet": (0.01, 0.9, 5e-4, 128, False, None),
    "vgg": (0.01, 0.9, 5e-4, 256, False, None),
    "googlenet": (0.01, 0.9, 2e-4, 32, False, [(7, 0.01), (8, 0.0096), (16, 0.009216)]),
    "resnet": (0.1, 0.9, 1e-4, 256, True, [(29, 0.1), (30, 0.01), (60, 0.001)]),
    "resnet_cifar": (0.1, 0.9, 1e-4, 128, False, [(31_999, 0.1), (32_000, 0.01), (48_000, 0.001)]),
    "resnet110_cifar": (
        0.1,
        0.9,
        1e-4,
        128,
        False,
        [(0, 0.01), (399, 0.01), (400, 0.1), (32_000, 0.01), (48_000, 1e-3)],
    ),
    "densenet_cifar": (0.1, 0.9, 1e-4, 64, True, [(149, 0.1), (150, 0.01), (225, 0.001)]),
    "wide_resnet": (0.1, 0.9, 5e-4, 128, True, [(59, 0.1), (60, 0.02), (120, 0.004), (160, 0.0008)]),
    "squeezenet": (0.04, 0.9, 2e-4, 512, False, [(0, 0.04), (85_000, 0.02), (170_000, 0.0)]),
    "lenet": (0.01, 0.9, 5e-4, 64, False, [(0, 0.01), (10_000, 0.01 * 2**-0.75)]),
    "fractalnet": (0.02, 0.9, 0, 100, False, [(200, 0.002), (300, 2e-4), (350, 2e-5), (375, 2e-6)]),
}


@pytest.mark.parametrize("name", PAPERS)
def test_the_numbers_of_the_papers(name):
    recipe = load_recipe(name)
    lr, momentum, decay, batch, nesterov, schedule = PAPERS[name]
    optimizer = recipe.optimizer_for([zeros(1, requires_grad=True)])
    group = optimizer.param_groups[0]
    assert isinstance(optimizer, optim.SGD)
    assert (group["lr"], group["momentum"], group["weight_decay"], group["nesterov"]) == (lr, momentum, decay, nesterov)
    assert recipe.batch_size == batch
    if schedule is None:
        plateau = recipe.scheduler_for(optimizer)
        assert (plateau.mode, plateau.factor) == ("max", 0.1)
        assert recipe.validation == 0.04
    else:
        assert rates(recipe, {time for time, _ in schedule}) == pytest.approx([rate for _, rate in schedule])


def test_what_else_the_papers_say():
    assert load_recipe("googlenet").loss_function().weight == 0.3
    assert load_recipe("alexnet").loss_function().weight == 0.0
    cifar = load_recipe("resnet_cifar")
    assert (cifar.iterations, cifar.validation, cifar.schedule_by) == (64_000, 5000, "step")
    assert cifar.length(352) == (182, 64_000)
    assert load_recipe("vgg").length(5005) == (74, None)


def test_the_transforms_of_cifar():
    pipeline = load_recipe("resnet_cifar").pipeline("augment", (32, 32), (32, 32), (0.5,) * 3, (0.2,) * 3)
    assert [type(step) for step in pipeline] == [RandomCrop, RandomHorizontalFlip, ToTensor, Normalize]
    test = load_recipe("resnet_cifar").pipeline("evaluate", (32, 32), (32, 32), (0.5,) * 3, (0.2,) * 3)
    assert [type(step) for step in test] == [ToTensor, Normalize]


def test_changes_of_colour_are_left_out_for_grey_images():
    colour = load_recipe("resnet").pipeline("augment", (300, 300), (224, 224), (0.5,) * 3, (0.2,) * 3)
    grey = load_recipe("resnet").pipeline("augment", (300, 300), (224, 224), (0.5,), (0.2,))
    names = [type(step).__name__ for step in colour]
    assert names == ["RandomResizedCrop", "RandomHorizontalFlip", "ToTensor", "ColorJitter", "Lighting", "Normalize"]
    assert [type(step) for step in grey] == [RandomResizedCrop, RandomHorizontalFlip, ToTensor, Normalize]


# -------------------------------------------------------------------------------------------------------- overriding


def test_overriding():
    recipe = load_recipe("resnet_cifar")
    other = recipe.changed(lr=0.2, batch_size=64, validation=None)
    assert (other.optimizer["lr"], other.batch_size, other.validation) == (0.2, 64, 5000)
    assert recipe.optimizer["lr"] == 0.1
    assert recipe.changed() == recipe
    cycle = parse_recipe(SMALL + '[schedule]\nname = "OneCycleLR"\nmax_lr = 1.0\ntotal_steps = 10', "mine", "here")
    assert max(rates(cycle.changed(lr=0.5), range(10))) == pytest.approx(0.5, rel=0.01)


def test_another_number_of_epochs_stretches_the_schedule():
    wide = load_recipe("wide_resnet").for_epochs(20, 391)
    assert wide.epochs == 20
    assert wide.schedule["milestones"] == [6, 12, 16]
    cifar = load_recipe("resnet_cifar").for_epochs(10, 352)
    assert (cifar.epochs, cifar.iterations) == (10, None)
    assert cifar.schedule["milestones"] == [1760, 2640]  # half of 3520 steps, and three quarters
    start = load_recipe("resnet110_cifar").for_epochs(10, 352)
    assert start.schedule["milestones"] == [22]
    lenet = load_recipe("lenet").for_epochs(1, 100)
    assert rates(lenet, {0, 100}) == pytest.approx([0.01, 0.01 * 2**-0.75])
    assert load_recipe("vgg").for_epochs(7, 100).schedule == load_recipe("vgg").schedule  # a plateau has no date


def test_one_epoch_begins_with_the_full_rate():
    assert rates(load_recipe("wide_resnet").for_epochs(1, 391), {0}) == [0.1]
    assert rates(load_recipe("googlenet").for_epochs(1, 391), {0}) == [0.01]


# ---------------------------------------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epochs = ", "here is no TOML"),
        (SMALL + "momentun = 0.9", "here: [optimizer]: unknown key 'momentun'; did you mean momentum?"),
        ("epoch = 3\n" + SMALL, "here: unknown key 'epoch'; did you mean epochs?"),
        ("zzz = 3\n" + SMALL, "unknown key 'zzz'; the keys are networks, epochs"),
        ("iterations = 5\n" + SMALL, "a recipe has either epochs or iterations"),
        (SMALL.replace("epochs = 3", ""), "a recipe has either epochs or iterations"),
        (SMALL.replace("3", "0"), "epochs must be an int of at least 1, but is 0"),
        (SMALL.replace("3", "true"), "epochs must be an int of at least 1, but is True"),
        ("batch_size = 1.5\n" + SMALL, "batch_size must be an int of at least 1, but is 1.5"),
        ("validation = -1\n" + SMALL, "validation must be a number of images, or a fraction, but is -1"),
        ("validation = nan\n" + SMALL, "validation must be a number of images, or a fraction, but is nan"),
        ('fit = "stretch"\n' + SMALL, "fit can be \"pad\" or left out, but is 'stretch'"),
        (SMALL.replace("SGD", "SDG"), "[optimizer]: there is no 'SDG'; did you mean SGD?"),
        (SMALL.replace("0.1", "-0.1"), "here: SGD(): Invalid learning rate: -0.1"),
        (SMALL.replace("0.1", '"fast"'), "here: SGD(): Invalid learning rate: 'fast'"),
        ("epochs = 3\n", '[optimizer] needs a name, such as name = "'),
        ("epochs = 3\noptimizer = 7\n", "optimizer must be a table, but is 7"),
        ('networks = "vgg"\n' + SMALL, "networks must be a list, but is 'vgg'"),
        (SMALL + '[schedule]\nname = "StepsLR"\nstep_size = 1', "there is no 'StepsLR'; did you mean StepLR?"),
        (SMALL + '[schedule]\nname = "StepLR"\nstep = 1', "unknown key 'step'; did you mean step_size?"),
        (SMALL + '[schedule]\nname = "StepLR"', "step_size"),
        (SMALL + '[schedule]\nname = "StepLR"\nstep_size = 1\nby = "day"', 'by is "epoch" or "step", but is \'day\''),
        (SMALL + '[schedule]\nname = "inv"\ngama = 1', "unknown key 'gama'; did you mean gamma?"),
        (SMALL + '[schedule]\nname = "ReduceLROnPlateau"\nby = "step"', 'after an epoch: by = "epoch"'),
        (SMALL + "[loss]\nauxilary = 0.3", "unknown key 'auxilary'; did you mean auxiliary?"),
        (SMALL + '[loss]\nauxiliary = "all"', "[loss] auxiliary must be a number, but is 'all'"),
        (SMALL + '[[augment]]\nname = "RandomCorp"', "[[augment]] number 1: there is no 'RandomCorp'; did you mean"),
        (SMALL + '[[augment]]\nname = "RandomCrop"\npaddings = 4', "unknown key 'paddings'; did you mean padding?"),
        (SMALL + "[[evaluate]]\nsize = 4", "[[evaluate]] number 1 needs a name"),
    ],
)
def test_mistakes_are_named(text, words):
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, "mine", "here")
    assert words in str(caught.value)
    assert str(caught.value).startswith("here")


def test_recipes_that_are_not_there(tmp_path):
    with pytest.raises(RecipeError, match=r"no recipe 'resnet_cifer'.*did you mean resnet_cifar\?"):
        load_recipe("resnet_cifer")
    with pytest.raises(RecipeError, match="the recipes are alexnet, "):
        load_recipe("qqq")
    (tmp_path / "a.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(RecipeError, match="it is no text"):
        load_recipe(str(tmp_path / "a.toml"))
    with pytest.raises(RecipeError):
        load_recipe(str(tmp_path))


def test_a_recipe_of_your_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(SMALL + '[schedule]\nname = "CosineAnnealingLR"\nT_max = 4\n[network]\ndropout = 0.3\n')
    recipe = load_recipe(str(path))
    assert (recipe.name, recipe.network) == ("mine", {"dropout": 0.3})
    assert rates(recipe, {2}) == pytest.approx([0.1 * (1 + math.cos(math.pi / 2)) / 2])
