"""`minidl demo`: trains LeNet-5 on real handwritten digits, tests it, and draws what came out."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy

import minidl
from architectures.lenet import lenet5
from minidl import nn, optim
from minidl.cli.arguments import CommandError, output_folder, positive_float, positive_int, seed
from minidl.cli.report import MISTAKES, Mistake, confusion_text, training_figure
from minidl.data import DataLoader, Digits
from minidl.parallel import one_blas_thread
from minidl.training import confusion_matrix, fit, predict

DESCRIPTION = """train LeNet-5 on handwritten digits, in seconds

Trains on 1,437 of scikit-learn's digits with the recipe that AlexNet made the usual one (SGD, momentum 0.9, weight
decay 5e-4, a learning rate of 1e-2 that is divided by 10 towards the end), tests on the other 360, prints the accuracy
and the confusion matrix, and writes demo.png: the learning curves, the matrix and the worst mistakes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--epochs", type=positive_int, default=20, metavar="N", help="times through the training images (20)")
    add("--batch-size", type=positive_int, default=32, metavar="N", help="images in a step (32)")
    add("--lr", type=positive_float, default=0.01, metavar="X", help="the learning rate to begin with (0.01)")
    add("--seed", type=seed, default=0, metavar="N", help="of the weights and of the order of the images (0)")
    add("--out", type=Path, default=Path("out"), metavar="DIR", help="where demo.png goes (out)")


def run(arguments: argparse.Namespace) -> int:
    with output_folder(arguments.out) as folder:  # before the training, not after it
        return train_and_draw(arguments, folder)


def train_and_draw(arguments: argparse.Namespace, folder: Path) -> int:
    """The whole demo; returns the exit code."""
    try:
        train, test = Digits(train=True), Digits(train=False)
    except ImportError as error:
        raise CommandError(str(error)) from None

    minidl.manual_seed(arguments.seed)
    model = lenet5()
    train_loader = DataLoader(train, arguments.batch_size, shuffle=True)
    test_loader = DataLoader(test, 120)
    optimizer = optim.SGD(model.parameters(), lr=arguments.lr, momentum=0.9, weight_decay=5e-4)
    last_part = round(0.7 * arguments.epochs)
    scheduler = optim.lr_scheduler.MultiStepLR(optimizer, [last_part], gamma=0.1)

    print(f"LeNet-5, {sum(p.numel() for p in model.parameters()):,} parameters; seed {arguments.seed}")
    print(f"{len(train):,} digits to train on, {len(test)} to test on, in batches of {arguments.batch_size}")
    print(f"SGD, momentum 0.9, weight decay 0.0005, learning rate {arguments.lr:g}, a tenth after epoch {last_part}")
    print("loss and train are averages while an epoch goes on and the weights still learn; test comes after it\n")
    try:
        with one_blas_thread():  # LeNet's products are small
            history = fit(
                model,
                train_loader,
                test_loader,
                nn.CrossEntropyLoss(),
                optimizer,
                arguments.epochs,
                scheduler=scheduler,
            )
    except FloatingPointError as error:
        raise CommandError(str(error)) from None
    if not len(history):
        raise KeyboardInterrupt

    if history.interrupted:
        print(
            f"\nInterrupted part-way through epoch {len(history) + 1}: what follows is measured with the weights of "
            "that moment,\nand the curves end with the last complete epoch"
        )

    scores, labels = predict(model, test_loader)
    confusion = confusion_matrix(scores.argmax(dim=1), labels, len(test.classes))
    right = int(confusion.trace())
    print("\nConfusion matrix: a row for each digit, a column for what it was taken for")
    print(confusion_text(confusion, test.classes))
    print(f"\nTest accuracy {right / len(test):.2%} ({right} of {len(test)}), trained in {sum(history.seconds):.1f} s")

    figure = training_figure(
        f"LeNet-5 on handwritten digits: {right / len(test):.1%} right on {len(test)} unseen images",
        history,
        confusion,
        test.classes,
        worst_mistakes(test, scores.softmax(dim=1).numpy(), labels.numpy()),
    )
    path = folder / "demo.png"
    try:
        figure.savefig(path)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from None
    print(f"Curves, matrix and mistakes: {path}")
    return 130 if history.interrupted else 0


def worst_mistakes(
    test: Digits, probabilities: numpy.ndarray, labels: numpy.ndarray, most: int = MISTAKES
) -> list[Mistake]:
    """The wrong answers, the surest first."""
    answers = probabilities.argmax(axis=1)
    wrong = numpy.flatnonzero(answers != labels)
    wrong = wrong[numpy.argsort(-probabilities[wrong, answers[wrong]], kind="stable")]
    images = test.denormalize(test.tensors[0].numpy())
    return [
        Mistake(images[i, 0], test.classes[labels[i]], test.classes[answers[i]], float(probabilities[i, answers[i]]))
        for i in wrong[:most]
    ]
