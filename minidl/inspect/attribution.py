"""Where a network looks: what each pixel has to do with the score of a class.

    scores of a class c, of an image x (C, H, W)
    saliency    |d score_c / d x|, of the channels the largest                  one backward pass
    occlusion   the probability of c that is left while a square hides the pixel   a forward pass for each square

Saliency tells how fast the score changes with a pixel, occlusion what happens without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy

from minidl.backend import CPU, transfer
from minidl.errors import explain
from minidl.grad_mode import enable_grad, no_grad
from minidl.inspect.trace import unchanged
from minidl.nn import Module
from minidl.tensor import Tensor


def saliency(model: Module, image: Tensor, target: int) -> numpy.ndarray:
    """(H, W): |d score / d x| of class `target`, the largest of the channels. image: (C, H, W), as the model reads it.

    Simonyan, Vedaldi & Zisserman 2013, arXiv:1312.6034, sec. 3. ValueError: image or target do not fit.
    """
    _check("saliency", image)
    with unchanged(model), enable_grad():
        model.eval().requires_grad_(False)  # the gradient of the image alone is asked for
        x = image.detach().clone().unsqueeze(0).requires_grad_()
        score = _score("saliency", model(x), target)
        score.backward()
    assert x.grad is not None
    return numpy.abs(transfer(x.grad.data, CPU)[0]).max(axis=0)


def occlusion(
    model: Module,
    image: Tensor,
    target: int,
    patch: int,
    stride: int,
    fill: float = 0.0,
    batch_size: int = 32,
    progress: Callable[[int], None] | None = None,
) -> numpy.ndarray:
    """(H, W): for each pixel the mean probability of class `target` over all squares that hide it.

    patch, stride   the side of the squares in pixels, and from one to the next; at the borders a part of one hides too,
                    so that every pixel is hidden equally often
    fill            what a hidden pixel is; 0 is the mean colour of normalised images
    progress        called with the number of images that have been computed

    Zeiler & Fergus 2013, arXiv:1311.2901, sec. 4.2, who slide a gray square over the image. ValueError: image, target,
    patch or stride do not fit.
    """
    _check("occlusion", image)
    height, width = image.shape[1:]
    if not 1 <= stride <= patch:
        raise ValueError(explain("occlusion", f"needs 1 <= stride <= patch, got stride={stride} and patch={patch}"))
    squares = list(_squares(height, width, patch, stride))
    total, count = numpy.zeros((height, width)), numpy.zeros((height, width))
    with unchanged(model), no_grad():
        model.eval()
        for start in range(0, len(squares), batch_size):
            group = squares[start : start + batch_size]
            hidden = numpy.repeat(transfer(image.data, CPU)[None], len(group), axis=0)
            for one, square in zip(hidden, group, strict=True):
                one[(slice(None), *square)] = fill
            scores = model(Tensor(transfer(hidden, image.device)))
            _score("occlusion", scores[:1], target)
            left = scores.softmax(dim=1)[:, target].cpu().numpy()
            for square, probability in zip(group, left, strict=True):
                total[square] += probability
                count[square] += 1
            if progress is not None:
                progress(len(group))
    return total / count


def square_count(height: int, width: int, patch: int, stride: int) -> int:
    """How many images `occlusion` computes."""
    return sum(1 for _ in _squares(height, width, patch, stride))


def _squares(height: int, width: int, patch: int, stride: int) -> Iterator[tuple[slice, slice]]:
    """As keys of an image (H, W). The first and the last ones lie partly outside."""
    for top in range(stride - patch, height, stride):
        for left in range(stride - patch, width, stride):
            yield slice(max(top, 0), min(top + patch, height)), slice(max(left, 0), min(left + patch, width))


def _check(where: str, image: Tensor) -> None:
    if not isinstance(image, Tensor) or image.ndim != 3:
        raise ValueError(explain(where, "image must be one image (C, H, W), without the batch", {"image": image}))


def _score(where: str, scores: Tensor, target: int) -> Tensor:
    """The score of the class for one image (1, classes)."""
    if not isinstance(scores, Tensor) or scores.ndim != 2 or not 0 <= target < scores.shape[1]:
        raise ValueError(explain(where, f"the model has no score for a class {target}", {"scores": scores}))
    return scores[0, target]
