"""lint: each rule finds the mistake that it is for, and is silent about programs that are right."""

import gc
import warnings
import weakref

import numpy
import pytest

import minidl
import minidl.nn.functional as F
from minidl import nn
from minidl.debug import LintWarning, lint
from minidl.events import observers
from minidl.optim import SGD, Adam

LABELS = minidl.tensor([i % 10 for i in range(16)])


def net(*head):
    """A small network for images of 6 x 6, with everything in it that a rule looks at."""
    minidl.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Flatten(),
        nn.Linear(8 * 36, 10),
        *head,
    )


def images(seed=1, count=16):
    minidl.manual_seed(seed)
    return minidl.randn(count, 1, 6, 6)


def step(model, optimizer, x=None, loss_fn=F.cross_entropy, clear=True):
    x = images() if x is None else x
    if clear:
        optimizer.zero_grad()
    loss_fn(model(x), LABELS).backward()
    optimizer.step()


def found_by(function):
    """The rules that found something, each with its first message."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with lint() as linter:
            function()
    assert not observers
    assert [str(warning.message) for warning in told] == [finding.message for finding in linter.found]
    assert all(warning.category is LintWarning and warning.filename == __file__ for warning in told)
    return {finding.rule: finding.message for finding in reversed(linter.found)}


# ------------------------------------------------------------------------------------------------- right programs


def test_a_right_training_and_evaluation():
    model = net()
    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9)

    def run():
        for _ in range(2):
            model.train()
            for batch in range(6):
                step(model, optimizer, images(batch))
            model.eval()
            with minidl.no_grad():
                F.cross_entropy(model(images(9)), LABELS)

    assert not found_by(run)


def test_the_training_comes_out_the_same():
    def train():
        model = net()
        optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9)
        for batch in range(4):
            step(model, optimizer, images(batch))
        return [parameter.tolist() for parameter in model.parameters()]

    with lint():
        watched = train()
    assert watched == train()


def test_gradients_of_several_batches_in_one_step():
    model = net()
    optimizer = Adam(model.parameters())

    def run():
        for _ in range(3):
            for batch in range(4):
                (F.cross_entropy(model(images(batch)), LABELS) / 4).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=False)

    assert not found_by(run)


def test_two_networks_one_against_the_other():
    maker, judge = nn.Linear(4, 6), nn.Linear(6, 1)
    make, assess = SGD(maker.parameters(), lr=0.01), SGD(judge.parameters(), lr=0.01)
    real, noise, ones = minidl.randn(16, 6), minidl.randn(16, 4), minidl.ones(16, 1)

    def run():
        for _ in range(10):
            assess.zero_grad()
            fake = maker(noise)
            loss = F.binary_cross_entropy_with_logits(judge(real), ones)
            (loss + F.binary_cross_entropy_with_logits(judge(fake), 0 * ones)).backward()  # not detached: works too
            assess.step()
            make.zero_grad()
            F.binary_cross_entropy_with_logits(judge(maker(noise)), ones).backward()  # leaves gradients at the judge
            make.step()

    assert not found_by(run)


def test_steps_by_hand():
    w = minidl.tensor([3.0, -2.0], requires_grad=True)

    def run():
        for kind in range(6):
            w.grad = None
            (w * w).sum().backward()
            with minidl.no_grad():
                if kind % 2:
                    w.sub_(0.1 * w.grad)
                else:
                    w.data -= 0.1 * w.grad.data

    assert not found_by(run)


def test_a_frozen_part_pairwise_distances_and_log_probabilities():
    model = net(nn.LogSoftmax(1))
    model[0].requires_grad_(False)
    optimizer = SGD([p for p in model.parameters() if p.requires_grad], lr=0.01)
    x = minidl.randn(5, requires_grad=True)

    def run():
        for batch in range(10):
            step(model, optimizer, images(batch), F.nll_loss)
        (x - x[:, None]).abs().sum().backward()

    assert not found_by(run)


def test_images_with_a_gradient_and_losses_are_not_kept_alive():
    model, left = net(), []
    optimizer = SGD(model.parameters(), lr=0.01)

    def run():
        for batch in range(3):
            x = images(batch).requires_grad_()
            loss_fn = nn.CrossEntropyLoss()
            left.extend((weakref.ref(x), weakref.ref(loss_fn)))
            step(model, optimizer, x, loss_fn)
        del x, loss_fn
        gc.collect()
        assert [reference() for reference in left] == [None] * 6

    assert not found_by(run)


# ----------------------------------------------------------------------------------------------------- the mistakes


def test_backward_without_zero_grad():
    model = net()
    optimizer = SGD(model.parameters(), lr=0.01)

    def run():
        for batch in range(4):
            step(model, optimizer, images(batch), clear=False)

    messages = found_by(run)
    assert set(messages) == {"StaleGradients"}
    assert "the gradient of 0.weight was added to that of the step before" in messages["StaleGradients"]
    assert "help: call optimizer.zero_grad() before each backward()" in messages["StaleGradients"]


@pytest.mark.parametrize("by", ["in place", "data", "new data"])
def test_backward_without_clearing_by_hand(by):
    w = minidl.tensor([3.0, -2.0], requires_grad=True)

    def run():
        for _ in range(4):
            (w * w).sum().backward()
            if by == "data":
                w.data -= 0.01 * w.grad.data
            elif by == "new data":
                w.data = w.data - 0.01 * w.grad.data
            else:
                with minidl.no_grad():
                    w.sub_(0.01 * w.grad)

    assert set(found_by(run)) == {"StaleGradients"}


@pytest.mark.parametrize(
    ("head", "loss", "words"),
    [
        (lambda x: F.softmax(x, 1), F.cross_entropy, "probabilities, which add up to 1"),
        (lambda x: x.exp() / x.exp().sum(1, keepdim=True), F.cross_entropy, "probabilities, which add up to 1"),
        (F.sigmoid, F.cross_entropy, "the result of a sigmoid"),
        (lambda x: F.softmax(x, 1), F.nll_loss, "nll_loss is given probabilities"),
        (lambda x: x, F.nll_loss, "nll_loss is given positive numbers"),
    ],
)
def test_softmax_before_cross_entropy(head, loss, words):
    model = net()
    messages = found_by(lambda: loss(head(model(images())), LABELS).backward())
    assert set(messages) == {"SoftmaxTwice"}
    assert words in messages["SoftmaxTwice"]


def test_sigmoid_before_its_cross_entropy():
    x = minidl.randn(4, 1, requires_grad=True)
    loss = F.binary_cross_entropy_with_logits
    messages = found_by(lambda: loss(F.sigmoid(x).reshape(4), minidl.ones(4)))
    assert "is given the result of a sigmoid" in messages["SoftmaxTwice"]


def test_train_mode_in_an_evaluation():
    model = net()

    @minidl.no_grad()
    def evaluate():
        return model(images())

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with lint() as linter:
            evaluate()
            evaluate()
    assert [finding.rule for finding in linter.found] == ["TrainMode", "TrainMode"]  # once for each kind of layer
    assert "BatchNorm2d (1) is in train mode" in linter.found[0].message
    assert "Dropout (3) is in train mode" in linter.found[1].message
    assert len(told) == 2
    with minidl.no_grad():
        alone = found_by(lambda: nn.Dropout()(minidl.ones(2)))
    assert alone["TrainMode"].startswith("Dropout is in train mode")


def test_parameters_that_no_optimizer_holds():
    model = net()
    optimizer = SGD([*model[0].parameters(), *model[1].parameters()], lr=0.01)
    messages = found_by(lambda: [step(model, optimizer) for _ in range(2)])
    assert set(messages) == {"NotInOptimizer"}
    assert "gradients arrive at 5.weight, 5.bias, but no optimizer changes them" in messages["NotInOptimizer"]
    # ... and in a long training before it ends
    with lint() as linter, pytest.warns(LintWarning, match="no optimizer changes them"):
        for _ in range(8):
            model.zero_grad()
            step(model, optimizer)
        assert [finding.rule for finding in linter.found] == ["NotInOptimizer"]


def test_layers_in_a_plain_list():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = [nn.Linear(36, 36), nn.Linear(36, 36)]
            self.last = nn.Linear(36, 10)

        def forward(self, x):
            x = x.flatten(1)
            for layer in self.hidden:
                x = layer(x).tanh()
            return self.last(x)

    model = Net()
    messages = found_by(lambda: step(model, SGD(model.parameters(), lr=0.01)))
    assert set(messages) == {"NotInOptimizer"}
    assert "at Linear.weight, Linear.bias, Linear.weight, Linear.bias, but" in messages["NotInOptimizer"]
    assert "nn.ModuleList" in messages["NotInOptimizer"]
    model.hidden = nn.ModuleList(model.hidden)
    assert not found_by(lambda: step(model, SGD(model.parameters(), lr=0.01)))


def test_the_nearest_of_all_targets():
    """All pairs are meant where the smallest or largest of each row is taken."""
    points, others = minidl.randn(16, 1, requires_grad=True), minidl.randn(16)
    assert not found_by(lambda: (points - others).abs().amin(1).mean().backward())
    assert not found_by(lambda: (points - others).abs().min(1).values.mean().backward())
    assert set(found_by(lambda: (points - others).abs().mean(1).mean().backward())) == {"BroadcastLoss"}


def test_an_optimizer_of_another_model():
    optimizer = SGD(net().parameters(), lr=0.01)
    model = net()
    messages = found_by(lambda: step(model, optimizer))
    assert "SGD.step finds no gradient at any of its 6 parameters" in messages["NotInOptimizer"]


def test_a_column_against_a_row():
    layer, x, y = nn.Linear(3, 1), minidl.randn(8, 3), minidl.randn(8)
    messages = found_by(lambda: ((layer(x) - y) ** 2).mean().backward())
    assert set(messages) == {"BroadcastLoss"}
    assert "(8, 1) against (8,) gives (8, 8)" in messages["BroadcastLoss"]
    for right in (
        lambda: ((layer(x).squeeze(1) - y) ** 2).mean(),
        lambda: ((layer(x) - y) ** 2).mean(1).max(),  # whatever it is, it is not a mean over all
        lambda: (layer(x) * y).softmax(1).matmul(y[:, None]).max(),
        lambda: F.mse_loss(layer(x), y[:, None]),
        lambda: F.mse_loss(layer(x).squeeze(1), y),
    ):
        assert not found_by(lambda right=right: right().backward())


@pytest.mark.parametrize("loss", [F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss])
@pytest.mark.parametrize("columns", ["prediction", "target"])
def test_a_column_against_a_row_in_a_loss(loss, columns):
    layer, x, y = nn.Linear(3, 1), minidl.randn(8, 3), minidl.randn(8)
    given = (layer(x), y) if columns == "prediction" else (layer(x).squeeze(1), y[:, None])
    with lint() as linter, pytest.warns(UserWarning) as told:
        loss(*given)
    shapes = "(8, 1) against (8,)" if columns == "prediction" else "(8,) against (8, 1)"
    assert [finding.rule for finding in linter.found] == ["BroadcastLoss"]
    assert f"{shapes} gives (8, 8)" in linter.found[0].message
    assert {warning.category for warning in told} == {UserWarning, LintWarning}  # the loss's own is PyTorch's
    with lint() as linter:
        loss(minidl.randn(8, 8), minidl.randn(8, 8))
    assert not linter.found


def test_dead_units():
    def run(bias):
        model = net()
        model[1].bias.data[...] = bias
        optimizer = SGD(model.parameters(), lr=0.001)
        for batch in range(3):
            step(model, optimizer, images(batch))

    messages = found_by(lambda: run(-20.0))
    assert set(messages) == {"DeadReLU"}
    assert "8 of the 8 units of ReLU (2) were 0 for all of 48 samples" in messages["DeadReLU"]
    assert not found_by(lambda: run(-1.5))
    dying = -20.0 * numpy.array([1, 1, 1, 1, 1, 1, 1, 0], dtype="float32")  # 7 of 8 are less than 90 %
    assert not found_by(lambda: run(dying))


def test_a_first_loss_far_above_that_of_guessing():
    model = net()
    model.eval()
    messages = found_by(lambda: F.cross_entropy(model(255 * images()), LABELS))
    assert set(messages) == {"FirstLoss"}
    assert "guessing among 10 classes has log 10 = 2.3" in messages["FirstLoss"]
    assert not found_by(lambda: F.cross_entropy(model(images()), LABELS))
    assert not found_by(lambda: F.cross_entropy(minidl.randn(16, 10) * 99, LABELS))  # nobody learns from it


def test_each_place_is_named_once_and_an_exception_ends_it_quietly():
    model = net()
    optimizer = SGD(model.parameters(), lr=0.01)
    with pytest.raises(ZeroDivisionError), lint():
        model(images()).sum().backward()
        optimizer.step()
        raise ZeroDivisionError
    assert not observers
    messages = found_by(lambda: [F.cross_entropy(F.softmax(model(images()), 1), LABELS) for _ in range(3)])
    assert set(messages) == {"SoftmaxTwice"}
