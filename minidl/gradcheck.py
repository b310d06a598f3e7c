"""gradcheck: is the gradient that backward computes the one that differences of the function itself show?

    x = minidl.randn(4, 3, dtype=minidl.float64, requires_grad=True)
    minidl.gradcheck(F.softmax, (x, 1))                      True, or GradcheckError with the place and the likely cause
    minidl.gradcheck(lambda *_: model(x), tuple(model.parameters()), fast_mode=True)      a whole network

For outputs y = f(x) and random numbers v in the shape of y, backward gives g = J^T v in one go. The i-th element of g
must be v . (f(x + eps e_i) - f(x - eps e_i)) / (2 eps). v is never all ones: the outputs of a softmax sum to 1, so ones
would find g = 0 whatever its backward does.

Rounding and kinks close by. An element that disagrees is looked at again with other steps: smaller ones, which a kink
within eps does not reach, and larger ones, in which the rounding of large values weighs less. A right gradient agrees
with one of them; a wrong one is wrong at every step.

Kinks. At a kink (ReLU at 0, a tie in max pooling) the central difference is a mean of two slopes, and not the gradient.
An element that disagrees, but lies between the slopes on its two sides (for each output by itself), is looked at on
both sides of the kink, 10 eps away: there the gradient is computed anew and must agree. So a wrong gradient does not
hide: one outside the two slopes fails, and one inside them fails beside the kink. Last, all elements with two
different slopes are moved together: each could be right alone and all of them wrong (a tie counted twice).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy

from minidl import engine
from minidl.backend import Generator, array_module, float64, is_array, on_device_of, transfer
from minidl.diagnosis import SCALE_OF_RELATIVE_ERRORS, changed_in_place, diagnose, relative_error
from minidl.errors import explain
from minidl.grad_mode import enable_grad, no_grad
from minidl.tensor import Tensor, root_gradient

Direction = dict[int, Any]  # the way to go from a point: for the numbers of some inputs, an array in their shape

OTHER_STEPS = (0.1, 0.01, 10, 100)  # times eps: smaller, for a kink close by; larger, against rounding
SIDE_STEPS = (10, 100, 1000)  # times eps: how far beside a kink; the next one where that is a kink again
DIRECTIONS = 3  # of fast_mode
HIDDEN_CAST = "every result is a float32 number in a float64 array: a hidden cast on the way"
FEW = 100  # elements: so many are also looked at one by one to find out why an input is wrong


class GradcheckError(RuntimeError):
    """A gradient is wrong, or cannot be checked. Raised by `gradcheck`."""


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-7,
    rtol: float = 1e-5,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_grad_dtypes: bool = False,
    fast_mode: bool = False,
    generator: Generator | None = None,
    check_undefined_grad: bool = True,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    masked: bool | None = None,
) -> bool:
    """True if the gradients of func(*inputs) agree with central differences; GradcheckError, or False, if not.

    func              returns a Tensor or a tuple; outputs that require no gradient are passed over
    inputs            a Tensor or a tuple; the Tensors in it (also in lists) that require a gradient are checked. It is
                      they that func gets, so it may also find them elsewhere (in a model). Their memory is not written:
                      they hold other arrays meanwhile
    eps               how far an element is moved
    atol, rtol        an element a is right if |a - n| <= atol + rtol |n|, n its central difference
    raise_exception   False returns False where a GradcheckError would be raised
    nondet_tol        how far two calls, or two backwards, may differ
    check_grad_dtypes has no effect: the dtype of a gradient is always checked
    fast_mode         checks the derivative along random directions in place of every element: a few calls, for whole
                      networks. An error in one element out of very many may escape it
    generator         of v and of the directions; by default they are the same ones each time

    The other settings are PyTorch's, for what minidl does not have. check_undefined_grad has no effect; the others may
    be given as they are by default, NotImplementedError otherwise.

    PyTorch's tolerances (atol 1e-5, rtol 1e-3) let a gradient pass that is wrong by 0.1 %, such as a mean over 1000
    taken over 1001. In float64 a central difference is right to about 1e-9, so these can be tighter. Where the
    largest gradient is below 1e-3, atol shrinks with it, down to the rounding of the difference.

    Checked as well: two calls agree; two backwards agree; nothing is changed in place that is not backward's own;
    shape and dtype of each gradient; results are float64. Exceptions of func or of a backward pass through.
    ValueError: no input requires a gradient, or one is not float64; no output depends on one.
    """
    refused = {
        "check_batched_grad=True": check_batched_grad,
        "check_batched_forward_grad=True": check_batched_forward_grad,
        "check_forward_ad=True": check_forward_ad,
        "check_backward_ad=False": not check_backward_ad,
        "masked=True": masked,
    }
    for setting, given in refused.items():
        if given:
            raise NotImplementedError(
                explain("gradcheck", f"{setting} is not there: what is checked is backward, with dense gradients")
            )
    several = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    try:
        with on_device_of([x.data for x in several if isinstance(x, Tensor)]):
            _Check(func, several, eps, atol, rtol, nondet_tol, generator or Generator(0)).run(fast_mode)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


class _Check:
    """One call of gradcheck: the function, the point where it is checked, and what is measured there."""

    def __init__(self, func, inputs, eps, atol, rtol, nondet_tol, generator):
        self.func, self.inputs = func, inputs
        self.eps, self.atol, self.rtol, self.nondet_tol, self.random = eps, atol, rtol, nondet_tol, generator.numpy
        found = _checked_tensors(func, self.inputs)
        self.labels, self.tensors = list(found), list(found.values())
        self.start = [tensor.data.copy() for tensor in self.tensors]
        self.edges = [tensor.gradient_edge() for tensor in self.tensors]

    def run(self, fast_mode: bool) -> None:
        arrays = _copies(self.start)
        outputs = self._outputs(arrays)
        self.kept = [i for i, y in enumerate(outputs) if isinstance(y, Tensor) and y.requires_grad]
        if not self.kept:
            raise ValueError(
                explain(
                    "gradcheck",
                    "no output of the function requires a gradient",
                    help="nothing to check: is the graph cut (detach, .data, no_grad), or are all outputs ints?",
                )
            )
        outputs = [outputs[i] for i in self.kept]
        for i, y in zip(self.kept, outputs, strict=True):
            if y.dtype != float64:
                self._fail(
                    f"output {i} is {y.dtype} although every checked input is float64",
                    "a hidden cast: a dtype written out, or an array made without one",
                )
        self._check_unchanged("func", arrays)
        self.here = [y.data.copy() for y in outputs]
        self.v = [Tensor(transfer(numpy.asarray(self.random.standard_normal(y.shape)), y.device)) for y in outputs]
        self._check_second_call()
        self.gradients = self._checked_backward(outputs, arrays)
        # The rounding of v . (f(x + eps) - f(x - eps)) / (2 eps), with some room for that inside f.
        size = sum(float(((v.data * y) ** 2).sum()) for v, y in zip(self.v, self.here, strict=True)) ** 0.5
        self.rounding = 10 * float(numpy.finfo(float64).eps) * size / self.eps
        if fast_mode:
            self._compare_directions()
        else:
            self._compare_elements()

    # --------------------------------------------------------------------------------------- calling the function

    def _outputs(self, arrays: list) -> list:
        """What func returns, recorded, while its tensors hold `arrays`."""
        with enable_grad(), _holding(self.tensors, arrays):
            return _as_list(self.func(*self.inputs))

    def _values(self, arrays: list) -> list:
        """The arrays of the outputs that are checked; nothing is recorded."""
        # A warning about the point itself has been given by the first call; those beside it are our doing.
        with no_grad(), _holding(self.tensors, arrays), numpy.errstate(all="ignore"):
            outputs = _as_list(self.func(*self.inputs))
            # Inside: an output may be one of the tensors itself.
            return [outputs[i].data if i < len(outputs) else None for i in self.kept]

    def _backward(self, outputs: list, v: list | None = None) -> list:
        """The gradient of each input, None where none arrives. The `.grad` of the tensors stays as it is."""
        captured = dict.fromkeys(self.edges)
        for _ in engine.walk(self._roots(outputs, v or self.v), retain_graph=True, captured=captured):
            pass
        return [captured[edge] for edge in self.edges]

    def _roots(self, outputs: list, v: list) -> list:
        return [(y.gradient_edge(), root_gradient("gradcheck", y, v)) for y, v in zip(outputs, v, strict=True)]

    def _gradients_at(self, arrays: list, v: list | None = None) -> list:
        outputs = self._outputs(arrays)
        return self._filled(self._backward([outputs[i] for i in self.kept], v))

    def _filled(self, gradients: list) -> list:
        return [
            array_module(x).zeros_like(x) if gradient is None else gradient
            for x, gradient in zip(self.start, gradients, strict=True)
        ]

    # ------------------------------------------------------------------------------- what must hold before comparing

    def _check_second_call(self) -> None:
        for i, first, second in zip(self.kept, self.here, self._values(_copies(self.start)), strict=True):
            if second is None or not _same(first, second, self.nondet_tol):
                self._fail(
                    f"output {i} differs between two calls with the same inputs",
                    "randomness that is not seeded (dropout in train mode?): call manual_seed() at the start of the "
                    "function, or model.eval(); or a state that each call changes",
                )

    def _check_unchanged(self, who: str, arrays: list) -> None:
        for label, before, after in zip(self.labels, self.start, arrays, strict=True):
            if (hint := changed_in_place(label, _host(before), _host(after))) is not None:
                self._fail(f"{who}: {hint}")

    def _checked_backward(self, outputs: list, arrays: list) -> list:
        """The gradients, from a backward that is watched node by node; a second one must give the same."""
        captured = dict.fromkeys(self.edges)
        watched: list = []  # of the node that runs: name, array, copy made before
        try:
            roots = self._roots(outputs, self.v)
            for phase, node, gradients in engine.walk(roots, retain_graph=True, captured=captured):
                if phase == "before":
                    given = [None if g is None else g.copy() for g in gradients]
                    watched = [("grad_output", g, g.copy()) for g in gradients if g is not None]
                    watched += [("a saved array", s, s.copy()) for s in node.saved_tensors if is_array(s)]
                    continue
                for name, array, before in watched:
                    if (hint := changed_in_place(name, _host(before), _host(array))) is not None:
                        self._fail(f"{node.name()}.backward: {hint}")
        except GradcheckError:
            raise
        except RuntimeError as error:
            if watched:
                self._explain_misfit(node, given, error)
            raise
        self._check_unchanged("backward", arrays)
        for i, y, before in zip(self.kept, outputs, self.here, strict=True):
            if (hint := changed_in_place(f"output {i}", _host(before), _host(y.data))) is not None:
                self._fail(f"backward: {hint}")
        gradients = [captured[edge] for edge in self.edges]
        again = self._backward(outputs)
        for label, first, second in zip(self.labels, gradients, again, strict=True):
            if first is None:
                continue
            if not _same(first, second, self.nondet_tol):
                self._fail(
                    f"the gradient of {label} differs between two backwards through one graph",
                    "backward draws random numbers, or changes what it keeps on self; draw in forward, and keep it",
                )
        self.missing = [gradient is None for gradient in gradients]
        return self._filled(gradients)

    def _explain_misfit(self, node: Any, grad_outputs: list, error: RuntimeError) -> None:
        """If the error is the engine's, about what the backward of `node` returned: raise it with a diagnosis."""
        try:
            results = node.backward(*grad_outputs)
        except Exception:
            return  # it was raised inside backward, and says itself what is wrong
        rule, hint = str(error).partition("\n")[0], None
        results = results if type(results) is tuple else (results,)
        for edge, gradient in zip(node.edges, results, strict=False):
            if edge[0] is None or not is_array(gradient):
                continue
            _, _, shape, dtype = edge
            fits = gradient.shape == shape or (node.broadcasts and gradient.shape == grad_outputs[0].shape)
            if fits and gradient.dtype == dtype:
                continue
            expected = numpy.zeros(shape, dtype)
            if edge in self.edges:
                k = self.edges.index(edge)
                rule += f", for {self.labels[k]}"
                expected = self._slopes_of_elements(k)[0] if expected.size <= FEW else expected
                returned = dict(zip(node.edges, results, strict=False))
                hint = self._right_elsewhere(k, [returned.get(edge) for edge in self.edges])
            hint = hint or diagnose(_host(gradient), expected)
            break
        raise GradcheckError(explain("gradcheck", rule, help=hint)) from error

    # ------------------------------------------------------------------------------------------------ differences

    def _moved(self, arrays: list, direction: Direction, step: float) -> tuple[list, float]:
        """The point a step along `direction` from `arrays`, and how long that step became by rounding."""
        point = [x + step * direction[k] if k in direction else x.copy() for k, x in enumerate(arrays)]
        taken = sum(float((_minus(point[k], arrays[k]) * u).sum()) for k, u in direction.items())
        return point, taken / sum(float((u * u).sum()) for u in direction.values())

    def _slopes(self, arrays: list, direction: Direction, step: float, here: list | None) -> tuple[float, float, float]:
        """The derivative of v . f along `direction`: the central difference, and the bounds from the two sides.

        Each output has a slope on the left and one on the right (from `here`, its value at `arrays`). With all
        combinations of them v . f has slopes from the lower bound to the upper one.
        """
        (right, up), (left, down) = self._moved(arrays, direction, step), self._moved(arrays, direction, -step)
        above, below = self._values(right), self._values(left)
        if up == down:
            raise ValueError(explain("gradcheck", f"eps={step:g} vanishes beside the inputs", help="scale them down"))
        central = low = high = 0.0
        with numpy.errstate(all="ignore"):
            for j, v in enumerate(self.v):
                v = v.data
                central += float((v * _minus(above[j], below[j])).sum()) / (up - down)
                if here is not None:
                    ahead, behind = v * _minus(above[j], here[j]) / up, v * _minus(below[j], here[j]) / down
                    xp = array_module(v)
                    low += float(xp.minimum(ahead, behind).sum())
                    high += float(xp.maximum(ahead, behind).sum())
        return central, low, high

    def _slopes_of_elements(self, k: int) -> tuple[Any, Any, Any]:
        """For every element of input k: the central difference, and the bounds from its two sides."""
        results = numpy.zeros((3, *self.start[k].shape))
        for index in numpy.ndindex(self.start[k].shape):
            results[:, *index] = self._slopes(self.start, self._element(k, index), self.eps, self.here)
        return results[0], results[1], results[2]

    def _element(self, k: int, index: tuple[int, ...]) -> Direction:
        one_hot = array_module(self.start[k]).zeros_like(self.start[k])
        one_hot[index] = 1
        return {k: one_hot}

    def _absolute(self, numerical: Any) -> float:
        """atol, smaller where all gradients are small, but not smaller than the rounding of the differences."""
        largest = float(abs(numpy.asarray(numerical)).max(initial=0))
        return max(self.atol * min(1.0, 1e3 * largest), min(self.atol, self.rounding))

    def _is_right_after_all(self, direction: Direction, value: float, inside: bool, absolute: float) -> bool:
        """A second look at a derivative `value` that disagreed. `inside`: it lies between the slopes of its sides."""
        if inside and all(self._agrees_beside(direction, side * self.eps, absolute) for side in (1, -1)):
            return True
        for step in OTHER_STEPS:
            numerical = self._slopes(self.start, direction, step * self.eps, None)[0]
            limit = absolute + self.rtol * abs(numerical)
            if self.rounding / step <= limit and abs(value - numerical) <= limit:
                return True
        return False

    def _agrees_beside(self, direction: Direction, side: float, absolute: float) -> bool:
        """Whether gradient and differences agree on one side of a kink; further away where that is a kink again."""
        for step in SIDE_STEPS:
            point, _ = self._moved(self.start, direction, step * side)
            value = _along(self._gradients_at(_copies(point)), direction)
            numerical, low, high = self._slopes(point, direction, self.eps, self._values(_copies(point)))
            limit = absolute + self.rtol * abs(numerical)
            if abs(value - numerical) <= limit:
                return True
            if not low - limit <= value <= high + limit:
                return False
        return False

    # ------------------------------------------------------------------------------------------------- comparing

    def _compare_elements(self) -> None:
        analytical = [_host(gradient) for gradient in self.gradients]
        slopes = [self._slopes_of_elements(k) for k in range(len(self.start))]
        absolute = [self._absolute(numerical) for numerical, _, _ in slopes]
        limits = [a + self.rtol * abs(n) for a, (n, _, _) in zip(absolute, slopes, strict=True)]
        suspects = []  # how far off, in limits; which input; which element
        for k, (a, (n, _, _), limit) in enumerate(zip(analytical, slopes, limits, strict=True)):
            off = abs(a - n)
            for index in map(tuple, numpy.argwhere(~(off <= limit))):  # nan is off
                excess = float(off[index] / max(limit[index], 1e-300))
                suspects.append((excess if excess == excess else float("inf"), k, index))

        wrong = [numpy.zeros(a.shape, bool) for a in analytical]
        found = False
        for _, k, index in sorted(suspects, reverse=True):  # the worst first
            _, low, high = (bound[index] for bound in slopes[k])
            value, limit = float(analytical[k][index]), limits[k][index]
            inside = bool(low - limit <= value <= high + limit)
            # Once one is wrong, the check has failed: the others only count, and those at a kink get no second look.
            right = inside if found else self._is_right_after_all(self._element(k, index), value, inside, absolute[k])
            if right:
                slopes[k][0][index] = value
            else:
                wrong[k][index] = found = True

        if found:
            self._fail_elements(analytical, slopes, limits, wrong)
        self._compare_kinks_together(analytical, slopes, limits, sum(absolute))

    def _compare_kinks_together(self, analytical: list, slopes: list, limits: list, absolute: float) -> None:
        """Move all elements at kinks at once: the derivative must lie between the slopes on the two sides."""
        kinks = [(high - low) > limit for (_, low, high), limit in zip(slopes, limits, strict=True)]
        direction = {
            k: array_module(x).asarray(kinks[k].astype(float64)) for k, x in enumerate(self.start) if kinks[k].any()
        }
        if not direction:
            return
        value = _along(self.gradients, direction)
        _, low, high = self._slopes(self.start, direction, self.eps, self.here)
        limit = absolute + self.rtol * sum(float(abs(analytical[k])[kinks[k]].sum()) for k in direction)
        if not low - limit <= value <= high + limit:
            count = sum(int(mask.sum()) for mask in kinks)
            self._fail(
                f"the gradients of {count} elements at kinks (ties, zeros) are right one by one, but not together\n"
                f"  all moved at once: analytical {value:.8g}, numerical from {low:.8g} to {high:.8g}",
                "the parts given to the elements of a tie must add up to one; a tie counted twice?",
            )

    def _compare_directions(self) -> None:
        inputs = [k for k, x in enumerate(self.start) if x.size]
        together = self._wrong_directions(inputs)
        if together is None:
            return
        alone = {k: wrong for k in inputs if (wrong := self._wrong_directions([k])) is not None}
        lines = []
        for k, (values, numbers) in alone.items():
            lines += [f"the gradient of {self.labels[k]} is wrong", f"  shape:          {self.start[k].shape}"]
            lines += self._directions_in_words(values, numbers)
            if self.start[k].size <= FEW:
                lines += self._cause(k, _host(self.gradients[k]), self._slopes_of_elements(k)[0])
        if not alone:
            lines = ["the gradients are wrong together, although within the limits for each input alone"]
            lines += self._directions_in_words(*together)
        self._fail("\n".join([*lines, f"  scale:          {SCALE_OF_RELATIVE_ERRORS}"]))

    def _wrong_directions(self, inputs: list[int]) -> tuple[list[float], list[float]] | None:
        """The derivatives along random directions of `inputs`, analytical and numerical. None if all are right."""
        directions = [
            {k: array_module(self.start[k]).asarray(self.random.standard_normal(self.start[k].shape)) for k in inputs}
            for _ in range(DIRECTIONS if inputs else 0)
        ]
        values = [_along(self.gradients, direction) for direction in directions]
        slopes = [self._slopes(self.start, direction, self.eps, self.here) for direction in directions]
        numbers = [numerical for numerical, _, _ in slopes]
        limit = self._absolute(numbers) + self.rtol * float(abs(numpy.array(numbers)).max(initial=0))
        for direction, value, (numerical, low, high) in zip(directions, values, slopes, strict=True):
            inside = low - limit <= value <= high + limit
            if not abs(value - numerical) <= limit and not self._is_right_after_all(direction, value, inside, limit):
                return values, numbers
        return None

    # ------------------------------------------------------------------------------------------------- reporting

    def _fail_elements(self, analytical: list, slopes: list, limits: list, wrong: list) -> None:
        lines = []
        for k, label in enumerate(self.labels):
            if not wrong[k].any():
                continue
            a, (n, low, high), limit = analytical[k], slopes[k], limits[k]
            # nan, which no comparison finds, is the worst of all.
            off = numpy.nan_to_num(abs(a - n) / numpy.maximum(limit, 1e-300), nan=numpy.inf)
            worst = numpy.unravel_index(numpy.where(wrong[k], off, -1).argmax(), off.shape)
            relative_limit = float(limit[worst] / numpy.fmax(numpy.fmax(abs(a[worst]), abs(n[worst])), 1e-300))
            lines += [
                f"the gradient of {label} is wrong",
                f"  shape:          {a.shape}",
                f"  worst element:  {tuple(map(int, worst))}: analytical {a[worst]:.8g}, numerical {n[worst]:.8g}",
                f"  relative error: {relative_error(a[worst], n[worst]):.1e} (limit {relative_limit:.1e}: "
                "atol + rtol |numerical|, over the larger of the two)",
                f"  wrong:          {wrong[k].sum()} of {a.size} elements",
            ]
            cause = self._cause(k, a, n)
            if HIDDEN_CAST not in "".join(cause) and high[worst] - low[worst] > max(limit[worst], 1e-3 * abs(n[worst])):
                lines.append(
                    f"  a kink:         the slopes of its two sides are {low[worst]:.6g} and {high[worst]:.6g}; "
                    "the gradient must lie between them, and agree beside the kink"
                )
            lines += cause
        self._fail("\n".join([*lines, f"  scale:          {SCALE_OF_RELATIVE_ERRORS}"]))

    def _directions_in_words(self, values: list[float], numbers: list[float]) -> list[str]:
        worst = max(range(len(values)), key=lambda d: abs(values[d] - numbers[d]))
        return [
            f"  along a random direction: analytical {values[worst]:.8g}, numerical {numbers[worst]:.8g}",
            f"  relative error: {relative_error(values[worst], numbers[worst]):.1e} (limit {self.rtol:.1e})",
        ]

    def _cause(self, k: int, analytical: Any, numerical: Any) -> list[str]:
        """The line on the likely cause of an error in the gradient of input k; none where it is not plain."""
        sizes = {}
        for i, y in zip(self.kept, self.here, strict=True):
            sizes[f"the number of elements of output {i}"] = y.size
            sizes.update({f"the size of axis {axis} of output {i}": size for axis, size in enumerate(y.shape)})
        sizes.update({f"the size of axis {axis} of {self.labels[k]}": n for axis, n in enumerate(self.start[k].shape)})
        if self.missing[k]:
            hint: str | None = (
                "no gradient arrives, although the result depends on this input: None returned, or detached?"
            )
        elif self._results_are_float32():
            hint = HIDDEN_CAST
        elif (found := self._right_elsewhere(k, self.gradients)) is not None:
            hint = found
        elif self._ignores_grad_output(k):
            hint = "backward does not use grad_output: another one gives the same gradient; it is a factor of it"
        else:
            hint = diagnose(analytical, numerical, sizes=sizes)
        return [] if hint is None else [f"  likely cause:   {hint}"]

    def _right_elsewhere(self, k: int, gradients: list) -> str | None:
        """The sentence for a gradient of input k that is the right one of another input, whose own is wrong."""

        def right(gradient: Any, j: int) -> bool:
            if not is_array(gradient) or gradient.shape != self.start[j].shape or gradient.size > FEW:
                return False
            return numpy.allclose(_host(gradient), self._slopes_of_elements(j)[0], self.rtol, self.atol)

        for j, label in enumerate(self.labels):
            if j != k and right(gradients[k], j) and not right(gradients[j], j):
                return f"this is right for {label}: are the gradients returned in the wrong order?"
        return None

    def _ignores_grad_output(self, k: int) -> bool:
        """Whether the gradient of input k is the same for another grad_output, although it is not zero."""
        first, second = (
            self._gradients_at(_copies(self.start), [v * factor for v in self.v])[k] for factor in (1.0, -2.0)
        )
        return bool(first.any() and (first == second).all())

    def _results_are_float32(self) -> bool:
        """Whether the outputs depend on the inputs, and are float32 numbers where the inputs are not."""
        direction = {
            k: array_module(x).asarray(self.random.random(x.shape)) for k, x in enumerate(self.start) if x.size
        }
        first, second = (self._values(self._moved(self.start, direction, n * self.eps)[0]) for n in (100, 200))
        changes = not all(_same(a, b, 0.0) for a, b in zip(first, second, strict=True))
        with numpy.errstate(all="ignore"):
            return changes and all(_same(y, y.astype("float32"), 0.0) for y in first)

    def _fail(self, what: str, help: str | None = None) -> None:
        raise GradcheckError(explain("gradcheck", what, help=help))


# ------------------------------------------------------------------------------------------------------- helpers


def _checked_tensors(func: Callable, inputs: tuple) -> dict[str, Tensor]:
    """The Tensors to check, by what messages call them. A Tensor that is given twice counts once."""
    try:
        parameters = list(inspect.signature(func).parameters.values())
    except (TypeError, ValueError):  # of a built-in function
        parameters = []
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    found: dict[str, Tensor] = {}

    def look(label: str, value: Any, name: str) -> None:
        if isinstance(value, (tuple, list)):
            for i, part in enumerate(value):
                look(f"{label}[{i}]", part, name)
        elif isinstance(value, Tensor) and value.requires_grad and not any(value is other for other in found.values()):
            label += name
            if value.dtype != float64:
                raise ValueError(
                    explain(
                        "gradcheck",
                        f"{label} requires a gradient, but is {value.dtype}: differences need double precision",
                        {"input": value},
                        help="convert it before: x = x.double().requires_grad_(), or model.double()",
                    )
                )
            found[label] = value

    for i, value in enumerate(inputs):
        named = i < len(parameters) and parameters[i].kind in positional
        look(f"input {i}", value, f" ({parameters[i].name})" if named else "")
    if not found:
        raise ValueError(
            explain(
                "gradcheck",
                "expects at least one input tensor to require gradient, but none of them have requires_grad=True.",
                {f"input {i}": value for i, value in enumerate(inputs)},
            )
        )
    return found


@contextmanager
def _holding(tensors: list[Tensor], arrays: list) -> Iterator[None]:
    """Inside, the tensors hold `arrays`; afterwards their own again."""
    own = [tensor.data for tensor in tensors]
    try:
        for tensor, array in zip(tensors, arrays, strict=True):
            tensor.data = array
        yield
    finally:
        for tensor, array in zip(tensors, own, strict=True):
            tensor.data = array


def _as_list(result: Any) -> list:
    return list(result) if isinstance(result, (tuple, list)) else [result]


def _copies(arrays: list) -> list:
    return [array.copy() for array in arrays]


def _host(array: Any) -> numpy.ndarray:
    return transfer(array, "cpu")


def _minus(a: Any, b: Any) -> Any:
    """a - b, and 0 where both are the same infinity."""
    return array_module(a).where(a == b, 0.0, a - b)


def _along(gradients: list, direction: Direction) -> float:
    return sum(float((gradients[k] * u).sum()) for k, u in direction.items())


def _same(a: Any, b: Any, tolerance: float) -> bool:
    """Equal up to `tolerance`; nan equals nan."""
    if a.shape != b.shape:
        return False
    with numpy.errstate(invalid="ignore"):
        return bool(((a == b) | (abs(a - b) <= tolerance) | ((a != a) & (b != b))).all())
