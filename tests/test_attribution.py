"""Saliency and occlusion maps, of networks whose maps can be worked out by hand."""

import numpy
import pytest

import minidl
from minidl import nn
from minidl.inspect.attribution import occlusion, saliency, square_count


class Linear(nn.Module):
    """Two classes. The score of class 1 is the sum of weight * x, that of class 0 is 0."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(minidl.tensor(weight))
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        score = self.dropout((x * self.weight).flatten(1).sum(1))
        return minidl.stack([score * 0, score], dim=1)


def linear(shape, seed=0):
    weight = numpy.random.default_rng(seed).standard_normal(shape).astype("float32")
    return Linear(weight), weight


def test_saliency_of_a_linear_network_is_its_weight():
    model, weight = linear((3, 4, 5))
    model.train()
    image = minidl.randn(3, 4, 5)
    found = saliency(model, image, 1)
    assert found.dtype == numpy.float32
    numpy.testing.assert_allclose(found, abs(weight).max(axis=0))
    assert model.training
    assert model.weight.requires_grad
    assert model.weight.grad is None
    assert not image.requires_grad
    assert (saliency(model, image, 0) == 0).all()


@pytest.mark.parametrize(("patch", "stride"), [(1, 1), (2, 1), (3, 2), (4, 4), (2, 2)])
def test_occlusion_by_loops(patch, stride):
    model, weight = linear((2, 5, 7))
    image = numpy.random.default_rng(1).standard_normal((2, 5, 7)).astype("float32")
    total, count = numpy.zeros((5, 7)), numpy.zeros((5, 7))
    for top in range(stride - patch, 5, stride):
        for left in range(stride - patch, 7, stride):
            hidden = image.copy()
            rows = [y for y in range(top, top + patch) if 0 <= y < 5]
            columns = [x for x in range(left, left + patch) if 0 <= x < 7]
            for y in rows:
                for x in columns:
                    hidden[:, y, x] = 0.25
            probability = 1 / (1 + numpy.exp(-(hidden * weight).sum()))
            for y in rows:
                for x in columns:
                    total[y, x] += probability
                    count[y, x] += 1
    seen = []
    model.train()
    found = occlusion(model, minidl.tensor(image), 1, patch, stride, fill=0.25, batch_size=4, progress=seen.append)
    numpy.testing.assert_allclose(found, total / count, rtol=1e-5)
    assert sum(seen) == square_count(5, 7, patch, stride)
    assert max(seen) <= 4
    assert model.training


def test_every_pixel_is_hidden_equally_often_where_the_stride_divides_the_patch():
    class Counts(nn.Module):
        def forward(self, x):
            seen.append(x.numpy()[:, 0])
            return minidl.zeros(len(x), 2)

    seen = []
    occlusion(Counts(), minidl.ones(1, 6, 9), 0, patch=4, stride=2)
    assert set((numpy.concatenate(seen) == 0).sum(axis=0).ravel().tolist()) == {4}


def test_what_does_not_fit():
    model, _ = linear((3, 4, 5))
    image = minidl.randn(3, 4, 5)
    for wrong in (image[None], image[0], image.numpy()):
        with pytest.raises(ValueError, match=r"must be one image \(C, H, W\), without the batch"):
            saliency(model, wrong, 1)
        with pytest.raises(ValueError, match=r"must be one image \(C, H, W\), without the batch"):
            occlusion(model, wrong, 1, 2, 1)
    for target in (2, -1):
        with pytest.raises(ValueError, match=f"no score for a class {target}"):
            saliency(model, image, target)
        with pytest.raises(ValueError, match=f"no score for a class {target}"):
            occlusion(model, image, target, 2, 1)
    for patch, stride in ((2, 3), (2, 0), (0, 0)):
        with pytest.raises(ValueError, match="needs 1 <= stride <= patch"):
            occlusion(model, image, 1, patch, stride)
