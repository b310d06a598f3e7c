"""The loop: that it learns, what it records, and how it stops."""

import math

import numpy
import pytest

import minidl
from minidl import nn, optim
from minidl.data import DataLoader, TensorDataset
from minidl.training import accuracy, confusion_matrix, evaluate, fit, predict


def blobs(count=60, seed=0):
    """Three clouds of points, far apart."""
    rng = numpy.random.default_rng(seed)
    labels = numpy.arange(count) % 3
    centres = numpy.array([[0, 4], [4, 0], [-4, -4]])
    points = centres[labels] + rng.standard_normal((count, 2))
    return TensorDataset(minidl.Tensor(points.astype(numpy.float32)), minidl.Tensor(labels))


def setup(lr=0.1, dropout=0.0):
    minidl.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 3))
    return model, optim.SGD(model.parameters(), lr=lr), DataLoader(blobs(), 20, shuffle=True)


def test_fit_learns_and_records():
    model, optimizer, loader = setup()
    test_loader = DataLoader(blobs(30, seed=1), 7)
    history = fit(model, loader, test_loader, nn.CrossEntropyLoss(), optimizer, 8, progress=False)
    assert len(history) == 8
    assert history.train_loss[-1] < 0.5 * history.train_loss[0]
    assert history.train_accuracy[-1] > 0.95
    assert history.test_accuracy[-1] > 0.95
    assert not history.interrupted
    assert all(seconds > 0 for seconds in history.seconds)
    result = evaluate(model, test_loader, nn.CrossEntropyLoss())
    assert (result.loss, result.accuracy) == (history.test_loss[-1], history.test_accuracy[-1])
    assert evaluate(model, test_loader).loss is None


def test_one_seed_gives_one_result():
    losses = []
    for _ in range(2):
        model, optimizer, loader = setup(dropout=0.3)
        history = fit(model, loader, loader, nn.CrossEntropyLoss(), optimizer, 2, progress=False)
        losses.append(history.train_loss + history.test_loss)
    assert losses[0] == losses[1]


def test_the_loss_of_an_epoch_weighs_every_sample_alike():
    model, _, _ = setup()
    still = optim.SGD(model.parameters(), lr=0.0)
    data = blobs(10)
    history = fit(model, DataLoader(data, 4), DataLoader(data, 3), nn.CrossEntropyLoss(), still, 1, progress=False)
    assert history.train_loss[0] == pytest.approx(history.test_loss[0], rel=1e-5)
    assert history.train_accuracy == history.test_accuracy


def test_schedule():
    model, optimizer, loader = setup(lr=1.0)
    scheduler = optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    fit(model, loader, loader, nn.CrossEntropyLoss(), optimizer, 3, scheduler=scheduler, progress=False)
    assert optimizer.param_groups[0]["lr"] == 0.125


def test_a_schedule_that_nobody_could_step():
    model, optimizer, loader = setup()
    plateau = optim.lr_scheduler.ReduceLROnPlateau(optimizer)
    for schedule_by, words in [("steps", "schedule_by is"), ("step", "ReduceLROnPlateau looks at the test")]:
        with pytest.raises(ValueError, match=words):
            fit(model, loader, loader, nn.CrossEntropyLoss(), optimizer, 1, scheduler=plateau, schedule_by=schedule_by)


def test_predict_is_in_eval_mode_without_graph_and_restores_the_mode():
    model, _, _ = setup(dropout=0.9)
    loader = DataLoader(blobs(), 7)
    scores, labels = predict(model, loader)
    again, _ = predict(model, loader)
    assert scores.tolist() == again.tolist()
    assert scores.shape == (60, 3)
    assert labels.tolist() == [i % 3 for i in range(60)]
    assert not scores.requires_grad
    assert model.training
    model.eval()
    predict(model, loader)
    assert not model.training


def test_predict_leaves_frozen_modules_frozen_also_after_an_error():
    model, _, _ = setup(dropout=0.5)
    model[1].eval()
    predict(model, DataLoader(blobs(), 7))
    assert [module.training for module in model] == [True, False, True, True]
    with pytest.raises(RuntimeError):
        predict(model, [(minidl.ones(1, 5), minidl.Tensor(numpy.zeros(1, int)))])
    assert [module.training for module in model] == [True, False, True, True]


def test_predict_without_batches_or_parameters():
    with pytest.raises(ValueError, match="the loader gave no batch"):
        predict(nn.ReLU(), [])
    scores, _ = predict(nn.ReLU(), DataLoader(blobs(2), 2))
    assert scores.shape == (2, 2)


def test_a_loss_that_is_not_finite_stops_with_the_reason():
    model, optimizer, _ = setup(lr=0.25)
    points = numpy.ones((6, 2), numpy.float32)
    points[5, 0] = math.nan
    loader = DataLoader(TensorDataset(minidl.Tensor(points), minidl.Tensor(numpy.zeros(6, int))), 2)
    with pytest.raises(FloatingPointError, match=r"loss is nan in batch 3 of epoch 1/2(.|\n)*lr is 0\.25"):
        fit(model, loader, loader, nn.CrossEntropyLoss(), optimizer, 2, progress=False)


def test_a_batch_that_is_not_finite_leaves_the_weights_alone():
    model, optimizer, _ = setup()
    before = [parameter.tolist() for parameter in model.parameters()]
    points = minidl.Tensor(numpy.full((2, 2), math.nan, numpy.float32))
    loader = DataLoader(TensorDataset(points, minidl.Tensor(numpy.zeros(2, int))), 2)
    with pytest.raises(FloatingPointError):
        fit(model, loader, loader, nn.CrossEntropyLoss(), optimizer, 1, progress=False)
    assert [parameter.tolist() for parameter in model.parameters()] == before


def test_divergence_is_reported_rather_than_warned_about():
    model, optimizer, loader = setup(lr=1e30)
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        fit(model, loader, loader, nn.CrossEntropyLoss(), optimizer, 3, progress=False)


def test_interrupt_keeps_the_complete_epochs():
    model, optimizer, loader = setup()

    class Interrupted:
        """Ctrl-C in the middle of the third epoch."""

        epoch = 0

        def __len__(self):
            return len(loader)

        def __iter__(self):
            self.epoch += 1
            for number, batch in enumerate(loader):
                if self.epoch == 3 and number == 1:
                    raise KeyboardInterrupt
                yield batch

    history = fit(model, Interrupted(), loader, nn.CrossEntropyLoss(), optimizer, 9, progress=False)
    assert history.interrupted
    assert len(history) == 2
    assert len(history.train_loss) == len(history.test_loss) == len(history.seconds) == 2


def test_progress_prints_a_line_for_each_epoch(capsys):
    model, optimizer, loader = setup()
    fit(model, loader, loader, nn.CrossEntropyLoss(), optimizer, 2)
    lines = capsys.readouterr().out.splitlines()
    assert [line[:9] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert all(word in lines[0] for word in ("loss", "train", "test", "images/s"))
    fit(model, loader, loader, nn.CrossEntropyLoss(), optimizer, 1, progress=False)
    assert capsys.readouterr() == ("", "")


def test_accuracy_and_confusion_matrix_by_hand():
    scores = minidl.Tensor(numpy.array([[0.9, 0.1, 0], [0.2, 0.7, 0.1], [0.5, 0.3, 0.2], [0, 0.4, 0.6]]))
    labels = minidl.Tensor(numpy.array([0, 1, 2, 2]))
    assert accuracy(scores, labels) == 0.75
    matrix = confusion_matrix(scores.argmax(dim=1), labels, 3)
    assert matrix.tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 1]]
