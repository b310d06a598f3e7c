"""FractalNet: the fractal against its grid of columns, drop-path, columns alone, gradients, agreement with PyTorch."""

import functools
import importlib
import math
from collections import Counter

import numpy
import pytest

import minidl
from tests.architectures.agreement import (
    assert_agrees,
    assert_gradients,
    assert_learns,
    count_parameters,
    measure,
    random_images,
    undrawn,
)

fractalnet = importlib.import_module("architectures.fractalnet")  # of this name, the package has the function

COLUMNS = [1, 2, 3, 4]


def test_numbers_and_shapes():
    with undrawn():
        model = fractalnet.fractalnet()
    assert count_parameters(model) == 33_724_618
    blocks = [count_parameters(block) for block in model.blocks]
    assert blocks == [153_536, 812_800, 3_247_616, 12_983_296, 16_522_240]
    measured = measure(model, (3, 32, 32), *[f"blocks.{i}" for i in range(5)], "join", "")
    assert measured.multiply_adds == 845_222_912
    paths = [[(c, s, s)] * 3 for c, s in ((64, 32), (128, 16), (256, 8), (512, 4), (512, 2))]
    joined = [(64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 2, 2), (512, 1, 1)]
    assert measured.shapes == [shape for pair in zip(paths, joined, strict=True) for shape in pair] + [(10,)]
    kinds = Counter(type(module).__name__ for module in model.modules())
    assert kinds["Conv2d"] == kinds["BatchNorm2d"] == 35
    assert [block.conv[1].p for block in model.blocks] == [0.0, 0.1, 0.2, 0.3, 0.4]
    with undrawn():
        assert count_parameters(fractalnet.fractalnet(num_classes=100, in_channels=1)) == 33_770_788 - 3 * 2 * 64 * 9


def narrow(columns, num_classes):
    """The networks of the paper's study of depth."""
    return fractalnet.FractalNet(columns, (16, 32, 64, 128, 128), (0.0,) * 5, num_classes=num_classes)


@pytest.mark.parametrize(
    "columns, parameters, multiply_adds",
    [(1, 258_292, 4_583_936), (2, 847_716, 19_182_080), (3, 2_125_204, 53_834_240), (4, 4_778_820, 128_594_432)],
)
def test_the_rule_at_other_depths(columns, parameters, multiply_adds):
    with undrawn():
        model = narrow(columns, 100)
    measured = measure(model, (3, 32, 32))
    assert (count_parameters(model), measured.multiply_adds) == (parameters, multiply_adds)


# ---------------------------------------------------------------------------------------------------- the fractal


def fractal(columns, drop_path=0.0):
    minidl.manual_seed(columns)
    return fractalnet.Fractal(columns, 2, 3, 0.0, drop_path)


def units(model, column):
    """The convolutions of a column, 0 the shortest, in the order of the data."""
    if column == 0 or model.columns == 1:
        return [model.conv]
    return units(model.first, column - 1) + units(model.second, column - 1)


def grid(model, x):
    """Figure 1 row by row: column c has a unit after every 2^(C-1-c) rows; the columns that end in a row are joined."""
    c_max = model.columns
    queues = [units(model, c) for c in range(c_max)]
    values, rows = [x] * c_max, 2 ** (c_max - 1)
    for row in range(1, rows + 1):
        ending = [c for c in range(c_max) if row % 2 ** (c_max - 1 - c) == 0]
        for c in ending:
            values[c] = queues[c].pop(0)(values[c])
        if row < rows:
            mean = sum(values[c] for c in ending) / len(ending)
            for c in ending:
                values[c] = mean
    assert not any(queues)
    return values


@pytest.mark.parametrize("columns", COLUMNS)
def test_the_fractal_is_the_grid(columns):
    model = fractal(columns).double()
    x = random_images(2, 2, 5, 4)
    found, expected = model(x), grid(model, x)
    assert len(found) == columns
    for ours, theirs in zip(found, expected, strict=True):
        assert minidl.allclose(ours, theirs, rtol=0, atol=1e-9)


@pytest.mark.parametrize("columns", COLUMNS)
def test_a_column_alone_is_a_chain(columns):
    model = fractal(columns, drop_path=0.5).eval()
    x = random_images(2, 2, 5, 4, dtype=numpy.float32)
    for column in range(columns):
        chain = units(model, column)
        assert len(chain) == 2**column
        (found,) = model(x, column)
        assert minidl.equal(found, functools.reduce(lambda value, unit: unit(value), chain, x))


def thin(columns=3, dropout=0.0, drop_path=0.0, global_share=0.0):
    """Three blocks, for images of 8x8."""

    def build(module):
        return module.FractalNet(columns, (3, 4, 4), (dropout,) * 3, drop_path, global_share, 3, in_channels=2)

    return build


def test_the_network_joins_what_is_pooled():
    model = thin()(fractalnet).eval()
    x = random_images(2, 2, 8, 8, dtype=numpy.float32)
    expected = x
    for block in model.blocks:
        expected = sum(model.pool(path) for path in grid(block, expected)) / 3
    assert minidl.allclose(model(x), model.fc(expected.flatten(1)), atol=1e-6)


@pytest.mark.parametrize("column", [0, 1, 2])
def test_any_column_alone(column):
    model = thin()(fractalnet).eval()
    x = random_images(2, 2, 8, 8, dtype=numpy.float32)
    expected = x
    for block in model.blocks:
        for unit in units(block, column):
            expected = unit(expected)
        expected = model.pool(expected)
    assert minidl.equal(model(x, column=column), model.fc(expected.flatten(1)))


# -------------------------------------------------------------------------------------------------------- drop-path


def survivors(join, count):
    """Which of `count` paths one call of the join takes the mean of."""
    paths = [minidl.tensor([float(i == j) for j in range(count)]) for i in range(count)]
    values = join(paths).numpy()
    kept = tuple(numpy.flatnonzero(values).tolist())
    assert values[list(kept)] == pytest.approx(1 / len(kept))
    return kept


def test_local_drop_path():
    """Each path is dropped with probability p by itself; where all are, a random one stays."""
    p, draws = 0.4, 4000
    minidl.manual_seed(0)
    join = fractalnet.Join(p)
    counts = Counter(survivors(join, 2) for _ in range(draws))
    alone = p * (1 - p) + p * p / 2
    for kept, probability in (((0, 1), (1 - p) ** 2), ((0,), alone), ((1,), alone)):
        assert counts[kept] / draws == pytest.approx(probability, abs=4 * math.sqrt(probability / draws))
    assert survivors(join.eval(), 3) == (0, 1, 2)


def test_a_join_never_drops_everything():
    join = fractalnet.Join(1.0)
    assert {survivors(join, 3) for _ in range(60)} == {(0,), (1,), (2,)}
    assert survivors(join, 1) == (0,)


def test_global_drop_path_takes_one_column_of_the_whole_network():
    minidl.manual_seed(0)
    model = thin(drop_path=0.15, global_share=1.0)(fractalnet)
    seen = Counter()
    for _ in range(30):
        model.zero_grad()
        model(random_images(3, 2, 8, 8, dtype=numpy.float32)).sum().backward()
        trained = {
            id(module) for module in model.modules() if hasattr(module, "weight") and module.weight.grad is not None
        }
        columns = [
            {id(layer) for block in model.blocks for unit in units(block, c) for layer in (unit[0], unit[2])}
            | {id(model.fc)}
            for c in range(3)
        ]
        seen[columns.index(trained)] += 1
    assert set(seen) == {0, 1, 2}


def test_half_of_the_mini_batches_are_global():
    minidl.manual_seed(0)
    model = fractalnet.FractalNet(2, (2,), (0.0,), drop_path=0.0, num_classes=2, in_channels=1)
    x, draws, shares, ran = minidl.randn(2, 1, 2, 2), 400, Counter(), []
    for module in model.modules():
        if isinstance(module, fractalnet.Unit):
            module.register_forward_hook(lambda *_: ran.append(1))
    for _ in range(draws):
        ran.clear()
        model(x)
        shares[len(ran)] += 1  # 3 units in all, 1 in the short column, 2 in the long one
    for units_run, share in ((3, 1 / 2), (1, 1 / 4), (2, 1 / 4)):
        assert shares[units_run] / draws == pytest.approx(share, abs=0.1)


def test_evaluation_is_not_random():
    model = thin(dropout=0.4, drop_path=0.5, global_share=0.5)(fractalnet).eval()
    x = random_images(2, 2, 8, 8, dtype=numpy.float32)
    first = model(x)
    assert all(minidl.equal(model(x), first) for _ in range(5))


# ----------------------------------------------------------------------------------------------- gradients and torch


def test_initial_weights():
    """Caffe's: uniform between +-sqrt(3 / fan_in)."""
    weight = fractalnet.FractalNet(1, (32, 64), (0.0, 0.0)).blocks[1].conv[0].weight
    assert abs(weight).max().item() <= math.sqrt(3 / (32 * 9))
    assert weight.std().item() == pytest.approx(math.sqrt(1 / (32 * 9)), rel=0.02)


@pytest.mark.parametrize(
    "drop_path, global_share", [(0.0, 0.0), (0.3, 0.0), (0.3, 1.0)], ids=["all paths", "local", "global"]
)
def test_gradients(drop_path, global_share):
    assert_gradients(thin(3, 0.2, drop_path, global_share)(fractalnet), (3, 2, 8, 8))


def test_learns():
    minidl.manual_seed(0)
    assert_learns(thin()(fractalnet), (6, 2, 8, 8), classes=3, steps=10)


@pytest.mark.torch
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("columns", [1, 3])
def test_agrees_with_pytorch(columns, training):
    assert_agrees(thin(columns), "fractalnet", (3, 2, 8, 8), training=training)


@pytest.mark.torch
@pytest.mark.parametrize("column", [0, 2])
def test_a_column_agrees_with_pytorch(column):
    def build(module):
        model = thin()(module)
        model.forward = functools.partial(model.forward, column=column)
        return model

    assert_agrees(build, "fractalnet", (3, 2, 8, 8))
