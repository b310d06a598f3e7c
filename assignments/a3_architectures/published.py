"""Weights that somebody published, in a network of one's own. Task 3.15.

    python -m assignments.a3_architectures.published resnet20-12fca82f.th

The file is a checkpoint of PyTorch's: {"state_dict": {"module.conv1.weight": ..., ...}, "best_prec1": 91.78...}. Names
begin with "module." because the network was trained inside of nn.DataParallel, which keeps it under this name.
"""

import sys

import minidl
from architectures.resnet_cifar import resnet20
from minidl.data import named

# What the publisher's training subtracted and divided by, for red, green and blue, after bringing the pixels to 0..1
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def without_prefix(state, prefix):
    """The same state dict with `prefix` taken from the beginning of every name that has it, and only from there."""
    return {name.removeprefix(prefix): value for name, value in state.items()}


def load_published(model, path):
    """Load the file of a publisher into the model, every name and every shape, and make it ready for evaluation.

    path    of a checkpoint as above, or of a plain state dict, with or without "module." in its names

    Returns the model. Whatever does not fit is an error, that of `load_state_dict`: nothing is left out silently.
    """
    saved = minidl.load(path)
    state = saved.get("state_dict", saved)
    model.load_state_dict(without_prefix(state, "module."))
    return model.eval()


def normalized(images, mean, std):
    """Images as the publisher's network read them: (N, C, H, W), bytes 0..255 in, float32 out.

    y = (x / 255 - mean_c) / std_c, for each channel c.
    """
    scale = 1 / 255
    mean = minidl.tensor(mean, dtype=minidl.float32).reshape(1, -1, 1, 1)
    std = minidl.tensor(std, dtype=minidl.float32).reshape(1, -1, 1, 1)
    return (images.to(minidl.float32) * scale - mean) / std


# -------------------------------------------------------------------------------------------------- given: the program


def accuracy(model, images, labels, batch_size=250):
    """Percent of images (N, 3, 32, 32), bytes, that the model gets right."""
    right = 0
    with minidl.no_grad():
        for start in range(0, len(labels), batch_size):
            scores = model(normalized(images[start : start + batch_size], MEAN, STD))
            right += (scores.argmax(dim=1) == labels[start : start + batch_size]).sum().item()
    return 100 * right / len(labels)


def main(path, count=1000):
    """What the published network gets right of the first test images of CIFAR-10, where the data set is there."""
    model = load_published(resnet20(), path)
    test = named("cifar10", partial=True).test
    images, labels = minidl.tensor(test.data[:count]), minidl.tensor(test.targets[:count])
    print(f"{path}: {accuracy(model, images, labels):.2f} % of {len(labels):,} test images right")


if __name__ == "__main__":
    main(sys.argv[1])
