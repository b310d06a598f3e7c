"""`minidl lecture`: the rule of the verdicts, and what it finds in the lecture."""

import json

import pytest

from minidl import cli, nn
from minidl.cli import lecture
from minidl.cli.lecture_statements import longest_chain, reach, statements
from minidl.cli.statement import Statement, tally


def verdict(stated, computed):
    return Statement("topic", "claim", stated, computed, "how").verdict


@pytest.mark.parametrize(
    "stated, computed, expected",
    [
        ("1,728", 1728, "exact"),
        ("1,728", 1729, "wrong"),
        ("0", 0, "exact"),
        ("0", 1, "wrong"),
        ("55", 55, "exact"),
        ("55", 56, "wrong"),
        ("35K", 34_848, "rounded"),
        ("35K", 35_500, "rounded"),
        ("35K", 35_501, "wrong"),
        ("35K", 35_000, "exact"),
        ("150K", 150_528, "rounded"),  # the zero is not a digit: 145,000 to 155,000
        ("150K", 155_001, "wrong"),
        ("3.2M", 3_211_264, "rounded"),
        ("3.2M", 3_260_000, "wrong"),
        ("24M", 15_237_608, "wrong"),
        ("5 million", 6_998_552, "wrong"),
        ("96 MB", 60_950_432, "wrong"),
        ("96 MB", 96_000_000, "exact"),
        ("6.7 %", 6.67, "rounded"),
        ("3.57 %", 3.57, "exact"),
        ("11.7 %", 14.8, "wrong"),
        ("50x", 48.8, "rounded"),
        ("12x", 8.71, "wrong"),
        ("~2", 1.99, "rounded"),
        ("1e-2", 0.01, "exact"),
        ("1e-2", 0.014, "rounded"),
        ("1e-2", 0.016, "wrong"),
        ("no", 0, "exact"),
        ("no", 1, "wrong"),
        ("most", 50.1, "exact"),
        ("most", 49.9, "wrong"),
        ("<0.5 MB", 470_000, "exact"),
        ("<0.5 Mb", 470_000, "wrong"),
        ("<0.5 Mb", 62_000, "exact"),
        ("27x27x96", "27x27x96", "exact"),
        ("27x27x96", "27x26x96", "wrong"),
        ("2017", (2016, 2017), "exact"),
        ("2017", (2016,), "wrong"),
    ],
)
def test_verdict(stated, computed, expected):
    assert verdict(stated, computed) == expected


def test_computed_values_take_the_unit_of_the_statement():
    def text(stated, computed):
        return Statement("topic", "claim", stated, computed, "how").computed_text

    assert text("35K", 34_848) == "34,848"
    assert text("96 MB", 60_950_432) == "60.95 MB"
    assert text("<0.5 Mb", 470_000) == "3.76 Mb"
    assert text("6.7 %", 6.67) == "6.67 %"
    assert text("most", 63.221) == "63.22 %"
    assert text("50x", 48.833) == "48.8x"
    assert text("~2", 1.9901) == "1.99"
    assert text("2014", (2013, 2014)) == "2013 or 2014"
    assert text("7x7 = 7x7", "7x7 = 7x7") == "7x7 = 7x7"


def test_reach_and_longest_chain():
    """The two measurements behind "same receptive field" and "22 layers"."""
    assert reach(nn.Conv2d(2, 2, 5, padding=2)) == "5x5"
    assert reach(nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, (3, 1), padding=(1, 0)))) == "5x3"

    one, other, last = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)
    x = one.weight  # anything that requires a gradient
    assert longest_chain(x.sum().grad_fn) == 0
    assert longest_chain(one(x).relu().grad_fn) == 1
    assert longest_chain((last(other(one(x))) + one(x)).grad_fn) == 3  # a shortcut does not count


@pytest.fixture(scope="module")
def found():
    return list(statements())


def test_every_statement_of_the_lecture_gets_its_verdict(found):
    """If this changes, a network has changed: the lecture has not."""
    assert tally(found) == {"exact": 106, "rounded": 25, "wrong": 10}
    wrong = {(each.topic, each.claim): (each.stated, each.computed_text) for each in found if each.verdict == "wrong"}
    assert wrong == {
        ("Review: LeNet-5", "layers"): ("CONV-POOL-CONV-POOL-FC-FC", "CONV-POOL-CONV-POOL-FC-FC-FC"),
        ("ZFNet", "top-5 error of ZFNet"): ("11.7 %", "14.8 %"),
        ("VGG16: memory and parameters", "TOTAL memory, numbers"): ("24M", "15,237,608"),
        ("VGG16: memory and parameters", "TOTAL memory, bytes"): ("96 MB", "60.95 MB"),
        ("GoogLeNet", "FC layers"): ("no", "1"),
        ("GoogLeNet", "parameters"): ("5 million", "6,998,552"),
        ("GoogLeNet", "fewer parameters than AlexNet"): ("12x", "8.71x"),
        ("GoogLeNet: the Inception module", "reduced: total operations"): ("358M", "271,351,808"),
        ("SqueezeNet", "size of the model"): ("<0.5 Mb", "3.76 Mb"),
        ("Years of the papers", "Iandola et al. (SqueezeNet)"): ("2017", "2016"),
    }


def test_what_is_wrong_is_explained(found):
    assert all(each.remark for each in found if each.verdict == "wrong")
    (total,) = [each for each in found if each.stated == "358M"]
    assert "358,055,936" in total.remark  # what the slide's number is the sum of


def test_the_lecture_numbers_are_there(found):
    stated = {each.stated for each in found}
    assert stated >= {"35K", "55x55x96", "55x55x48 x 2", "138M", "854M", "358M", "28x28x672", "28x28x480", "22", "152"}
    assert stated >= {"18.2 %", "15.4 %", "16.4 %", "11.7 %", "7.3 %", "6.7 %", "3.57 %", "5 million", "12x", "50x"}
    table = [each for each in found if each.topic.startswith("VGG16")]
    assert sum(each.claim.endswith(": memory") for each in table) == 22
    assert sum(each.claim.endswith(": parameters") for each in table) == 21


def test_formats(found, monkeypatch, capsys):
    monkeypatch.setattr(lecture, "statements", lambda: iter(found))
    assert cli.main(["lecture"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "141 statements: 106 exact, 25 rounded, 10 wrong"
    assert sum(line.startswith("exact ") for line in lines) == 106
    assert sum(line.startswith("rounded ") for line in lines) == 25
    assert not any("\033" in line for line in lines)  # no colours into a pipe

    assert cli.main(["lecture", "--only", "wrong"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "141 statements: 106 exact, 25 rounded, 10 wrong"
    assert sum(line.startswith("wrong ") for line in lines) == 10

    assert cli.main(["lecture", "--format", "markdown"]) == 0
    output = capsys.readouterr().out
    assert output.count("| **wrong** |") == 10
    assert output.count("\n### ") == len({each.topic for each in found})

    assert cli.main(["lecture", "--format", "json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["summary"] == {"exact": 106, "rounded": 25, "wrong": 10}
    assert len(record["statements"]) == 141
    assert {"stated": "35K", "computed": 34848, "verdict": "rounded"}.items() <= record["statements"][6].items()
