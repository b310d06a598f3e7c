"""Task 3.15 with the file that it is about: the published ResNet-20, through the loader of the assignment."""

import pytest

import minidl
from architectures import resnet20
from assignments.a3_architectures.published import MEAN, STD, load_published, normalized
from minidl.data import CIFAR10
from tests.test_datasets import SHARED, needs

RESNET20 = SHARED / "weights" / "resnet20-12fca82f.th"


@pytest.mark.skipif(not RESNET20.exists(), reason="the published ResNet-20 is not there")
@needs("cifar-10-batches-bin")
def test_the_published_weights_read_photographs():
    model = load_published(resnet20(), RESNET20)
    test = CIFAR10(SHARED, train=False, partial=True)
    images, labels = minidl.tensor(test.data[:100]), minidl.tensor(test.targets[:100])
    with minidl.no_grad():
        right = (model(normalized(images, MEAN, STD)).argmax(dim=1) == labels).sum().item()
    assert right >= 85
    assert (model(images.to(minidl.float32)).argmax(dim=1) == labels).sum().item() < 60  # raw bytes are something else
