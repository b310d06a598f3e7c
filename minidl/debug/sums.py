"""The formulas of the operations whose results are sums: which numbers, times which, make one number of a result."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from minidl import ops
from minidl.debug.alone import Alone
from minidl.debug.check import kept_arrays
from minidl.debug.tape import Event, Value
from minidl.debug.terms import Term, brackets
from minidl.errors import explain
from minidl.function import Function
from minidl.ops.pooling import adaptive_windows

Index = tuple[int, ...]


class Call:
    """The arrays of one call of an operation, and what they are called: a parameter by its dotted name."""

    def __init__(self, event: Event):
        if event.node is None:
            raise ValueError(explain("why", "the operation is not kept on the tape", help='trace(fn, record="full")'))
        self.node, self.options = event.node, event.options
        self.inputs, self.outputs = (
            kept_arrays(event.operation, event.inputs),
            kept_arrays(event.operation, event.outputs),
        )
        self.names = [
            x.name if isinstance(x, Value) and x.name else name
            for x, name in zip(event.inputs, event.names, strict=True)
        ]

    def output(self, number: int) -> str:
        return "y" if len(self.outputs) == 1 else f"y{number}"

    def alone(self) -> Alone:
        return Alone(self.node, self.inputs, self.options)


Formula = Callable[
    [Call, Index], tuple[tuple[Term, ...], str]
]  # the terms of the number at an index, and a line on them


def summands_of(kind: Any) -> Formula | None:
    """The formula of a kind of operation, also of a subclass that has another backward only."""
    return next((SUMS[base] for base in kind.__mro__ if base in SUMS and base.forward is kind.forward), None)


def _convolution(call: Call, place: Index) -> tuple[tuple[Term, ...], str]:
    """y[n,f,oh,ow]: the window of x that filter f meets there, tap by tap. See ops.Conv2d."""
    names = call.names
    x, weight, bias = call.inputs
    stride, padding, dilation = (call.options[name] for name in ("stride", "padding", "dilation"))
    n, f, oh, ow = place
    (_, _, H, W), (F, channels, KH, KW) = x.shape, weight.shape
    first = f // (F // call.options["groups"]) * channels  # the first channel that this filter sees
    top, left = oh * stride[0] - padding[0][0], ow * stride[1] - padding[1][0]
    terms, outside = [], 0
    for c in range(channels):
        for kh in range(KH):
            for kw in range(KW):
                h, w = top + kh * dilation[0], left + kw * dilation[1]
                if not (0 <= h < H and 0 <= w < W):
                    outside += 1
                    continue
                seen, tap = (n, first + c, h, w), (f, c, kh, kw)
                terms.append(_term(names, x, seen, weight, tap, f"c={c} kh={kh} kw={kw}"))
    rows = f"{top}..{top + (KH - 1) * dilation[0]}"
    columns = f"{left}..{left + (KW - 1) * dilation[1]}"
    note = f"  the window of {names[0]}: image {n}, rows {rows}, columns {columns}; the filter {names[1]}[{f}]"
    note += f"; {outside} of its taps lie in the padding, which is 0" if outside else ""
    return tuple(terms + _bias(names, bias, f)), note


def _linear(call: Call, place: Index) -> tuple[tuple[Term, ...], str]:
    """y[..., f]: a row of x times row f of the weight."""
    names = call.names
    x, weight, bias = call.inputs
    *front, f = place
    terms = [_term(names, x, (*front, k), weight, (f, k)) for k in range(x.shape[-1])]
    note = f"  the row {names[0]}{brackets(front, ':')} times the row {names[1]}[{f},:]"
    return tuple(terms + _bias(names, bias, f)), note


def _product(call: Call, place: Index) -> tuple[tuple[Term, ...], str]:
    """y[..., m, p] of a matrix product: row m of a times column p of b."""
    names = call.names
    a, b = call.inputs
    front = place[: len(place) - (a.ndim > 1) - (b.ndim > 1)]
    rest = list(place[len(front) :])
    row = [rest.pop(0)] if a.ndim > 1 else []
    column = [rest.pop(0)] if b.ndim > 1 else []
    terms = []
    for k in range(a.shape[-1]):
        left = (*broadcast_index(front, a.shape[:-2]), *row, k)
        right = (*broadcast_index(front, b.shape[:-2]), k, *column)
        terms.append(_term(names, a, left, b, right))
    return tuple(terms), f"  a row of {names[0]} times a column of {names[1]}"


def broadcast_index(front: Index, shape: Index) -> Index:
    """The index into dimensions of `shape` that broadcast to those that `front` counts."""
    kept = front[len(front) - len(shape) :] if shape else ()
    return tuple(0 if size == 1 else i for i, size in zip(kept, shape, strict=True))


def _average(call: Call, place: Index) -> tuple[tuple[Term, ...], str]:
    """y[..., oh, ow] of average pooling: each pixel of the window over the number of them."""
    names = call.names
    x = call.inputs[0]
    seen, window = _pooled(call, place)
    count = call.options.get("divisor_override")
    if count is None:
        count = _divisor(call, place, len(seen))
    terms = tuple(Term(f"{names[0]}{brackets(pixel)}", float(x[pixel]), f"1 / {count}", 1 / count) for pixel in seen)
    return terms, f"  {window}; the mean of its pixels"


def _divisor(call: Call, place: Index, pixels: int) -> int:
    """What average pooling divides by: the pixels of the image, or those of the padding too. See ops.AvgPool2d."""
    if not call.options.get("count_include_pad"):
        return pixels
    spans = []
    for i in range(2):
        kernel, stride, (before, after) = (call.options[name][i] for name in ("kernel_size", "stride", "padding"))
        start = place[-2 + i] * stride - before
        spans.append(min(start + kernel, call.inputs[0].shape[-2 + i] + after) - max(start, -before))
    return math.prod(spans)


def _maximum(call: Call, place: Index) -> tuple[tuple[Term, ...], str]:
    """y[..., oh, ow] of max pooling: every pixel of the window, times 1 for the first of the largest, else times 0."""
    names = call.names
    x = call.inputs[0]
    seen, window = _pooled(call, place)
    values = [float(x[pixel]) for pixel in seen]
    nan = [i for i, value in enumerate(values) if value != value]
    winner = nan[0] if nan else values.index(max(values))
    terms = tuple(
        Term(f"{names[0]}{brackets(pixel)}", value, "the largest" if i == winner else "", float(i == winner))
        for i, (pixel, value) in enumerate(zip(seen, values, strict=True))
    )
    return terms, f"  {window}; the largest of its pixels"


def _pooled(call: Call, place: Index) -> tuple[list[Index], str]:
    """The pixels that a window of pooling sees, and the window in words."""
    *front, oh, ow = place
    H, W = call.inputs[0].shape[-2:]
    if "output_size" in call.options:
        windows = adaptive_windows((H, W), call.options["output_size"])
        rows, columns = next((range(H)[r], range(W)[c]) for i, j, r, c in windows if (i, j) == (oh, ow))
    else:
        rows, columns = _span(call, 0, oh, H), _span(call, 1, ow, W)
    seen = [(*front, h, w) for h in rows for w in columns]
    return seen, f"the window: rows {_range(rows)}, columns {_range(columns)}"


def _span(call: Call, i: int, window: int, size: int) -> range:
    """The rows (i = 0) or columns that a window sees in the image."""
    step = call.options["dilation"][i] if "dilation" in call.options else 1
    start = window * call.options["stride"][i] - call.options["padding"][i][0]
    seen = range(start, start + step * call.options["kernel_size"][i], step)
    inside = [place for place in seen if 0 <= place < size]
    return range(inside[0], inside[-1] + 1, step) if inside else range(0)


def _range(numbers: range) -> str:
    return f"{numbers[0]}..{numbers[-1]}" if len(numbers) > 1 else str(numbers[0]) if numbers else "none"


def _term(names: list[str], x: Any, seen: Index, weight: Any, tap: Index, place: str = "") -> Term:
    return Term(f"{names[0]}{brackets(seen)}", float(x[seen]), f"{names[1]}{brackets(tap)}", float(weight[tap]), place)


def _bias(names: list[str], bias: Any, f: int) -> list[Term]:
    return [] if bias is None else [Term(f"{names[2]}[{f}]", float(bias[f]), "1", 1.0)]


SUMS: dict[type[Function], Formula] = {
    ops.Conv2d: _convolution,
    ops.Linear: _linear,
    ops.MatMul: _product,
    ops.AvgPool2d: _average,
    ops.AdaptiveAvgPool2d: _average,
    ops.MaxPool2d: _maximum,
    ops.AdaptiveMaxPool2d: _maximum,
}
PRODUCTS = (_convolution, _linear, _product)  # whose derivative is the other factor
