"""What came back beside what is expected, and the words in which the difference is told.

The rule, one for all checks: an element a is right where

    |a - e| <= rtol * max(|a|, |e|, m / 100)        e the expected element, m the largest |e| of the tensor

so each element is measured against itself, and those below a hundredth of the largest against that: they are often what
is left where large numbers cancel, and have the rounding of those. (|a - e| <= atol is always right; it matters where
everything expected is 0.)

rtol is never below a few roundings of the expected dtype, in float32 1e-6: the same sum in another order is as right.
Whole numbers must be the same: 36,479,195 in place of 36,479,194 parameters is one bias too many, and 3e-8 in rtol.
"""

from __future__ import annotations

import math
from typing import Any

import numpy

from minidl.diagnosis import diagnose

ROUGH = 1e-5  # relative error: below it the formula may be right, and the numbers are not
ROUNDINGS = 8  # that what is right may always have
NOTHING = "is anything computed there, and written into it?"
SMALL = 0.01  # of the largest element: smaller ones are measured against this


def relative_errors(actual: numpy.ndarray, expected: numpy.ndarray, atol: float = 0.0) -> numpy.ndarray:
    """The error of every element, as the rule above measures it: to be compared with rtol."""
    a, e = numpy.asarray(actual, dtype=float), numpy.asarray(expected, dtype=float)
    finite = abs(e[numpy.isfinite(e)])
    floor = SMALL * finite.max() if finite.size else 0.0
    with numpy.errstate(all="ignore"):
        difference = abs(a - e)
        errors = difference / numpy.maximum(numpy.maximum(abs(a), abs(e)), floor)
    right = (a == e) | (numpy.isnan(a) & numpy.isnan(e)) | (difference <= atol)
    errors = numpy.where(numpy.isnan(errors), numpy.inf, errors)  # one is nan or infinite, and the other is not
    return numpy.where(right, 0.0, errors)


def difference(
    name: str, actual: numpy.ndarray | None, expected: numpy.ndarray, *, rtol: float, atol: float, **diagnosis: Any
) -> str | None:
    """None where `actual` is right; else what is wrong with it, in a few lines, with a hint where there is one."""
    if expected.dtype.kind in "iub":
        rtol = atol = 0.0
    elif expected.dtype.kind == "f":
        rtol = max(rtol, ROUNDINGS * float(numpy.finfo(expected.dtype).eps))
    hint = {"names": (name, "expected"), "rtol": max(rtol, 1e-9), **diagnosis}
    if actual is None:
        reason = (
            _hint(None, expected, hint) if name.startswith("grad") else "is a `return` missing, or what it returns?"
        )
        return f"{name} is None, where {_kind(expected)} is expected\n  hint: {reason}"
    if expected.dtype.kind in "US" or actual.dtype.kind in "US":
        return None if actual.shape == expected.shape and (actual == expected).all() else _words(name, actual, expected)
    if actual.shape != expected.shape:
        text = f"{name} has the wrong shape: {actual.shape} came back, {expected.shape} is expected"
        return _with_hint(text, actual, expected, hint)
    if (actual.ndim or actual.dtype.kind == "c") and (wrong := _wrong_dtype(actual, expected)):
        text = f"{name} has the wrong dtype: {actual.dtype} came back, {expected.dtype} is expected"
        return _with_hint(text, actual, expected, hint) if "hint" not in wrong else f"{text}\n  {wrong}"
    errors = relative_errors(actual, expected, atol)
    if not (errors > rtol).any():
        if _narrowed(actual) and not _narrowed(expected):
            return (
                f"{name} is right to 7 digits only\n  hint: every value is a float32 number: a hidden cast on the way"
            )
        return None
    if not actual.ndim:
        text = f"{name} is wrong: {_number(actual)} came back, {_number(expected)} is expected"
        return _with_hint(text, actual, expected, hint)
    worst = tuple(int(i) for i in numpy.unravel_index(int(errors.argmax()), errors.shape))
    wrong_count = int((errors > rtol).sum())
    lines = [
        f"{name} is wrong: relative error {errors.max():.2g}, limit {rtol:.2g}; {_kind(expected)}, "
        f"{'all' if wrong_count == errors.size else wrong_count} of {errors.size} elements are wrong",
        f"  worst at {worst}: {_number(actual[worst])} came back, {_number(expected[worst])} is expected",
    ]
    return _with_hint("\n".join(lines), actual, expected, hint)


def _wrong_dtype(actual: numpy.ndarray, expected: numpy.ndarray) -> str:
    """Empty where the dtypes agree in kind, as far as that matters, and, for floats, in width."""
    a, e = actual.dtype, expected.dtype
    if e.kind == "f" and a.kind == "f":
        if a.itemsize > e.itemsize:
            return f"hint: {a} came out of {e} inputs: a Python list, or an array made without dtype=x.dtype?"
        return "narrower" if a.itemsize < e.itemsize else ""
    if a.kind == "c" and e.kind != "c":
        return "hint: complex numbers came back: the root or the power of a negative number?"
    if e.kind in "iu" and a.kind == "f" and ((actual % 1 != 0).any() or _narrowed(actual)):
        return "hint: fractions came back where whole numbers stand: / gives a float, // a whole number"
    if e.kind == "f" and a.kind == "b":
        return "hint: True and False came back: is it the mask itself, and not the numbers where it holds?"
    if e.kind == "f" and a.kind in "iu":
        return "hint: whole numbers came back where fractions can stand: was the array made with an integer dtype?"
    return ""


def _narrowed(array: numpy.ndarray) -> bool:
    """True where a float64 array holds nothing but float32 numbers, and not only zeros."""
    if array.dtype != numpy.float64 or not array.ndim or not array.any():
        return False
    with numpy.errstate(over="ignore"):
        return bool((array.astype("float32") == array)[numpy.isfinite(array)].all())


def _with_hint(text: str, actual: Any, expected: Any, options: dict[str, Any]) -> str:
    hint = _hint(actual, expected, options)
    if hint is None and actual.shape == expected.shape and (worst := relative_errors(actual, expected).max()) < ROUGH:
        digits = int(-math.log10(worst))
        hint = f"right to {digits} digits only: a difference in place of the formula, or float32 on the way?"
    if hint is None and len(expected.shape) == 4 and _one_less(actual.shape, expected.shape):
        hint = "one less in rows and columns: floor((size + 2 padding - kernel) / stride) + 1, with the 1?"
    if hint is None and (options.get("stride") or 1) > 1 and actual.shape == expected.shape:
        hint = (
            f"no simple pattern. Here the stride is {options['stride']}: if it is right for stride 1, look where the "
            "stride moves a window, h = oh * stride + kh - padding"
        )
    return text if hint is None else f"{text}\n  hint: {hint}"


def _one_less(shape: tuple[int, ...], right: tuple[int, ...]) -> bool:
    return shape == (*right[:-2], right[-2] - 1, right[-1] - 1)


def _hint(actual: Any, expected: Any, options: dict[str, Any]) -> str | None:
    if actual is not None and (actual.dtype.kind not in "fiub" or expected.dtype.kind not in "fiub"):
        return None
    if actual is not None and expected.dtype.kind in "iub" and actual.size == 1 and not actual.any():
        return None  # of a count that is 0 there is no more to say
    hint = diagnose(actual, expected.astype(float) if expected.dtype.kind != "f" else expected, **options)
    if hint is not None and expected.ndim == 1 and expected.size < 5 and "only" in hint.partition(":")[0]:
        return None  # where a list of a few numbers is wrong says nothing
    if hint is not None and not options["names"][0].startswith("grad"):
        hint = hint.replace("the branch is not reached, or its gradient is not returned for this input", NOTHING)
    if hint is not None and actual is not None and actual.shape != expected.shape:  # the shapes are told already
        hint = hint.removeprefix(f"the gradient has shape {actual.shape}, its input has shape {expected.shape}")
        hint = hint.lstrip(":, ").removeprefix("which is ") or None
    return hint


def _words(name: str, actual: numpy.ndarray, expected: numpy.ndarray) -> str:
    return f"{name} is wrong: {actual.tolist()!r:.200} came back, {expected.tolist()!r:.200} is expected"


def _kind(array: numpy.ndarray) -> str:
    return f"{array.dtype} {array.shape}" if array.ndim else f"a number ({array.dtype})"


def _number(value: Any) -> str:
    item = value.item()
    return f"{item:.8g}" if isinstance(item, float) else str(item)
