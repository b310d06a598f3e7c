"""A small training in which everything is random that can be; the tests of stopping and resuming share it.

python -m tests.trainings FOLDER        trains in FOLDER, or goes on there, with a checkpoint after every step; it is
                                        there to be killed
"""

import json
import sys
from pathlib import Path

import numpy

import minidl
from minidl import nn, optim
from minidl.data import DataLoader
from minidl.data.images import ArrayDataset
from minidl.data.transforms import Compose, Normalize, RandomCrop, RandomHorizontalFlip, ToTensor
from minidl.optim import lr_scheduler
from minidl.recipes.recipe import InverseDecay
from minidl.training import RunFolder, Training

EPOCHS, IMAGES, BATCH = 3, 18, 4
STEPS_PER_EPOCH = 5  # the last batch has 2 images
STEPS = EPOCHS * STEPS_PER_EPOCH

OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=1e-3, nesterov=True),
    "Adam": lambda p: optim.Adam(p, lr=0.01, amsgrad=True),
    "AdamW": lambda p: optim.AdamW(p, lr=0.01),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.01, lr_decay=0.1),
    "Adadelta": lambda p: optim.Adadelta(p),
}
SCHEDULES = {  # the schedule, and when it steps
    "none": (lambda o: None, "epoch"),
    "StepLR": (lambda o: lr_scheduler.StepLR(o, 1, 0.5), "epoch"),
    "MultiStepLR": (lambda o: lr_scheduler.MultiStepLR(o, [3, 8], 0.1), "step"),
    "ExponentialLR": (lambda o: lr_scheduler.ExponentialLR(o, 0.9), "step"),
    "CosineAnnealingLR": (lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS), "step"),
    "OneCycleLR": (lambda o: lr_scheduler.OneCycleLR(o, 0.1, STEPS), "step"),  # moves the momentum as well
    "inv": (lambda o: lr_scheduler.LambdaLR(o, InverseDecay(0.1, 0.75)), "step"),
    "ReduceLROnPlateau": (lambda o: lr_scheduler.ReduceLROnPlateau(o, "max", 0.5, patience=0), "epoch"),
    "SequentialLR": (
        lambda o: lr_scheduler.SequentialLR(
            o, [lr_scheduler.LinearLR(o, 0.1, 1.0, 4), lr_scheduler.MultiStepLR(o, [5], 0.1)], [4]
        ),
        "step",
    ),
}


def small_training(
    seed=0, num_workers=0, optimizer="SGD", schedule="SequentialLR", max_steps=None, width=3, epochs=EPOCHS
):
    """Convolution, batch norm and dropout on augmented images, shuffled."""
    minidl.manual_seed(seed)
    rng = numpy.random.default_rng(0)
    images = rng.integers(0, 256, (IMAGES, 3, 8, 8), dtype=numpy.uint8)
    labels = numpy.arange(IMAGES) % 5
    end = [ToTensor(), Normalize((0.5,) * 3, (0.25,) * 3)]
    train = ArrayDataset(images, labels, Compose([RandomCrop(8, padding=2), RandomHorizontalFlip(), *end]))
    model = nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(width * 64, 5),
    )
    chosen = OPTIMIZERS[optimizer](model.parameters())
    make, by = SCHEDULES[schedule]
    return Training(
        model,
        chosen,
        nn.CrossEntropyLoss(),
        DataLoader(train, BATCH, shuffle=True, num_workers=num_workers),
        DataLoader(train.with_transform(Compose(end)), 7, num_workers=num_workers),
        epochs,
        scheduler=make(chosen),
        schedule_by=by,
        max_steps=max_steps,
    )


class StopAfter:
    """Stops the training after so many steps in all."""

    def __init__(self, steps):
        self.steps = steps

    def step(self, training):
        if training.position.step >= self.steps:
            training.stop = True

    def epoch(self, training):
        pass


def everything(training):
    """All that the steps to come depend on, and the history, to the last bit; without the clock's numbers."""
    saved = training.optimizer.state_dict()
    state = training.state_dict()
    state["position"].pop("seconds")
    state["history"].pop("seconds")
    return {
        "model": {name: tensor.numpy().tobytes() for name, tensor in training.model.state_dict().items()},
        "optimizer": {
            (number, key): value.numpy().tobytes() if isinstance(value, minidl.Tensor) else value
            for number, values in saved["state"].items()
            for key, value in values.items()
        },
        "groups": saved["param_groups"],
        **json.loads(json.dumps(state)),
    }


def log_lines(folder):
    """The log without what a clock says."""
    lines = [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("seconds", "images_per_second")} for line in lines]


def run_in(folder, training, *observers, **options):
    """Run to the end or a stop, as `minidl train` does; goes on where there is a checkpoint."""
    files = RunFolder(folder, **{"save_steps": 1, "log_steps": 1, **options})
    if any(Path(folder).glob("*.safetensors")):
        files.resume(training)
    else:
        files.begin()
    training.run(files, *observers)
    files.save(training)
    return files


def main(folder):
    training = small_training()
    print("ready", flush=True)
    run_in(folder, training)
    print("done", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
