"""What is timed: a train step and an inference, written once for minidl and PyTorch. Runs in worker.py.

Each function here is given the library, builds everything, and returns the function that is to be timed.
"""

import importlib
import re
from pathlib import Path
from types import ModuleType

import numpy

FOLDER = Path(__file__).resolve().parents[2] / "architectures"


def architecture(library, stem):
    """architectures/<stem>.py, with the name of `library` in place of the word `minidl`, as a module."""
    if library.__name__ == "minidl":
        return importlib.import_module(f"architectures.{stem}")
    path = FOLDER / f"{stem}.py"
    module = ModuleType(f"architectures_on_{library.__name__}.{stem}")
    text = re.sub(r"\bminidl\b", library.__name__, path.read_text(encoding="utf-8"))
    exec(compile(text, f"{path} on {library.__name__}", "exec"), module.__dict__)
    return module


def draw_weights(library, model, seed=0):
    """The same weights in both libraries: normal, with variance 2 / fan_in; biases 0; batch norm as it starts."""
    random = numpy.random.default_rng(seed)
    with library.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                shape = tuple(parameter.shape)
                array = random.standard_normal(shape, numpy.float32)
                array *= (2 / numpy.prod(shape[1:])) ** 0.5
                parameter.copy_(library.from_numpy(array))
    for module in model.modules():
        if getattr(module, "bias", None) is not None:
            library.nn.init.zeros_(module.bias)
    return model


def batch(library, shape, classes):
    """Images (N, C, H, W) and labels (N,)."""
    images = numpy.random.default_rng(1).standard_normal(tuple(shape), numpy.float32)
    labels = numpy.arange(shape[0], dtype=numpy.int64) * 7 % classes
    return library.from_numpy(images), library.from_numpy(labels)


def loss_of(library, outputs, labels):
    """The cross-entropy; of GoogLeNet's three outputs, the paper's sum (sec. 5)."""
    cross_entropy = library.nn.functional.cross_entropy
    if isinstance(outputs, tuple):
        main, *heads = (cross_entropy(scores, labels) for scores in outputs)
        return main + 0.3 * sum(heads)
    return cross_entropy(outputs, labels)


def train_step(library, stem, network, shape, classes, device="cpu"):
    """zero_grad, forward, cross-entropy, backward, SGD with momentum and weight decay. Returns the loss."""
    model = draw_weights(library, getattr(architecture(library, stem), network)(num_classes=classes)).to(device)
    images, labels = (tensor.to(device) for tensor in batch(library, shape, classes))
    optim = importlib.import_module(f"{library.__name__}.optim")
    optimizer = optim.SGD(model.train().parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)

    def step():
        optimizer.zero_grad()
        loss = loss_of(library, model(images), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def inference(library, stem, network, shape, classes):
    """Forward in evaluation mode, nothing recorded. Returns the loss, by which the two libraries can be compared."""
    model = draw_weights(library, getattr(architecture(library, stem), network)(num_classes=classes)).eval()
    images, labels = batch(library, shape, classes)

    def step():
        with library.no_grad():
            return loss_of(library, model(images), labels).item()

    return step
