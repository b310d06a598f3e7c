"""Why a result is wrong: compares two plain arrays and names the usual mistake, where it is plain to see.

    diagnose(dw, dw_expected)       "analytical = 0.5 x numerical everywhere: did you average twice, ..."
    relative_error(dw, dw_expected) the one number that gradcheck, the debugger and the course kit report

No Tensor is known here, and the arrays are NumPy's: gradcheck, the debugger's `check` and the graders bring theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, permutations, product
from typing import Any

import numpy

TINY = 1e-8  # below this, a difference is measured absolutely: both values are rounding

# Karpathy et al., CS231n notes, "Gradient checks"; for float64 and central differences.
SCALE_OF_RELATIVE_ERRORS = (
    "above 1e-2 wrong; 1e-2 to 1e-4 uncomfortable; up to 1e-4 fine only with kinks; 1e-7 and less happy"
)


def relative_error(actual: Any, expected: Any) -> float:
    """The largest |a - b| / max(|a|, |b|, 1e-8) over all elements a of `actual` and b of `expected`.

    0 for equal arrays (also where both are the same infinity, or both nan) and for empty ones; 2 for opposite signs;
    infinity where only one is nan or infinite, and where the shapes differ.
    """
    a, b = numpy.asarray(actual, dtype=float), numpy.asarray(expected, dtype=float)
    if a.shape != b.shape:
        return float("inf")
    if not a.size:
        return 0.0
    with numpy.errstate(invalid="ignore"):
        error = abs(a - b) / numpy.maximum(numpy.maximum(abs(a), abs(b)), TINY)
    error = numpy.where((a == b) | (numpy.isnan(a) & numpy.isnan(b)), 0.0, error)
    return float(numpy.where(numpy.isnan(error), numpy.inf, error).max())


def diagnose(
    actual: Any,
    expected: Any,
    *,
    names: tuple[str, str] = ("analytical", "numerical"),
    input: Any = None,
    changed: dict[str, tuple[Any, Any]] | None = None,
    sizes: dict[str, int] | None = None,
    per_sample: Any = None,
    padding: int | None = None,
    stride: int | None = None,
    rtol: float = 1e-5,
) -> str | None:
    """One sentence on why `actual` is not `expected`, or None where nothing is plain. Both are NumPy arrays.

    names       what the two are called in the sentence
    input       the array that this is the gradient of: found out if `actual` lies in its memory
    changed     arrays that must stay as they are: {"grad_output": (copy made before, the array now)}
    sizes       numbers that a constant ratio may be: {"the batch size": 8}. The number of elements is always tried
    per_sample  the gradients of the single samples, stacked along axis 0, whose sum is `expected`
    padding     of a convolution or pooling: named where an error is confined to a border of this width
    stride      the same: named where an error is confined to every stride-th element
    rtol        two numbers that differ by less, relatively, count as equal

    The tests go from the simplest cause to the least simple, and the first that fits speaks. Every sentence states
    what is seen in the arrays, so it is true; what it suggests as the cause is the usual one.
    """
    for name, (before, after) in (changed or {}).items():
        if (hint := changed_in_place(name, before, after)) is not None:
            return hint
    if actual is None:
        return "no gradient was returned (None): is the branch reached, and is a gradient returned for this input?"
    actual, expected = numpy.asarray(actual), numpy.asarray(expected)
    if input is not None and numpy.may_share_memory(actual, input):
        return "the gradient lies in the memory of the input: whoever changes one in place changes both; return a copy"
    if actual.dtype.kind == "f" and actual.dtype.itemsize < expected.dtype.itemsize:
        return f"{actual.dtype} came back for {expected.dtype}: a hidden cast (is a dtype written out?)"
    if actual.shape != expected.shape:
        return _wrong_shape(actual, expected, rtol)
    if (hint := _not_finite(actual, expected)) is not None or not numpy.isfinite(expected).all():
        return hint
    if _is_float32(actual) and not _is_float32(expected) and _close(actual, expected, 1e-4):
        return f"every {names[0]} value is a float32 number: a hidden cast on the way"
    if _close(actual, expected, rtol):
        return None
    sizes = dict(sizes or {})
    if expected.size not in sizes.values():
        sizes["the number of elements"] = expected.size
    return (
        _zeros(actual, expected, names)
        or _constant_ratio(actual, expected, names, sizes)
        or _rearranged(actual, expected, names, rtol)
        or _ratio_of_slices(actual, expected, names, rtol)
        or _one_sample(actual, per_sample, names, rtol)
        or _wrong_in_places(actual, expected, padding, stride, rtol)
        or _shifted(actual, expected, names, rtol)
    )


def changed_in_place(name: str, before: Any, after: Any) -> str | None:
    """The sentence for an array that should have stayed as it was, given a copy made before. None if it did."""
    before, after = numpy.asarray(before), numpy.asarray(after)
    if before.shape == after.shape and numpy.array_equal(before, after, equal_nan=before.dtype.kind == "f"):
        return None
    return f"{name} was changed in place: compute into a new array (b = a * m, not a *= m; never out=a)"


# ------------------------------------------------------------------------------------- one function for each row


def _wrong_shape(actual, expected, rtol):
    is_, should = actual.shape, expected.shape
    shapes = f"the gradient has shape {is_}, its input has shape {should}"
    added = len(is_) - len(should)
    if added >= 0:
        axes = (*range(added), *(i + added for i, n in enumerate(should) if n == 1 and is_[i + added] != 1))
        summed = actual.sum(axis=axes, keepdims=True)
        if axes and summed.shape[added:] == should and summed.size < actual.size:
            right = " (the sum is right)" if _close(summed.reshape(should), expected, rtol) else ""
            return f"{shapes}, which is the broadcast shape: sum over axes {axes}{right}; axis 0 is often the batch"
    if (hint := _padded(actual, expected, rtol)) is not None:
        return f"{shapes}: {hint}"
    for order in _orders(actual.ndim):
        if len(is_) == len(should) and _close(actual.transpose(order), expected, rtol):
            return f"{shapes}: {_transposed(order)}"
    if actual.size == expected.size and _close(actual.reshape(should), expected, rtol):
        return f"{shapes}: the values are right, a reshape is missing"
    if is_ == should[::-1]:
        return f"{shapes}, which is reversed: is something transposed (W for W^T)?"
    return f"{shapes}"


def _padded(actual, expected, rtol):
    """Larger than expected by as much on both sides, along one axis or more."""
    more = [a - b for a, b in zip(actual.shape, expected.shape, strict=False)]
    if actual.ndim != expected.ndim or min(more) < 0 or any(n % 2 for n in more):
        return None
    middle = actual[tuple(slice(n // 2, n // 2 + size) for n, size in zip(more, expected.shape, strict=True))]
    widths = " and ".join(f"{n // 2} on each side of axis {axis}" for axis, n in enumerate(more) if n)
    if _close(middle, expected, rtol):
        return f"the middle is right: crop the padding, {widths}"
    return f"larger by {widths}: is the padding cropped?" if actual.ndim > 2 and not any(more[:-2]) else None


def _not_finite(actual, expected):
    bad = ~numpy.isfinite(actual) & numpy.isfinite(expected)
    if not bad.any():
        return None
    first = tuple(int(i) for i in numpy.argwhere(bad)[0])
    what = " and ".join(word for word, test in (("nan", numpy.isnan), ("inf", numpy.isinf)) if test(actual[bad]).any())
    return (
        f"{what} in {bad.sum()} of {bad.size} elements, first at {first}, where {float(expected[first]):.6g} is "
        "expected: a division by zero, log(0), or an exp that overflows"
    )


def _zeros(actual, expected, names):
    if not actual.any():
        return f"{names[0]} = 0 everywhere: the branch is not reached, or its gradient is not returned for this input"
    if not expected.any():
        return f"{names[1]} = 0 everywhere: the result does not depend on this input, so its gradient is 0"
    return None


def _constant_ratio(actual, expected, names, sizes):
    ratio = float((actual * expected).sum() / (expected * expected).sum())
    if not _close(actual, ratio * expected, 1e-5) or _near(ratio, 1):  # nearly right is no matter of a factor
        return None
    said = f"{names[0]} = {ratio:.6g} x {names[1]} everywhere"
    factor = abs(ratio)
    causes = ["the sign is wrong"] if ratio < 0 else []
    if _near(factor, 2):
        causes.append("counted twice, or the 1/2 of a mean or a square forgotten?")
    if _near(factor, 0.5):
        causes.append("did you average twice, or forget the 2 of a square?")
    for number in sorted({n for n in sizes.values() if n > 1 and (_near(factor, n) or _near(factor * n, 1))}):
        meant = "a sum where a mean is meant?" if factor > 1 else "a mean where a sum is meant, or divided by it twice?"
        causes.append(f"{number} is {' and '.join(name for name, n in sizes.items() if n == number)}: {meant}")
    if numpy.count_nonzero(expected) < 2 and (not causes or (causes == ["the sign is wrong"] and not _near(factor, 1))):
        return None  # two numbers always have a ratio: it means nothing
    return f"{said}: {'; '.join(causes) or 'a factor is missing, or one too many'}"


def _ratio_of_slices(actual, expected, names, rtol):
    """A factor that is another one for each channel (row, sample): a weight that was left out."""
    for axis, length in enumerate(actual.shape):
        if length < 2 or actual.size < 3 * length:
            continue
        rest = tuple(i for i in range(actual.ndim) if i != axis)
        with numpy.errstate(all="ignore"):
            ratios = (actual * expected).sum(rest, keepdims=True) / (expected * expected).sum(rest, keepdims=True)
        several = (abs(ratios - 1) > rtol).sum() > 1 and bool(abs(ratios).min() > rtol)  # 0: something else, see below
        if numpy.isfinite(ratios).all() and several and _close(actual, ratios * expected, rtol):
            some = ", ".join(f"{ratio:.4g}" for ratio in ratios.ravel()[:3])
            return (
                f"{names[0]} = {names[1]} x another number for each index of axis {axis} ({some}, ...): is a factor "
                "that belongs to that axis left out (a weight, a size), or in twice?"
            )
    return None


def _rearranged(actual, expected, names, rtol):
    for order in _orders(actual.ndim):
        if actual.transpose(order).shape == expected.shape and _close(actual.transpose(order), expected, rtol):
            return _transposed(order)
    for axes in ((-1,), (-2, -1), (-2,), (-3,), (-3, -2, -1)):
        if actual.ndim >= -axes[0] and _close(numpy.flip(actual, axes), expected, rtol):
            return (
                f"{names[0]} = {names[1]} flipped over {'axis' if len(axes) == 1 else 'axes'} "
                f"{', '.join(map(str, axes))}: convolution where correlation is meant, or the reverse?"
            )
    return None


def _shifted(actual, expected, names, rtol):
    axes = range(max(0, actual.ndim - 2), actual.ndim)
    for offsets in sorted(product((0, 1, -1, 2, -2), repeat=len(axes)), key=lambda offsets: sum(map(abs, offsets))):
        there, here = [slice(None)] * actual.ndim, [slice(None)] * actual.ndim
        for axis, offset in zip(axes, offsets, strict=True):
            if offset:
                there[axis] = slice(offset, None) if offset > 0 else slice(None, offset)
                here[axis] = slice(None, -offset) if offset > 0 else slice(-offset, None)
        a, b = actual[tuple(there)], expected[tuple(here)]
        if any(offsets) and len(numpy.unique(b)) > 2 and _close(a, b, rtol):
            moved = " and ".join(f"{o:+d} along axis {i}" for i, o in zip(axes, offsets, strict=True) if o)
            return f"{names[0]} = {names[1]} shifted by {moved}: the padding, or an index off by one"
    return None


def _one_sample(actual, per_sample, names, rtol):
    for n, single in enumerate(() if per_sample is None else per_sample):
        if single.shape == actual.shape and _close(actual, single, rtol):
            return f"{names[0]} = the gradient of sample {n} alone: not summed over the batch"
    return None


def _wrong_in_places(actual, expected, padding, stride, rtol):
    """The places of the wrong elements: one element, one row or channel, the border, a lattice."""
    wrong = ~_equal(actual, expected, rtol)
    if wrong.all():
        return None
    value = " (zero there)" if not actual[wrong].any() else ""
    where = numpy.argwhere(wrong)
    if len(where) == 1:
        return f"only the element {tuple(map(int, where[0]))} is wrong{value}; the other {wrong.size - 1} are right"
    for axis, length in enumerate(wrong.shape):
        touched = numpy.unique(where[:, axis])
        if len(touched) == 1 and length > 1:
            return f"wrong only at index {touched[0]} of axis {axis} (a row, a channel or a sample){value}"
        untouched = numpy.setdiff1d(numpy.arange(length), touched)
        most = wrong.sum() > wrong.size * (length - 1) / length / 2
        if len(untouched) == 1 and length > 2 and most and expected.take(untouched, axis).any():  # not two zeros
            return f"right only at index {untouched[0]} of axis {axis} (a loop that ends early, a sum left out?){value}"
    return _lattice(wrong, stride, value) or _border(wrong, padding, value)


def _border(wrong, padding, value):
    """Errors in a frame of the last two axes, at two sides of it or more, and all right inside."""
    if wrong.ndim < 2:
        return None
    sides = sum(bool(edge.any()) for edge in (wrong[..., 0, :], wrong[..., -1, :], wrong[..., 0], wrong[..., -1]))
    for width in range(1, (min(wrong.shape[-2:]) - 1) // 2 + 1):
        if sides >= 2 and not wrong[..., width:-width, width:-width].any():
            text = f"wrong only in a border {width} wide{value}"
            if width == padding:
                return f"{text}, as wide as the padding: is the padding cropped (in col2im) and filled right?"
            return f"{text}: the padding, or windows that hang over the edge"
    return None


def _lattice(wrong, stride, value):
    """Errors on, or everywhere but on, every second (third, ...) index of one of the last two axes, or of both."""
    known = bool(stride and stride > 1)
    steps = [stride] if known else [2, 3, 4]
    axes = range(max(0, wrong.ndim - 2), wrong.ndim)
    chosen = [some for count in range(1, len(axes) + 1) for some in combinations(axes, count)]
    for word, some, step in product(("wrong", "right"), chosen, steps):
        if any(wrong.shape[axis] <= (step if known else 2 * step) for axis in some):
            continue  # two such indices alone may be chance
        for offsets in product(range(step), repeat=len(some)):
            key = [slice(None)] * wrong.ndim
            for axis, first in zip(some, offsets, strict=True):
                key[axis] = slice(first, None, step)
            lattice = numpy.zeros(wrong.shape, bool)
            lattice[tuple(key)] = True
            if ((wrong if word == "wrong" else ~wrong) == lattice).all():
                places = " and ".join(
                    f"{first}, {first + step}, ... of axis {axis}" for axis, first in zip(some, offsets, strict=True)
                )
                return f"{word} only at the indices {places}: the stride, where columns are scattered back{value}"
    return None


# ------------------------------------------------------------------------------------------------------- helpers


def _orders(ndim: int) -> Iterator[tuple[int, ...]]:
    """The orders of the axes other than their own: the last two exchanged first. None for more than four axes."""
    orders = list(permutations(range(ndim)))[1:] if ndim <= 4 else []
    return iter(sorted(orders, key=lambda order: sum(i != axis for i, axis in enumerate(order))))


def _transposed(order: tuple[int, ...]) -> str:
    if order[-2:] == (len(order) - 1, len(order) - 2) and order[:-2] == tuple(range(len(order) - 2)):
        return "right after a transpose of the last two axes: W for W^T, or the operands of a product exchanged?"
    return f"right once the axes are put in the order {order}: a transpose (permute) is missing, or one too many"


def _equal(a: numpy.ndarray, b: numpy.ndarray, rtol: float) -> numpy.ndarray:
    """Element by element: equal up to rtol, and up to a tenth of it of the largest element."""
    largest = abs(b).max() if b.size else 0
    return abs(a - b) <= rtol * abs(b) + 0.1 * rtol * largest


def _close(a: numpy.ndarray, b: numpy.ndarray, rtol: float) -> bool:
    return a.shape == b.shape and bool(_equal(a, b, rtol).all())


def _near(a: float, b: float) -> bool:
    return abs(a - b) <= 1e-4 * b


def _is_float32(array: numpy.ndarray) -> bool:
    """True where every element is a float32 number, and not all are zero."""
    with numpy.errstate(over="ignore"):  # memory that was never written may hold numbers beyond float32
        return bool(array.any()) and bool((array.astype("float32") == array).all())
