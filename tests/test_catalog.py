"""The catalog holds every network once, with the papers' parameters; and `minidl nets`, which shows it."""

import csv
import inspect
import io
import json

import pytest

import architectures
import minidl
from architectures.catalog import NETWORKS, TORCHVISION, WINNERS
from minidl import cli
from minidl.cli import nets
from minidl.cli.blank import undrawn
from tests.architectures import agreement

PARAMETERS = {
    "lenet5": 61_706,
    "lenet5_1998": 60_000,
    "alexnet": 62_378_344,
    "alexnet_grouped": 60_965_224,
    "alexnet_owt": 61_100_840,
    "zfnet": 62_357_608,
    "zfnet_wide": 107_627_624,
    "vgg11": 132_863_336,
    "vgg13": 133_047_848,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "vgg11_bn": 132_868_840,
    "vgg13_bn": 133_053_736,
    "vgg16_bn": 138_365_992,
    "vgg19_bn": 143_678_248,
    "nin_cifar": 966_986,
    "nin": 7_595_176,
    "googlenet": 13_378_280,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnet50_v1": 25_557_032,
    "resnet101_v1": 44_549_160,
    "resnet152_v1": 60_192_808,
    "plain18": 11_515_688,
    "plain34": 21_623_848,
    "resnet20": 269_722,
    "resnet32": 464_154,
    "resnet44": 658_586,
    "resnet56": 853_018,
    "resnet110": 1_727_962,
    "plain20": 269_722,
    "plain56": 853_018,
    "preact_resnet110": 1_727_962,
    "preact_resnet164": 1_703_258,
    "preact_resnet1001": 10_327_706,
    "wrn_16_8": 10_961_370,
    "wrn_28_10": 36_479_194,
    "wide_resnet50_2": 68_883_240,
    "resnext50_32x4d": 25_028_904,
    "resnext101_32x8d": 88_791_336,
    "resnext29_8x64d": 34_426_698,
    "resnet110_stochastic_depth": 1_727_962,
    "fractalnet": 33_724_618,
    "densenet121": 7_978_856,
    "densenet169": 14_149_480,
    "densenet201": 20_013_928,
    "densenet161": 28_681_000,
    "densenet40_12": 1_019_722,
    "densenet_bc_100_12": 769_162,
    "squeezenet1_0": 1_248_424,
    "squeezenet1_1": 1_235_496,
    "squeezenet1_0_simple_bypass": 1_248_424,
    "squeezenet1_0_complex_bypass": 1_589_672,
}


def test_every_network_is_in_the_catalog_and_in_the_package():
    functions = {name: value for name, value in vars(architectures).items() if inspect.isfunction(value)}
    assert set(PARAMETERS) == set(NETWORKS) == set(functions)
    for name, network in NETWORKS.items():
        assert network.name == name
        assert network.build is functions[name]


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(name):
    with agreement.undrawn():
        model = NETWORKS[name].build()
    assert agreement.count_parameters(model) == PARAMETERS[name]


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_every_network_takes_classes_and_channels(network):
    assert list(inspect.signature(network.build).parameters)[:2] == ["num_classes", "in_channels"]


def test_what_the_catalog_says_is_plausible():
    for network in NETWORKS.values():
        assert len(network.input_shape) == 3
        assert network.name.startswith("lenet") == (network.input_shape[0] == 1)
        assert 1998 <= network.year <= 2016
        if "arXiv:" in network.paper:  # the id begins with year and month
            assert network.year == 2000 + int(network.paper.partition("arXiv:")[2][:2])
        assert str(network.year) in network.paper
        for error in network.published:
            assert error.protocol
            assert error.source
            assert error.top1 is None or 0 < error.top1 < 50
            assert error.top5 is None or 0 < error.top5 < (error.top1 or 25)
            assert (error.dataset == "ImageNet") == (network.input_shape[1] >= 224)
        assert sum(error.source == TORCHVISION for error in network.published) <= 1
        assert len({(error.dataset, error.protocol, error.source) for error in network.published}) == len(
            network.published
        ), f"{network.name}: two errors with the same protocol"


@pytest.mark.parametrize("name", [name for name in NETWORKS if any(digit in name for digit in "123456789")])
def test_the_name_says_the_depth(name):
    unsaid = ("lenet5_1998", "lenet5", "squeezenet")
    if not name.startswith(unsaid):
        assert str(NETWORKS[name].depth) in name


def test_winners_get_better():
    assert [winner.year for winner in WINNERS] == sorted(winner.year for winner in WINNERS)
    errors = [winner.top5 for winner in WINNERS]
    assert errors == sorted(errors, reverse=True)


# ------------------------------------------------------------------------------------------------------ minidl nets


def test_undrawn_weights_are_zero_and_leave_the_random_numbers_alone():
    before = minidl.default_generator.get_state()
    with undrawn():
        model = architectures.googlenet(num_classes=10)
    assert all(not parameter.data.any() for parameter in model.parameters() if parameter.ndim > 1)
    assert minidl.default_generator.get_state() == before
    assert minidl.randn(10).data.any()


def test_nets_counts_what_the_operations_do(capsys):
    assert cli.main(["nets", "googlenet", "lenet5", "resnet20", "--format", "json"]) == 0
    found = {record["name"]: record for record in json.loads(capsys.readouterr().out)}
    assert list(found) == ["lenet5", "googlenet", "resnet20"]  # by year
    google = found["googlenet"]
    assert (google["parameters"], google["training_only"]) == (13_378_280, 13_378_280 - 6_998_552)
    assert google["multiply_adds"] == 1_582_671_872
    assert google["published"][0] == {
        "dataset": "ImageNet",
        "top1": None,
        "top5": 10.07,
        "protocol": "1 crop",
        "source": "Szegedy et al. 2014, arXiv:1409.4842",
    }
    assert found["resnet20"]["multiply_adds"] == 40_551_040
    lenet = found["lenet5"]
    assert lenet["multiply_adds"] == 416_520
    floats = 32 * 32 + 6 * 28 * 28 + 6 * 14 * 14 + 16 * 10 * 10 + 16 * 5 * 5 + 120 + 84 + 10  # ReLU in place
    assert lenet["activation_bytes"] == 4 * floats


def test_nets_as_text(capsys):
    counted = nets.Counted(NETWORKS["googlenet"], 13_378_280, 6_379_728, 1_582_671_872, 27_300_000)
    other = nets.Counted(NETWORKS["vgg19"], 143_667_240, 0, 19_632_062_464, 66_300_000)
    bare = nets.Counted(NETWORKS["plain20"], 269_722, 0, 40_551_040, 1_500_000)

    table = nets.as_table([counted, other, bare])
    assert "13,378,280" in table
    assert "19,632,062,464" in table
    assert "- / 10.07" in table
    assert "25.5 / 8.0 " in table
    assert "6,998,552 remain at test time" in table
    assert table.splitlines()[4].endswith("1.5 MB  -")

    markdown = nets.as_markdown([counted, other, bare]).splitlines()
    assert markdown[0].startswith("| network | input | year |")
    assert {line.count("|") for line in markdown[:5]} == {11}

    rows = list(csv.DictReader(io.StringIO(nets.as_csv([counted, other, bare]))))
    assert [row["name"] for row in rows] == ["googlenet", "vgg19", "plain20"]
    assert rows[1]["multiply_adds"] == "19632062464"
    assert rows[2]["top1"] == ""


def test_nets_chooses_by_pattern():
    assert [network.name for network in nets.select(["vgg1?", "vgg16"])] == ["vgg11", "vgg13", "vgg16", "vgg19"]
    assert [network.name for network in nets.select([])] == list(NETWORKS)


def test_nets_says_that_one_waits_where_there_is_no_bar(capsys):
    lenets = [NETWORKS["lenet5"]] * 9
    assert next(nets.count(lenets)).parameters == 61_706
    assert capsys.readouterr().err == "counting 9 networks: some seconds\n"
    assert next(nets.count(lenets[:8])) and not capsys.readouterr().err


def test_nets_says_which_name_is_near(capsys):
    assert cli.main(["nets", "resnet51"]) == 1
    error = capsys.readouterr().err
    assert "there is no network 'resnet51'" in error
    assert "resnet50" in error
    assert error.count("\n") == 1
