"""One call of a check, in the tree that is on the path: in a student's own process, or in the grader's worker.

    call_checked(call, inputs)      Outcome: what came back, or why nothing did, and what else was seen on the way

What is expected is not known here, nor needed: a process that runs a student's code must not hold it. Inputs and
outputs are what an .npz file without pickles can hold: arrays of numbers, numbers and strings.
"""

from __future__ import annotations

import time
import traceback
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy

TREE = Path(__file__).resolve().parents[2]  # the tree that this file belongs to, whose code is called
NUMBERS = "biufcU"  # kinds of dtype that travel: no objects
NOT_WRITTEN = "Task "  # what the NotImplementedError of a blank begins with
DEEPEST = 12  # lines of a traceback that are shown


@dataclass
class Outcome:
    """What one call gave. `outputs` is None where it failed, and `error` then says how."""

    outputs: dict[str, numpy.ndarray] | None = None
    error: str = ""
    blank: str = ""  # the number of the task whose blank was met: "1.5"
    missing: list[str] = field(default_factory=list)  # outputs that were None
    changed: list[str] = field(default_factory=list)  # inputs that are not as they were
    differs: list[str] = field(default_factory=list)  # outputs that a second call gave otherwise
    seconds: float = 0.0  # that the call took: of processor time, or by the clock where that is less


def pack(values: dict[str, Any]) -> dict[str, numpy.ndarray]:
    """Every value as an array that an .npz file without pickles can hold. TypeError, with the name, for others."""
    packed = {}
    for name, value in values.items():
        array = numpy.asarray(value)
        if array.dtype.kind not in NUMBERS:
            raise TypeError(f"{name} is {type(value).__name__}: only arrays of numbers, numbers and strings travel")
        packed[name] = array
    return packed


def unpack(values: dict[str, numpy.ndarray]) -> dict[str, Any]:
    """The reverse of `pack`: arrays without axes are numbers and strings again; the arrays are copies."""
    return {name: array.copy() if array.ndim else array.item() for name, array in values.items()}


def save_arrays(path: Path | str | BinaryIO, arrays: dict[str, numpy.ndarray]) -> None:
    """An .npz file; numpy.savez would not take an array called `file`."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                numpy.lib.format.write_array(member, array, allow_pickle=False)


def load_arrays(path: Path | str) -> dict[str, numpy.ndarray]:
    """The reverse of `save_arrays`, for a file that we wrote."""
    with numpy.load(path, allow_pickle=False) as file:
        return dict(file)


def call_checked(call: Callable[..., Any], inputs: dict[str, numpy.ndarray], repeat: bool = False) -> Outcome:
    """Run call(**inputs); with `repeat` twice, to see whether the same comes back."""
    outcome = Outcome()
    given = unpack(inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an overflow is told by what comes back, the same in every process
        _call_into(outcome, call, given, inputs, repeat)
    return outcome


def _call_into(outcome: Outcome, call: Callable[..., Any], given: Any, inputs: Any, repeat: bool) -> None:
    began = _clocks()
    try:
        result = call(**given)
        outcome.seconds = _since(began)
        outcome.outputs = _outputs(result, outcome)
        outcome.changed = [name for name, value in given.items() if not _same(value, inputs[name])]
        if repeat:
            second = _outputs(call(**unpack(inputs)), Outcome())
            outcome.differs = [name for name, array in outcome.outputs.items() if not _same(array, second.get(name))]
    except (Exception, SystemExit) as error:
        outcome.seconds = _since(began)
        outcome.outputs = None
        outcome.error = describe_exception(error)
        if isinstance(error, NotImplementedError) and str(error).startswith(NOT_WRITTEN):
            outcome.blank = str(error).removeprefix(NOT_WRITTEN).partition(":")[0]


def describe_exception(error: BaseException) -> str:
    """The exception as Python prints it, with the lines of this tree that led to it, the innermost last."""
    lines = []
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        if path.is_relative_to(TREE) and path != Path(__file__).resolve():
            lines.append(f"{path.relative_to(TREE).as_posix()}:{frame.lineno}, in {frame.name}\n    {frame.line}")
    if len(lines) > DEEPEST:
        lines[: len(lines) - DEEPEST] = [f"... {len(lines) - DEEPEST} more"]
    try:
        words = str(error)
    except Exception:  # a student's own exception may not even have words
        words = "(its message cannot be shown)"
    name = "exit was called" if isinstance(error, SystemExit) else type(error).__name__
    return "\n".join([*lines, f"{name}: {words}"[:2000]])


def _outputs(result: Any, outcome: Outcome) -> dict[str, numpy.ndarray]:
    if not isinstance(result, dict):
        raise TypeError(f"the check's call must return a dict of arrays, not {type(result).__name__}")
    outputs = {}
    for name, value in result.items():
        if value is None:
            outcome.missing.append(name)
            continue
        if hasattr(value, "detach"):  # a Tensor
            value = value.detach().numpy()
        if isinstance(value, tuple) and any(getattr(part, "shape", ()) for part in value):
            raise TypeError(f"{name} is a tuple of {len(value)}, where one array should come back")
        array = numpy.asarray(value)
        if array.dtype.kind not in NUMBERS:
            raise TypeError(f"{name} is {type(value).__name__}, where an array of numbers should come back")
        outputs[name] = array
    return outputs


def _clocks() -> tuple[float, float]:
    return time.process_time(), time.perf_counter()


def _since(began: tuple[float, float]) -> float:
    """Busy machines do not slow processor time down, and BLAS threads do not slow the clock."""
    return min(now - then for now, then in zip(_clocks(), began, strict=True))


def _same(value: Any, before: Any) -> bool:
    a, b = numpy.asarray(value), numpy.asarray(before)
    return a.shape == b.shape and a.dtype == b.dtype and numpy.array_equal(a, b, equal_nan=a.dtype.kind in "fc")
