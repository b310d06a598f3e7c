"""LeNet-5 as the paper has it: the table of C3, subsampling that learns, the distances from ten drawings."""

import numpy
import pytest

import minidl
from architectures import lenet
from tests.architectures.agreement import assert_agrees, assert_gradients, assert_learns, count_parameters, measure


def test_counts_and_shapes():
    model = lenet.lenet5_1998()
    assert count_parameters(model) == 60_000
    counts = {name: count_parameters(layer) for name, layer in model.named_children()}
    assert counts == {"c1": 156, "s2": 12, "c3": 1_516, "s4": 32, "c5": 48_120, "f6": 10_164}
    stages = {
        "c1": (6, 28, 28),
        "s2": (6, 14, 14),
        "c3": (16, 10, 10),
        "s4": (16, 5, 5),
        "c5": (120, 1, 1),
        "f6": (84,),
        "": (10,),
    }
    measured = measure(model, (1, 32, 32), *stages)
    assert measured.multiply_adds == 326_520
    assert measured.shapes == list(stages.values())


def test_as_it_is_built_today():
    model = lenet.lenet5()
    assert count_parameters(model) == 61_706
    assert measure(model, (1, 32, 32)).multiply_adds == 416_520


def test_table_of_c3():
    """Its pattern, which is certain: 6 maps see three maps of S2, 9 see four, 1 sees all; each is seen ten times."""
    rows = [*lenet.THREES.split(), *lenet.FOURS.split(), "012345"]
    assert [len(row) for row in rows] == [3] * 6 + [4] * 9 + [6]
    assert len(set(rows)) == 16 and all(sorted(set(row)) == list(row) for row in rows)
    assert all("".join(rows).count(seen) == 10 for seen in "012345")

    def contiguous(row):  # on a ring of six
        return any(set(row) == {str((start + i) % 6) for i in range(len(row))} for start in range(6))

    assert [contiguous(row) for row in rows] == [True] * 12 + [False] * 3 + [True]


def test_c3_sees_what_its_table_says():
    """A change of one map of S2 changes exactly the maps of C3 that list it."""
    rows = [*lenet.THREES.split(), *lenet.FOURS.split(), "012345"]
    c3 = lenet.PartialConvolution()
    x = minidl.randn(1, 6, 14, 14)
    before = c3(x).detach().numpy()
    for seen in range(6):
        moved = x.clone()
        moved[:, seen] += 1.0
        changed = (c3(moved).detach().numpy() != before).any(axis=(0, 2, 3))
        assert changed.tolist() == [str(seen) in row for row in rows]


def test_subsampling_by_hand():
    layer = lenet.Subsampling(2)
    state = {"weight": numpy.array([0.5, -1.0]).reshape(2, 1, 1), "bias": numpy.array([1.0, 2.0]).reshape(2, 1, 1)}
    layer.load_state_dict(state)
    x = minidl.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[1.0, 1.0], [1.0, -5.0]]]])
    assert layer(x).tolist() == [[[[6.0]], [[4.0]]]]


def test_scores_are_minus_the_distances():
    """Equation (7) as it is written, from the state of F6."""
    model = lenet.lenet5_1998().double()
    found = []
    model.f6.register_forward_hook(lambda module, inputs, output: found.append(output))
    scores = model(minidl.randn(3, 1, 32, 32, dtype=minidl.float64)).detach().numpy()
    f6 = lenet.squash(found[0]).detach().numpy()
    codes = model.codes.numpy()
    distances = [[sum((x - w) ** 2 for x, w in zip(image, code, strict=True)) for code in codes] for image in f6]
    numpy.testing.assert_allclose(scores, -numpy.array(distances), rtol=1e-12)


def test_codes():
    """Ten different drawings of 7x12 pixels, fixed: part of the state, not learnt."""
    model = lenet.lenet5_1998()
    assert tuple(model.codes.shape) == (10, 84)
    assert set(model.codes.numpy().ravel()) == {-1.0, 1.0}
    assert len({tuple(code) for code in model.codes.tolist()}) == 10
    assert "codes" in model.state_dict() and not model.codes.requires_grad
    assert lenet.lenet5_1998(num_classes=4)(minidl.zeros(2, 1, 32, 32)).shape == (2, 4)
    with pytest.raises(ValueError, match="at most 10 classes, got 11"):
        lenet.lenet5_1998(num_classes=11)


def test_squash():
    """Odd, with squash(1) = 1, as far as the four digits of 1.7159 go."""
    y = lenet.squash(minidl.tensor([-1.0, 0.0, 1.0], dtype=minidl.float64)).numpy()
    numpy.testing.assert_allclose(y, [-1.0, 0.0, 1.0], atol=1e-4)


def test_initial_weights():
    """They lie in [-b, b) with b = 2.4 / fan-in, and do not shy away from its ends."""
    minidl.manual_seed(0)
    model = lenet.lenet5_1998()
    for layer, fan_in in ((model.c1, 25), (model.s2, 4), (model.c3.fours, 100), (model.c5, 400), (model.f6, 120)):
        largest = abs(layer.weight.detach().numpy()).max()
        assert 0.3 * 2.4 / fan_in < largest <= 2.4 / fan_in


def test_gradients():
    assert_gradients(lenet.lenet5_1998(), (2, 1, 32, 32))


def test_learns():
    assert_learns(lenet.lenet5_1998(), (10, 1, 32, 32), classes=10, steps=25, lr=0.01)


@pytest.mark.torch
def test_equals_torch():
    assert_agrees(lambda module: module.lenet5_1998(), "lenet", (2, 1, 32, 32))
