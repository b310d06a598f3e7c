"""The loader's workers, samplers and exact resuming: nothing depends on the number of workers."""

import importlib
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time

import numpy
import pytest

import minidl
from minidl import nn, optim
from minidl.backend import Generator
from minidl.data import (
    ArrayDataset,
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    Draws,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    WeightedRandomSampler,
    current_draws,
    transforms,
)
from minidl.data.randomness import drawing_from, sample_keys

torch = importlib.import_module("torch") if importlib.util.find_spec("torch") else None

AUGMENTATION = transforms.Compose(
    [
        transforms.RandomCrop(8, padding=2),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Lighting(),
        transforms.Cutout(3),
    ]
)


def images(count=40, transform=AUGMENTATION):
    numbers = numpy.random.default_rng(0)
    data = numbers.integers(256, size=(count, 3, 8, 8), dtype=numpy.uint8)
    return ArrayDataset(data, numpy.arange(count), transform)


class OneByOne(Dataset):
    """The same samples without `batch`, each after a while of its own: workers finish in another order."""

    def __init__(self, dataset, slow=False):
        self.dataset, self.slow = dataset, slow

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        if self.slow:
            time.sleep(0.002 * (index % 3))
        return self.dataset[index]


class Numbers(Dataset):
    def __init__(self, count=20, bad=()):
        self.count, self.bad = count, bad

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if index in self.bad:
            raise ValueError(f"no such thing as {index}")
        return index


def content(loader, epochs=1):
    """Everything that comes out, as bytes."""
    return [[(x.numpy().tobytes(), y.tolist()) for x, y in loader] for _ in range(epochs)]


def workers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("minidl-loader")]


# -------------------------------------------------------------------------------------------------- determinism


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "one by one"])
def test_the_number_of_workers_changes_nothing(at_once):
    data = images() if at_once else OneByOne(images(), slow=True)
    results = [
        content(DataLoader(data, 7, shuffle=True, num_workers=count, generator=Generator(5)), epochs=2)
        for count in (0, 1, 2, 4)
    ]
    assert results[0] == results[1] == results[2] == results[3]
    assert results[0][0] != results[0][1]


def test_a_batch_equals_its_samples():
    def loader(data):
        return DataLoader(data, 7, shuffle=True, generator=Generator(5))

    assert content(loader(images())) == content(loader(OneByOne(images())))


def test_a_sample_looks_the_same_in_batches_of_any_size():
    looks = []
    for size in (3, 40):
        loader = DataLoader(images(), size, shuffle=True, generator=Generator(5))
        looks.append(
            {label: x.numpy().tobytes() for xs, ys in loader for x, label in zip(xs, ys.tolist(), strict=True)}
        )
    assert looks[0] == looks[1]


def test_augmentation_depends_on_seed_and_epoch():
    whole = DataLoader(images(), 40, generator=Generator(1))
    first, second = content(whole, epochs=2)
    assert first != second
    whole.epoch = 0
    assert content(whole)[0] == first
    assert content(DataLoader(images(), 40, generator=Generator(2)))[0] != first
    whole.epoch, whole.seed = 0, whole.seed + 1
    assert content(whole)[0] != first


def test_manual_seed_decides_the_augmentation_even_without_shuffling():
    looks = []
    for seed in (1, 1, 2):
        minidl.manual_seed(seed)
        looks.append(content(DataLoader(images(), 40)))
    assert looks[0] == looks[1] != looks[2]


def test_the_same_seed_gives_the_same_weights():
    weights = []
    for count in (0, 1, 2, 4):
        minidl.manual_seed(3)
        model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 40))
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        loader = DataLoader(images(), 7, shuffle=True, num_workers=count)
        for _ in range(2):
            for x, y in loader:
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x), y).backward()
                optimizer.step()
        weights.append(model[1].weight.detach().numpy().tobytes())
    assert weights[0] == weights[1] == weights[2] == weights[3]


@pytest.mark.parametrize("count", [0, 2])
def test_an_epoch_goes_on_in_its_middle(count):
    loader = DataLoader(images(), 7, shuffle=True, num_workers=count, generator=Generator(5))
    (_, second) = content(loader, epochs=2)
    for start in (0, 4, 6):
        rest = [(x.numpy().tobytes(), y.tolist()) for x, y in loader.batches(1, start)]
        assert rest == second[start:]
    assert loader.epoch == 2
    with pytest.raises(ValueError, match="start is 7, but the epoch has only 6 batches"):
        loader.batches(1, 7)
    with pytest.raises(ValueError, match="epoch should be an integer value of at least 0"):
        loader.batches(-1)


def test_going_on_loads_nothing_of_what_was_before():
    asked = []

    class Watched(Numbers):
        def __getitem__(self, index):
            asked.append(index)
            return index

    assert [batch.tolist() for batch in DataLoader(Watched(), 5).batches(0, start=3)] == [[15, 16, 17, 18, 19]]
    assert asked == [15, 16, 17, 18, 19]


def test_a_sample_drawn_twice_is_augmented_twice():
    sampler = RandomSampler(range(2), replacement=True, num_samples=30)
    (batch,) = DataLoader(images(2), 30, sampler=sampler, generator=Generator(0))
    looks = {x.numpy().tobytes() for x in batch[0]}
    assert len(looks) > 10


def test_transforms_of_ones_own_dataset_draw_from_the_sample():
    class Mine(Dataset):
        def __len__(self):
            return 10

        def __getitem__(self, index):
            return index, float(current_draws().uniform()[0])

    draws = [
        [batch[1].tolist() for batch in DataLoader(Mine(), 3, num_workers=count, generator=Generator(0))]
        for count in (0, 3)
    ]
    assert draws[0] == draws[1]
    assert len({value for batch in draws[0] for value in batch}) == 10


# ------------------------------------------------------------------------------------------------------- workers


def test_workers_load_ahead_but_not_further():
    loaded = []

    class Watched(Numbers):
        def __getitem__(self, index):
            loaded.append(index)
            return index

    batches = iter(DataLoader(Watched(), 1, num_workers=2, prefetch_factor=3))
    assert next(batches).item() == 0
    deadline = time.monotonic() + 5
    while len(loaded) < 6 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.02)
    assert len(loaded) == 6  # two workers, three batches each, the one that was handed out among them
    assert [batch.item() for batch in batches] == list(range(1, 20))


def test_leaving_early_stops_the_workers():
    loader = DataLoader(OneByOne(images(), slow=True), 2, num_workers=3)
    for _ in loader:
        assert workers()
        break
    assert not workers()
    batches = iter(loader)
    next(batches)
    batches.close()
    assert not workers()
    assert len(list(loader)) == 20
    assert not workers()


@pytest.mark.parametrize("count", [0, 2])
def test_the_error_of_a_sample_says_which_it_was(count):
    loader = DataLoader(Numbers(bad=[13]), 5, num_workers=count)
    seen = []
    with pytest.raises(ValueError, match=r"sample 13 could not be loaded: ValueError: no such thing as 13") as caught:
        for batch in loader:
            seen.append(batch.tolist())
    assert seen == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert str(caught.value.__cause__) == "no such thing as 13"
    assert not workers()


@pytest.mark.parametrize("count", [0, 2])
def test_the_error_of_a_sample_in_a_batch_that_is_loaded_at_once(count):
    def refuse_black(image):
        if image.numpy().max() == 0:
            raise ZeroDivisionError("a black image")
        return image

    data = images(transform=refuse_black)
    data.data[17] = 0
    with pytest.raises(ZeroDivisionError, match="sample 17 could not be loaded: ZeroDivisionError: a black image"):
        list(DataLoader(data, 5, num_workers=count))


def test_an_error_of_the_batch_names_its_samples():
    class OnlyBatches(Numbers):
        def batch(self, indices):
            raise RuntimeError("out of order")

    with pytest.raises(RuntimeError, match=r"the samples 0, 1, 2 could not be loaded: RuntimeError: out of order"):
        next(iter(DataLoader(OnlyBatches(), 3)))
    with pytest.raises(RuntimeError, match=r"8, 9, \.\.\. \(12 of them\)"):
        next(iter(DataLoader(OnlyBatches(), 12)))


def test_errors_that_cannot_be_made_from_a_text():
    class Decoding(Numbers):
        def __getitem__(self, index):
            return b"\xff".decode("ascii")

    with pytest.raises(RuntimeError, match="sample 0 could not be loaded: UnicodeDecodeError: 'ascii' codec"):
        list(DataLoader(Decoding(), num_workers=1))


def test_worker_init_fn_is_called_once_in_each_worker():
    numbers, barrier = [], threading.Barrier(3, timeout=10)

    class Together(Numbers):
        def __getitem__(self, index):
            barrier.wait()
            return index

    assert len(list(DataLoader(Together(6), num_workers=3, worker_init_fn=numbers.append))) == 6
    assert sorted(numbers) == [0, 1, 2]
    with pytest.raises(KeyError, match="nothing"):
        list(DataLoader(Numbers(), num_workers=2, worker_init_fn=lambda number: {}["nothing"]))


def test_timeout():
    release = threading.Event()

    class Stuck(Numbers):
        def __getitem__(self, index):
            release.wait(10)
            return index

    threading.Timer(0.3, release.set).start()
    with pytest.raises(RuntimeError, match=r"timed out after 0\.05 seconds"):
        list(DataLoader(Stuck(2), num_workers=1, timeout=0.05))
    assert len(list(DataLoader(Stuck(2), num_workers=1, timeout=5))) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="signals cannot be sent to one process on Windows")
def test_ctrl_c_ends_the_program():
    program = """
import time
from minidl.data import DataLoader
class Slow:
    def __len__(self): return 1000
    def __getitem__(self, index):
        time.sleep(0.05)
        return index
for batch in DataLoader(Slow(), 4, num_workers=2):
    print("ready", flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            assert process.stdout.readline() == "ready\n"
            os.kill(process.pid, signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()  # one that does not end must not keep the tests from ending
    assert "KeyboardInterrupt" in errors
    assert process.returncode != 0


def test_options_are_checked():
    data = Numbers()
    for options in ({"sampler": [1], "shuffle": True}, {"batch_sampler": [[1]], "batch_size": 2}):
        with pytest.raises(ValueError, match="mutually exclusive"):
            DataLoader(data, **options)
    for name, value in [("num_workers", -1), ("num_workers", 1.5), ("prefetch_factor", 0), ("timeout", -1)]:
        with pytest.raises(ValueError, match=f"{name} should be"):
            DataLoader(data, **{name: value})


def test_the_order_of_arguments_is_pytorchs():
    loader = DataLoader(Numbers(), 4, False, [3, 1, 2], None, 0, list, False, True, 0, None)
    assert list(loader) == []
    assert list(DataLoader(Numbers(), 3, False, [3, 1, 2], None, 0, list)) == [[3, 1, 2]]


# ------------------------------------------------------------------------------------------------------ samplers


def test_samplers_give_their_order():
    numbers = "abcdefghij"
    assert list(SequentialSampler(numbers)) == list(range(10))
    random = RandomSampler(numbers, generator=Generator(0))
    first, second = list(random), list(random)
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    again = RandomSampler(numbers, generator=Generator(0))
    assert [list(again), list(again)] == [first, second]
    more = list(RandomSampler(numbers, num_samples=25))
    assert (len(more), sorted(more[:10])) == (25, list(range(10)))
    drawn = list(RandomSampler(numbers, replacement=True, num_samples=1000))
    assert numpy.bincount(drawn).min() > 50
    assert sorted(SubsetRandomSampler([5, 7, 9])) == [5, 7, 9]
    assert len(SubsetRandomSampler([5, 7, 9])) == 3


def test_weighted_random_sampler():
    drawn = WeightedRandomSampler([0, 1, 3], 8000, generator=Generator(0))
    counts = numpy.bincount(list(drawn), minlength=3)
    assert counts[0] == 0
    assert counts[2] / counts[1] == pytest.approx(3, rel=0.1)
    assert sorted(WeightedRandomSampler(minidl.tensor([0.5, 0.0, 2.0]), 2, replacement=False)) == [0, 2]
    with pytest.raises(ValueError, match="only 2 have a weight above 0"):
        WeightedRandomSampler([1, 0, 1], 3, replacement=False)
    for weights in ([], [0, 0], [-1, 2], [float("nan"), 1], [[1.0]]):
        with pytest.raises(ValueError, match="finite numbers >= 0"):
            WeightedRandomSampler(weights, 1)
    for count in (0, 1.5, True):
        with pytest.raises(ValueError, match="num_samples should be a positive integer value"):
            WeightedRandomSampler([1], count)


def test_batch_sampler():
    assert list(BatchSampler(range(7), 3, False)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(BatchSampler(range(7), 3, True)) == [[0, 1, 2], [3, 4, 5]]
    assert [len(BatchSampler(range(7), 3, drop)) for drop in (False, True)] == [3, 2]
    if torch is not None:
        theirs = torch.utils.data.BatchSampler(range(7), 3, True)
        assert list(theirs) == list(BatchSampler(range(7), 3, True))


@pytest.mark.parametrize("count", [0, 2])
def test_samplers_in_a_loader(count):
    def labels(**options):
        loader = DataLoader(Numbers(), num_workers=count, generator=Generator(1), **options)
        return [[batch.tolist() for batch in loader] for _ in range(2)]

    for sampler in (RandomSampler(range(20)), SubsetRandomSampler([3, 4, 5, 6, 7]), WeightedRandomSampler([1] * 20, 9)):
        first = labels(batch_size=4, sampler=sampler)
        assert first[0] != first[1]
        assert labels(batch_size=4, sampler=sampler) == first  # the loader's seed decides, not how often it was used
        assert labels(batch_sampler=BatchSampler(sampler, 4, False)) == first
    assert labels(batch_sampler=[[1, 2], [3]])[0] == [[1, 2], [3]]
    assert labels(sampler=[4, 4])[0] == [[4], [4]]


def test_a_sampler_with_a_generator_of_its_own():
    orders = []
    for seed in (1, 2):
        sampler = RandomSampler(range(20), generator=Generator(7))
        orders.append(list(DataLoader(Numbers(), 20, sampler=sampler, collate_fn=list, generator=Generator(seed))))
    assert orders[0] == orders[1]


def test_a_sampler_of_ones_own_is_told_the_epoch():
    class Mine:
        def set_epoch(self, epoch):
            self.epoch = epoch

        def __iter__(self):
            return iter([self.epoch, self.epoch + 1])

        def __len__(self):
            return 2

    loader = DataLoader(Numbers(), 2, sampler=Mine())
    assert [next(iter(loader)).tolist() for _ in range(3)] == [[0, 1], [1, 2], [2, 3]]
    assert len(loader) == 1


def test_concat_dataset():
    data = ConcatDataset([Numbers(3), Numbers(0), Numbers(2)])
    assert len(data) == 5
    assert [data[i] for i in range(-5, 5)] == [0, 1, 2, 0, 1] * 2
    for index in (5, -6):
        with pytest.raises(IndexError, match="out of range"):
            data[index]
    assert [batch.tolist() for batch in DataLoader(data, 4)] == [[0, 1, 2, 0], [1]]
    with pytest.raises(ValueError, match="at least one"):
        ConcatDataset([])


def test_a_subset_is_augmented_at_once_as_one_by_one():
    part = Subset(images(), [30, 2, 2, 9])
    (at_once,) = content(DataLoader(part, 4, generator=Generator(0)))
    (one_by_one,) = content(DataLoader(OneByOne(part), 4, generator=Generator(0)))
    assert at_once == one_by_one


# ------------------------------------------------------------------------------------------------ random numbers


def test_numbers_are_those_of_splitmix64():
    """The first numbers of the published generator, from its state 0 and 1234567."""
    draws = Draws(numpy.array([0, 1234567], numpy.uint64))
    columns = numpy.stack([draws.bits() for _ in range(3)], axis=1)
    assert columns[0].tolist() == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert columns[1].tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_keys_differ():
    keys = numpy.concatenate([sample_keys(seed, epoch, range(1000)) for seed in range(5) for epoch in range(5)])
    assert len(set(keys.tolist())) == 25_000
    assert sample_keys(3, 1, [7])[0] == sample_keys(3, 1, range(10))[7]
    twice = sample_keys(0, 0, [4, 2, 4, 4])
    assert len(set(twice.tolist())) == 4
    assert twice[0] == sample_keys(0, 0, [4])[0]
    assert len(set(sample_keys(0, 0, ["a", "b"]).tolist())) == 2
    assert len(sample_keys(0, 0, [])) == 0


def test_numbers_are_uniform_and_independent():
    draws = Draws(sample_keys(0, 0, range(20_000)))
    first, second = draws.uniform(), draws.uniform(2, 4)
    for u in (first, (second - 2) / 2):
        counts = numpy.histogram(u, bins=20, range=(0, 1))[0]
        assert ((counts - 1000) ** 2 / 1000).sum() < 43.8  # chi squared, 19 degrees of freedom: 0.1 %
    others = Draws(sample_keys(0, 1, range(20_000))).uniform()
    for pair in ((first, second), (first, others), (first[:-1], first[1:])):
        assert abs(numpy.corrcoef(*pair)[0, 1]) < 0.025
    normal = draws.normal(2.0)
    assert (abs(normal.mean()) < 0.06, normal.std()) == (True, pytest.approx(2, rel=0.02))
    assert numpy.bincount(draws.integers(3, 6)).tolist()[:3] == [0, 0, 0]
    assert numpy.bincount(draws.integers(3, 6))[3:].min() > 6300
    orders = draws.permutation(3)
    assert {tuple(order) for order in orders.tolist()} == {
        (a, b, 3 - a - b) for a in range(3) for b in range(3) if a != b
    }


def test_draws_alone_are_those_in_a_batch():
    keys = sample_keys(9, 2, range(6))
    together = Draws(keys)
    values = [together.uniform(), together.normal(), together.integers(0, 100), together.permutation(4)]
    for row in range(6):
        alone = Draws(keys[row : row + 1])
        drawn = [alone.uniform(), alone.normal(), alone.integers(0, 100), alone.permutation(4)]
        for value, own in zip(values, drawn, strict=True):
            assert value[row].tolist() == own[0].tolist()


def test_outside_of_a_loader_the_default_generator_draws():
    flip = transforms.RandomHorizontalFlip()
    image = minidl.tensor(numpy.arange(3.0, dtype=numpy.float32).reshape(1, 1, 3))
    looks = []
    for _ in range(2):
        minidl.manual_seed(0)
        looks.append([flip(image).tolist() for _ in range(20)])
    assert looks[0] == looks[1]
    assert len({str(look) for look in looks[0]}) == 2
    with drawing_from(Draws(numpy.array([1, 2], numpy.uint64))):
        assert len(current_draws(2)) == 2
        assert current_draws(3).uniform().tolist() != current_draws(3).uniform().tolist()
    state = minidl.backend.default_generator.get_state()
    transforms.ToTensor()(image)  # nothing random in it
    assert minidl.backend.default_generator.get_state() == state
