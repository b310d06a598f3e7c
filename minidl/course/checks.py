"""One check of a task: inputs, a call of the student's code on them, and what must come back.

    from minidl.course.checks import check

    @check("2.3", points=1, padding=1, stride=2, sizes={"the batch size": 2})
    class GradientWithStride:
        '''dx, dweight and dbias of a 3x3 convolution with stride 2'''

        def inputs(rng):
            return {"x": rng.standard_normal((2, 3, 7, 7)), ...}

        def call(x, ...):
            from minidl.ops.convolution import Conv2d
            ...
            return {"grad_x": grad_x, ...}

The class is a namespace: its functions take no self, and it is never instantiated. What is expected is what `call`
gives in the library itself, or what `expected(**inputs)` computes in another way. `verify(outputs, **inputs)` judges
instead what no single value can: it returns None, or what is wrong; nothing is compared then, unless there is an
`expected` as well. `call` is the only part of a check that runs in a process with a student's code.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy

from minidl.course.calling import Outcome, call_checked, pack, unpack
from minidl.course.comparing import difference
from minidl.course.exceptions import hint_for
from minidl.errors import explain

PASSED, FAILED, WAITS = "passed", "failed", "waits"
TOLD = 8  # wrong outputs of a check that a student reads of; of more, the first ones
SEED = 231  # of the inputs that students see
PARTS = {"inputs", "call", "expected", "verify"}
OF_DIAGNOSIS = {"names", "sizes", "padding", "stride"}  # what diagnosis.diagnose is told of a check


class AssignmentError(ValueError):
    """An assignment's files are not what they should be: the author's mistake, not a student's."""


@dataclass(frozen=True)
class Result:
    """How a check ended: "passed", "failed", or "waits" for the task that it needs."""

    check: Check
    status: str
    message: str = ""
    seconds: float = 0.0
    waits_for: str = ""

    @property
    def points(self) -> int:
        return self.check.points if self.status == PASSED else 0


@dataclass(frozen=True, eq=False)
class Check:
    """One check; made by the decorator `check`."""

    name: str
    task: str
    sentence: str  # what a student reads
    points: int
    make_inputs: Callable[[numpy.random.Generator], dict[str, Any]]
    call: Callable[..., dict[str, Any]]
    independent: Callable[..., dict[str, Any]] | None = None
    verify: Callable[..., str | None] | None = None
    rtol: float = 1e-7
    atol: float = 1e-12
    seconds: float = 10.0
    repeat: bool = False
    unchanged: tuple[str, ...] | None = None  # inputs that must stay as they are; None: all
    hints: dict[str, str] = field(default_factory=dict)  # for each output, what may be said when it is wrong
    diagnosis: dict[str, Any] = field(default_factory=dict)
    hidden: bool = False

    def inputs(self, seed: int | Sequence[int] = SEED) -> dict[str, numpy.ndarray]:
        """The inputs that follow from `seed`, as arrays. TypeError where one cannot travel in an .npz file."""
        return pack(self.make_inputs(numpy.random.default_rng(seed)))

    def solution(self, inputs: dict[str, numpy.ndarray]) -> tuple[dict[str, numpy.ndarray] | None, Result]:
        """What must come back (None where `verify` alone judges), and how the library that is imported here does.

        To be called where that library holds the answers. AssignmentError where its call fails.
        """
        outcome = call_checked(self.call, inputs, self.repeat)
        if outcome.outputs is None:
            raise AssignmentError(f"{self.name} fails in the library itself:\n{outcome.error}")
        if self.independent is not None:
            expected: dict[str, numpy.ndarray] | None = pack(self.independent(**unpack(inputs)))
        else:
            expected = outcome.outputs if self.verify is None else None
        return expected, self.judge(outcome, inputs, expected)

    def judge(
        self, outcome: Outcome, inputs: dict[str, numpy.ndarray], expected: dict[str, numpy.ndarray] | None
    ) -> Result:
        """Whether `outcome`, of a call with these inputs, is right. Nothing of a student's is run here."""
        if outcome.blank and outcome.blank != self.task:
            text = f"waits for task {outcome.blank}, which is not written yet"
            return Result(self, WAITS, text, outcome.seconds, outcome.blank)
        problem = self._problem(outcome, inputs, expected)
        return Result(self, PASSED if problem is None else FAILED, problem or "", outcome.seconds)

    def _problem(self, outcome, inputs, expected) -> str | None:
        if outcome.blank:
            return f"not written yet: {outcome.error.rpartition('NotImplementedError: ')[2]}"
        if outcome.outputs is None:
            hint = hint_for(outcome.error)
            return f"an exception on the way:\n{_indent(outcome.error)}" + (f"\n  hint: {hint}" if hint else "")
        kept = inputs if self.unchanged is None else self.unchanged
        for name in outcome.changed:
            if name in kept:
                return f"{name} was changed in place: compute into a new array (b = a * m, not a *= m; never out=a)"
        if outcome.differs:
            return (
                f"a second call with the same inputs gave another {' and '.join(outcome.differs)}\n"
                "  hint: something is random and not seeded, or is kept from one call to the next"
            )
        if self.verify is not None:
            if outcome.missing:
                return f"{outcome.missing[0]} is None"
            try:
                problem = self.verify(unpack(outcome.outputs), **unpack(inputs))
            except Exception as error:  # outputs that its author did not think of
                shapes = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in outcome.outputs.items())
                return f"what came back cannot be judged: {type(error).__name__}: {error}\n  it was {shapes}"
            if problem is not None:
                return problem
        found = [self._compare(name, outcome, array) for name, array in (expected or {}).items()]
        if problems := [problem for problem in found if problem is not None]:
            left = len(problems) - TOLD
            return "\n".join(problems if left < 2 else [*problems[:TOLD], f"... and {left} more that are wrong"])
        return self.too_slow(outcome.seconds) if outcome.seconds > self.seconds else None

    def too_slow(self, seconds: float) -> str:
        return (
            f"right, but too slow: {seconds:.1f} s of processor time, and the limit is {self.seconds:g} s\n"
            "  hint: is something computed again and again (a function evaluated once for each element), or in Python "
            "loops where one NumPy call does it?"
        )

    def _compare(self, name: str, outcome: Outcome, expected: numpy.ndarray) -> str | None:
        assert outcome.outputs is not None
        actual = outcome.outputs.get(name)
        if actual is None and name not in outcome.missing:
            return f"{name} did not come back"
        found = difference(name, actual, expected, rtol=self.rtol, atol=self.atol, **self.diagnosis)
        hint = self.hints.get(name)
        return found if found is None or hint is None else f"{found}\n  hint: {hint}"

    @property
    def compares(self) -> bool:
        """False where `verify` alone judges."""
        return self.verify is None or self.independent is not None

    def run(self, seed: int | Sequence[int] = SEED) -> Result:
        """The check in this process, on the library that is imported here, against that library: for its author."""
        return self.solution(self.inputs(seed))[1]


def check(
    task: str,
    *,
    points: int = 1,
    rtol: float = 1e-7,
    atol: float = 1e-12,
    seconds: float = 10.0,
    repeat: bool = False,
    unchanged: tuple[str, ...] | None = None,
    hints: dict[str, str] | None = None,
    **diagnosis: Any,
) -> Callable[[type], Check]:
    """Make a check of a class of functions: inputs(rng), call(**inputs) and, where wanted, expected and verify.

    task         the task that it belongs to: "2.3"
    points       a whole number; those of a task's checks add up to the task's
    rtol, atol   how near must be near enough: see comparing.py
    seconds      of processor time that the call may take
    repeat       call twice: the same must come back
    unchanged    inputs that must not be changed in place (all)
    hints        a sentence for an output, by name, that is printed when it is wrong
    diagnosis    sizes, padding, stride, names: what minidl.diagnosis.diagnose may know when it looks for the cause

    TypeError where the class is not what a check is made of.
    """

    def make(space: type) -> Check:
        where = f"check {space.__name__}"
        functions = {name: part for name, part in vars(space).items() if not name.startswith("__")}
        if strange := sorted(functions.keys() - PARTS):
            raise TypeError(
                explain(
                    where,
                    f"{strange[0]!r} is no part of a check; the parts are inputs, call, expected, verify",
                    help="a helper stands outside the class",
                )
            )
        if missing := sorted({"inputs", "call"} - functions.keys()):
            raise TypeError(explain(where, f"{missing[0]!r} is missing"))
        if unknown := sorted(diagnosis.keys() - OF_DIAGNOSIS):
            raise TypeError(
                explain(
                    where, f"{unknown[0]!r} is no setting; those of the diagnosis are {', '.join(sorted(OF_DIAGNOSIS))}"
                )
            )
        if not inspect.getdoc(space):
            raise TypeError(explain(where, "the docstring is missing: it is the line that a student reads"))
        if type(points) is not int or points < 0:
            raise TypeError(explain(where, f"points = {points!r} must be a whole number"))
        return Check(
            name=space.__name__,
            task=task,
            sentence=str(inspect.getdoc(space)).splitlines()[0],
            points=points,
            make_inputs=functions["inputs"],
            call=functions["call"],
            independent=functions.get("expected"),
            verify=functions.get("verify"),
            rtol=rtol,
            atol=atol,
            seconds=seconds,
            repeat=repeat,
            unchanged=unchanged,
            hints=hints or {},
            diagnosis=diagnosis,
        )

    return make


def load_checks(path: Path, hidden: bool = False) -> tuple[Check, ...]:
    """The checks of a checks.py, in its order. The file is run: its mistakes are raised as they are."""
    module = types.ModuleType(f"minidl_course_{path.parent.name}_{path.stem}")
    module.__file__ = str(path)
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), vars(module))
    return tuple(replace(value, hidden=hidden) for value in vars(module).values() if isinstance(value, Check))


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
