"""The silent bugs that a training warns of, where a nan began, and GoogLeNet's loss."""

import math
import signal
import threading
import warnings

import numpy
import pytest

import minidl
import minidl.nn.functional as F
from minidl import nn, optim
from minidl.data import DataLoader, TensorDataset
from minidl.training import AuxiliaryLoss, Training, Watch, fit, stop_at_signals
from minidl.training.lock import locked
from minidl.training.watch import first_loss, nothing_learnt
from tests.trainings import STEPS, STEPS_PER_EPOCH, everything, small_training


def pairs(count=40, classes=4, scale=1.0, seed=0):
    """Images of noise, with labels that have nothing to do with them."""
    rng = numpy.random.default_rng(seed)
    images = scale * rng.standard_normal((count, 6), numpy.float32)
    return TensorDataset(minidl.Tensor(images), minidl.Tensor(rng.integers(classes, size=count)))


def training_of(model, data=None, lr=0.1, loss=None, epochs=1):
    data = data or pairs()
    optimizer = optim.SGD(model.parameters(), lr=lr)
    return Training(model, optimizer, loss or nn.CrossEntropyLoss(), DataLoader(data, 8), DataLoader(data, 8), epochs)


def warnings_of(training, **options):
    told = []
    training.run(Watch(told.append, **options))
    return told


# ---------------------------------------------------------------------------------------------------- first loss


def test_a_sound_network_is_not_warned_about():
    minidl.manual_seed(0)
    assert warnings_of(training_of(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4)))) == []


def test_inputs_that_are_not_normalised():
    minidl.manual_seed(0)
    told = warnings_of(training_of(nn.Linear(6, 4), pairs(scale=255), lr=1e-9))
    assert len(told) == 1
    assert "guessing among 4 classes would give 1.39 (log 4)" in told[0]
    assert "are the inputs normalised" in told[0]


def test_a_network_that_knows_something_already():
    model = nn.Linear(6, 4)
    images = minidl.Tensor(numpy.eye(4, 6, dtype=numpy.float32))
    with minidl.no_grad():
        model.weight.copy_(10 * minidl.Tensor(numpy.eye(4, 6, dtype=numpy.float32)))
    told = warnings_of(training_of(model, TensorDataset(images, minidl.arange(4))))
    assert len(told) == 1
    assert "it knows something already" in told[0]


def test_a_network_with_more_scores_than_classes():
    """1000 scores for 4 classes: log 1000 is five times log 4."""
    minidl.manual_seed(0)
    told = warnings_of(training_of(nn.Linear(6, 1000)), classes=4)
    assert len(told) == 1
    assert "the network gives 1000 scores and there are 4 classes: pass num_classes=4" in told[0]


@pytest.mark.parametrize(("factor", "warned"), [(0.45, True), (0.55, False), (1, False), (2.9, False), (3.1, True)])
def test_the_limits(factor, warned):
    assert (first_loss(factor * math.log(10), 10, 10, nn.CrossEntropyLoss()) is not None) == warned


def test_other_losses_and_single_scores_are_not_judged():
    assert first_loss(99.0, 10, 10, nn.MSELoss()) is None
    assert first_loss(99.0, 10, 1, nn.CrossEntropyLoss()) is None


def test_nothing_learnt():
    assert "guessing among 10 classes gives 2.3 and 10.00%" in nothing_learnt(2.31, 0.1, 10)
    assert nothing_learnt(2.0, 0.1, 10) is None
    assert nothing_learnt(2.31, 0.3, 10) is None
    minidl.manual_seed(0)
    model = nn.Linear(6, 4)
    loader = DataLoader(pairs(800), 4)
    training = Training(model, optim.SGD(model.parameters(), lr=0), nn.CrossEntropyLoss(), loader, loader, 2)
    with minidl.no_grad():
        model.weight.zero_()
    told = warnings_of(training)
    assert len(told) == 1
    assert "weights that the optimizer does not have" in told[0]


def test_fit_warns_but_not_a_second_time():
    minidl.manual_seed(0)
    model, loader = nn.Linear(6, 4), DataLoader(pairs(scale=255), 8)
    optimizer = optim.SGD(model.parameters(), lr=1e-9, momentum=0.9)
    with pytest.warns(UserWarning, match="the loss of the first batch is"):
        fit(model, loader, loader, nn.CrossEntropyLoss(), optimizer, 1, progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(model, loader, loader, nn.CrossEntropyLoss(), optimizer, 1, progress=False)


# --------------------------------------------------------------------------------------------- auxiliary classifiers


class TwoHeads(nn.Module):
    """Gives three scores in training, as GoogLeNet does, and one in evaluation."""

    def __init__(self):
        super().__init__()
        self.main, self.aux1, self.aux2 = (nn.Linear(6, 4) for _ in range(3))

    def forward(self, x):
        return (self.main(x), self.aux1(x), self.aux2(x)) if self.training else self.main(x)


def test_auxiliary_loss_by_hand():
    minidl.manual_seed(0)
    model, loss = TwoHeads(), AuxiliaryLoss(0.3)
    x, labels = minidl.randn(5, 6), minidl.randint(4, (5,))
    main, aux1, aux2 = (F.cross_entropy(head(x), labels) for head in (model.main, model.aux1, model.aux2))
    assert loss(model(x), labels).item() == pytest.approx((main + 0.3 * (aux1 + aux2)).item(), rel=1e-6)
    assert loss.heads == 1.6
    model.eval()
    assert loss(model(x), labels).item() == pytest.approx(main.item(), rel=1e-6)
    assert loss.heads == 1
    smooth = AuxiliaryLoss(0.3, label_smoothing=0.1)(model(x), labels)
    assert smooth.item() == pytest.approx(F.cross_entropy(model(x), labels, label_smoothing=0.1).item(), rel=1e-6)


def test_training_with_auxiliary_classifiers():
    """Their gradients are 0.3 times what they would be; the first loss, 1.6 log C, is no reason to warn."""
    minidl.manual_seed(0)
    model = TwoHeads()
    before = {name: p.detach().numpy().copy() for name, p in model.named_parameters()}
    training = training_of(model, pairs(8), lr=1.0, loss=AuxiliaryLoss(0.3))
    assert warnings_of(training) == []
    assert training.history.train_loss[0] == pytest.approx(1.6 * math.log(4), rel=0.3)
    assert training.history.test_loss[0] < training.history.train_loss[0] / 1.3  # the main loss alone
    x, labels = next(iter(training.train_loader))
    for name, factor in (("main", 1.0), ("aux1", 0.3), ("aux2", 0.3)):
        weight = minidl.Tensor(before[f"{name}.weight"], requires_grad=True)
        F.cross_entropy(F.linear(x, weight, minidl.Tensor(before[f"{name}.bias"])), labels).backward()
        step = before[f"{name}.weight"] - getattr(model, name).weight.detach().numpy()
        assert numpy.allclose(step, factor * weight.grad.numpy(), atol=1e-6)


# ------------------------------------------------------------------------------------------------- where a nan began


class Logarithm(nn.Module):
    def forward(self, x):
        return x.log()


class SquareRoot(nn.Module):
    """Finite for 0, and its gradient is not."""

    def forward(self, x):
        return x.sqrt()


def network(middle):
    minidl.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Sequential(nn.ReLU(), middle), nn.Dropout(0.5), nn.Linear(8, 4))


def message_of(model, data=None, **options):
    training = training_of(model, data, **options)
    before = everything(training)
    with pytest.raises(FloatingPointError) as caught:
        training.run()
    if training.position.step == 0:  # nothing was changed, nor the place in the random numbers
        after = everything(training)
        assert after["model"] == before["model"]
        assert after["random"] == before["random"]
    return str(caught.value)


def test_in_the_forward_pass():
    text = message_of(network(Logarithm()))
    assert "the loss is" in text
    assert "it began in the forward pass of 1.1: Log, inputs float32 (8, 8)" in text


def test_in_the_backward_pass():
    model = network(nn.Identity())
    model[1] = nn.Sequential(nn.Identity(), SquareRoot())
    with minidl.no_grad():
        model[0].weight.zero_()
        model[0].bias.zero_()
    text = message_of(model)
    assert "a gradient is not finite in batch 1 of epoch 1/1" in text
    assert "it began in the backward pass of 1.1: " in text
    assert "help: lower the learning rate (lr is 0.1)" in text


def test_in_the_inputs():
    images = numpy.ones((8, 6), numpy.float32)
    images[3, :2] = math.nan
    text = message_of(network(nn.Tanh()), TensorDataset(minidl.Tensor(images), minidl.Tensor(numpy.arange(8) % 4)))
    assert "the inputs are not finite: 2 of the 48 numbers of float32 (8, 6)" in text


def test_in_the_weights():
    model = network(nn.Tanh())
    with minidl.no_grad():
        model[3].weight[0, 0] = math.inf
    assert "before the step, 3.weight was not finite: float32 (4, 8)" in message_of(model)


def test_a_rate_that_is_too_high():
    assert "lower the learning rate (lr is 1e+30)" in message_of(network(nn.ReLU()), lr=1e30, epochs=3)


# ---------------------------------------------------------------------------------------------------------- signals


class At:
    """Does something after a step."""

    def __init__(self, step, action):
        self.at, self.action = step, action

    def step(self, training):
        if training.position.step == self.at:
            self.action()

    def epoch(self, training):
        pass


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_training_after_the_step(number, code, capfd):
    training, before = small_training(), signal.getsignal(number)
    with stop_at_signals(training) as stopped:
        training.run(At(3, lambda: signal.raise_signal(number)))
    assert training.position.step == 3
    assert stopped.exit_code == code
    assert signal.getsignal(number) is before
    assert "stopping after this step (once more: at once)" in capfd.readouterr().err


def test_without_a_signal():
    training = small_training()
    with stop_at_signals(training) as stopped:
        training.run()
    assert training.finished
    assert stopped.exit_code == 0


def test_a_second_signal_does_not_wait():
    training = small_training()

    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with stop_at_signals(training) as stopped, pytest.raises(KeyboardInterrupt):
        training.run(At(3, twice))
    assert stopped.exit_code == 130
    assert not training.testing


def test_a_signal_during_a_test_does_not_wait():
    training = small_training()
    loader = training.test_loader

    class Signalling:
        def __iter__(self):
            signal.raise_signal(signal.SIGINT)
            return iter(loader)

    training.test_loader = Signalling()
    with stop_at_signals(training) as stopped, pytest.raises(KeyboardInterrupt):
        training.run()
    assert training.testing
    assert stopped.exit_code == 130
    assert training.position.batch == STEPS_PER_EPOCH


def test_signals_that_are_ignored_stay_so():
    """As under nohup."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with stop_at_signals(training := small_training()):
            training.run(At(3, lambda: signal.raise_signal(signal.SIGTERM)))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert training.position.step == STEPS


def test_threads_hear_of_no_signals():
    done = []

    def train():
        training = small_training()
        with stop_at_signals(training):
            training.run()
        done.append(training.finished)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert done == [True]


def test_one_training_for_each_folder(tmp_path):
    message = "another training is writing into"
    with locked(tmp_path), pytest.raises(BlockingIOError, match=message), locked(tmp_path):
        pytest.fail("two of them")
    with locked(tmp_path):  # free again
        pass
