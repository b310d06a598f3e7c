"""Datasets, splits, the loader and the digits."""

import importlib
import importlib.util
import pickle
from collections import namedtuple
from itertools import chain

import numpy
import pytest

import minidl
from minidl.backend import Generator
from minidl.data import DataLoader, Dataset, Digits, Subset, TensorDataset, default_collate, random_split
from minidl.data.digits import stratified_split
from minidl.nn import functional

torch = importlib.import_module("torch") if importlib.util.find_spec("torch") else None
needs_digits = pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="scikit-learn is not installed")


def pairs(count=10):
    """Samples (vector, label) whose values name their index."""
    vectors = numpy.arange(count * 3, dtype=numpy.float32).reshape(count, 3)
    return TensorDataset(minidl.Tensor(vectors), minidl.Tensor(numpy.arange(count)))


class Squares(Dataset):
    """A dataset of the plainest kind: no `batch`, Python numbers."""

    def __len__(self):
        return 7

    def __getitem__(self, index):
        return index, index**2


# ------------------------------------------------------------------------------------------------------- datasets


def test_tensor_dataset():
    data = pairs()
    assert len(data) == 10
    vector, label = data[4]
    assert vector.tolist() == [12, 13, 14]
    assert label.item() == 4
    with pytest.raises(AssertionError, match="Size mismatch between tensors"):
        TensorDataset(minidl.Tensor(numpy.ones(3)), minidl.Tensor(numpy.ones(2)))
    with pytest.raises(TypeError, match="Tensors with at least one dimension"):
        TensorDataset(numpy.ones(3))


def test_a_dataset_defines_its_two_methods():
    with pytest.raises(NotImplementedError, match=r"Dataset\.__getitem__"):
        Dataset()[0]
    with pytest.raises(NotImplementedError, match=r"Dataset\.__len__"):
        len(Dataset())


@pytest.mark.parametrize("data", [pairs(), Squares()], ids=["at once", "one by one"])
def test_subset(data):
    part = Subset(data, [5, 0, 5])
    assert len(part) == 3
    assert [int(part[i][-1]) for i in range(3)] == [int(data[i][-1]) for i in (5, 0, 5)]
    first, _ = next(iter(DataLoader(Subset(part, [2, 1]), batch_size=2)))
    assert first.tolist() == next(iter(DataLoader([data[5], data[0]], batch_size=2)))[0].tolist()


def test_a_subset_is_pickled_and_follows_its_indices():
    part = pickle.loads(pickle.dumps(Subset(pairs(), [5, 0])))
    assert labels_of(DataLoader(part, 2)) == [[5, 0]]
    part.indices = [7, 8]
    assert labels_of(DataLoader(part, 2)) == [[7, 8]]
    assert not hasattr(Subset(Squares(), [1]), "batch")


@pytest.mark.parametrize(
    ("lengths", "sizes"),
    [([7, 3], [7, 3]), ([0.5, 0.5], [5, 5]), ([0.25, 0.25, 0.5], [3, 2, 5]), ([10, 0], [10, 0])],
)
def test_random_split(lengths, sizes):
    parts = random_split(pairs(), lengths, Generator(0))
    assert [len(part) for part in parts] == sizes
    assert sorted(index for part in parts for index in part.indices) == list(range(10))
    again = random_split(pairs(), lengths, Generator(0))
    assert [part.indices for part in again] == [part.indices for part in parts]
    if torch is not None:
        theirs = torch.utils.data.random_split(range(10), lengths)
        assert [len(part) for part in theirs] == sizes


def test_random_split_refuses():
    for lengths in ([3, 3], [0.3, 0.3]):
        with pytest.raises(ValueError, match="Sum of input lengths does not equal the length of the input dataset"):
            random_split(pairs(), lengths)
    with pytest.raises(ValueError, match="fractions must be between 0 and 1"):
        random_split(pairs(), [1.5, -0.5])


# ----------------------------------------------------------------------------------------------------- the loader


def labels_of(loader):
    return [batch[-1].tolist() for batch in loader]


def flat(batches):
    return list(chain.from_iterable(batches))


@pytest.mark.parametrize("data", [pairs(), list(zip(range(10), range(10), strict=True))], ids=["at once", "one by one"])
def test_batches_in_order(data):
    assert labels_of(DataLoader(data, 4)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert labels_of(DataLoader(data, 4, drop_last=True)) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert [len(DataLoader(data, n)) for n in (1, 4, 5, 10, 11)] == [10, 3, 2, 1, 1]
    assert [len(DataLoader(data, n, drop_last=True)) for n in (1, 4, 5, 10, 11)] == [10, 2, 2, 1, 0]
    assert labels_of(DataLoader(data, 11, drop_last=True)) == []


def test_batches_keep_their_dtype_and_own_their_memory():
    data = pairs()
    x, y = next(iter(DataLoader(data, 4)))
    assert (x.shape, x.dtype, y.dtype) == ((4, 3), minidl.float32, minidl.int64)
    x.data[:] = -1
    assert data.tensors[0].data.min() == 0


def test_shuffled_epochs_differ_and_can_be_repeated():
    loader = DataLoader(pairs(), 4, shuffle=True, generator=Generator(3))
    first, second = labels_of(loader), labels_of(loader)
    for epoch in (first, second):
        assert [len(batch) for batch in epoch] == [4, 4, 2]
        assert sorted(flat(epoch)) == list(range(10))
    assert first != second
    again = DataLoader(pairs(), 4, shuffle=True, generator=Generator(3))
    assert [labels_of(again), labels_of(again)] == [first, second]
    again.epoch = 1  # a resumed training sees what it would have seen
    assert labels_of(again) == second
    assert flat(labels_of(DataLoader(pairs(), 3, shuffle=True, generator=Generator(3)))) == flat(first)


def test_vectors_and_labels_stay_together():
    for x, y in DataLoader(pairs(), 4, shuffle=True):
        assert (x[:, 0] / 3).tolist() == y.tolist()


def test_manual_seed_decides_the_order():
    orders = []
    for seed in (1, 1, 2):
        minidl.manual_seed(seed)
        orders.append(labels_of(DataLoader(pairs(), 10, shuffle=True)))
    assert orders[0] == orders[1] != orders[2]


def test_a_loader_without_shuffling_draws_nothing():
    minidl.manual_seed(0)
    before = minidl.backend.default_generator.get_state()
    labels_of(DataLoader(pairs(), 4))
    assert minidl.backend.default_generator.get_state() == before


def test_two_iterations_at_once():
    loader = DataLoader(pairs(4), 2)
    assert [(a[1].tolist(), b[1].tolist()) for a, b in zip(loader, loader, strict=True)] == [
        ([0, 1], [0, 1]),
        ([2, 3], [2, 3]),
    ]


def test_loader_refuses():
    for size in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match="batch_size should be a positive integer value"):
            DataLoader(pairs(), size)
    with pytest.raises(TypeError, match="a dataset has __len__ and __getitem__"):
        DataLoader(5)
    with pytest.raises(ValueError, match="cannot shuffle a dataset without samples"):
        DataLoader([], shuffle=True)
    assert list(DataLoader([])) == []


def test_settings_that_have_no_effect():
    assert labels_of(DataLoader(pairs(2), 2, pin_memory=True, persistent_workers=True)) == [[0, 1]]


def test_collate_fn():
    assert list(DataLoader(Squares(), 3, collate_fn=len)) == [3, 3, 1]
    assert list(DataLoader(pairs(), 4, collate_fn=lambda batch: batch[0][1].item())) == [0, 4, 8]


def test_default_collate():
    Point = namedtuple("Point", "x y")
    assert default_collate([1, 2]).dtype == minidl.int64
    assert default_collate([1.0, 2.0]).dtype == minidl.float64
    assert default_collate([True, False]).tolist() == [True, False]
    assert default_collate(["a", "b"]) == ["a", "b"]
    assert default_collate([numpy.ones(2, numpy.float32)] * 3).shape == (3, 2)
    assert default_collate([numpy.float32(1), numpy.float32(2)]).dtype == minidl.float32
    assert default_collate([minidl.Tensor(numpy.ones((2, 3)))] * 4).shape == (4, 2, 3)
    assert default_collate([{"x": 1, "y": "a"}, {"x": 2, "y": "b"}])["x"].tolist() == [1, 2]
    assert default_collate([Point(1, 2), Point(3, 4)]).y.tolist() == [2, 4]
    assert [part.tolist() for part in default_collate([(1, [2, 3]), (4, [5, 6])])[1]] == [[2, 5], [3, 6]]


def test_default_collate_refuses():
    with pytest.raises(TypeError, match="batch must contain tensors, numpy arrays, numbers, dicts or lists; found set"):
        default_collate([{1}, {2}])
    with pytest.raises(RuntimeError, match="same number of elements"):
        default_collate([(1, 2), (3,)])
    with pytest.raises(RuntimeError, match=r"equal size, but got \[\(2,\), \(3,\)\]"):
        default_collate([numpy.ones(2), numpy.ones(3)])


# ----------------------------------------------------------------------------------------------------- the digits


@needs_digits
def test_digits():
    train, test = Digits(train=True), Digits(train=False)
    assert (len(train), len(test)) == (1437, 360)
    image, label = train[0]
    assert (image.shape, image.dtype, label.dtype) == ((1, 32, 32), minidl.float32, minidl.int64)
    counts = numpy.bincount(test.tensors[1].data)
    assert counts.min() >= 35
    assert counts.max() <= 37
    images = train.tensors[0].data
    assert abs(images.mean()) < 1e-5
    assert abs(images.std() - 1) < 1e-5
    assert (train.mean, train.std) == (test.mean, test.std)
    values = train.denormalize(images)
    assert values.min() == pytest.approx(0, abs=1e-6)
    assert values.max() == pytest.approx(1, abs=1e-6)


@needs_digits
def test_the_split_is_fixed_and_disjoint():
    train, test = Digits(train=True, size=8), Digits(train=False, size=8)
    raw = importlib.import_module("sklearn.datasets").load_digits()
    images = numpy.concatenate([part.denormalize(part.tensors[0].data[:, 0]) for part in (train, test)])
    labels = numpy.concatenate([part.tensors[1].data for part in (train, test)])

    def lines(values, classes):
        return sorted((int(label), *map(int, row.ravel())) for label, row in zip(classes, values, strict=True))

    assert lines(numpy.rint(16 * images), labels) == lines(raw.images, raw.target)
    assert test.tensors[1].tolist()[:12] == Digits(train=False, size=8).tensors[1].tolist()[:12]


@needs_digits
def test_digits_are_at_least_8_wide():
    with pytest.raises(ValueError, match="size must be at least 8"):
        Digits(size=7)


def test_digits_without_scikit_learn(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "\.\[digits\]" in your clone'):
        Digits()


def test_stratified_split():
    labels = numpy.repeat([0, 1, 2], [10, 20, 30])
    training, testing = stratified_split(labels, every=5, seed=0)
    assert numpy.bincount(labels[testing]).tolist() == [2, 4, 6]
    assert sorted([*training, *testing]) == list(range(60))


@needs_digits
def test_digits_are_resized_as_by_interpolate():
    """Pixels are squares: the centres of four new ones lie at -3/8, -1/8, 1/8, 3/8 of an old one's."""
    small, large = Digits(size=8), Digits(size=32)
    image = small.denormalize(small.tensors[0].numpy()[0, 0])
    expected = functional.interpolate(minidl.Tensor(image[None, None]), (32, 32), mode="bilinear").numpy()[0, 0]
    actual = large.denormalize(large.tensors[0].numpy()[0, 0])
    numpy.testing.assert_allclose(actual, expected, atol=1e-5)
    assert actual[2, 2] == pytest.approx((7 * (7 * image[0, 0] + image[0, 1]) + 7 * image[1, 0] + image[1, 1]) / 64)
