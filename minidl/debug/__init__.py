"""Looking into a computation: step through it, forward, backward and back in time.

    with minidl.debug.step():                   a prompt at every operation (prompt.py): s steps, rs goes back, h helps
        loss_fn(model(x), labels).backward()
    minidl.debug.set_trace()                    a prompt at this line; PYTHONBREAKPOINT=minidl.debug.set_trace
    minidl.debug.Stepper(fn)                    the same from a script (stepper.py)
    minidl.debug.trace(fn)                      all that happens in fn(), as a Tape (tape.py)
    minidl.debug.diff(tape, other)              where two runs part (diff.py)
    minidl.debug.check(event)                   is the backward of this operation right? (check.py)
    minidl.debug.why(y, (0, 3, 5, 7), tape)     the numbers that this one, or a gradient, came from (why.py)
    with minidl.debug.detect_anomaly():         stops where a NaN is born (minidl/anomaly.py)
    with minidl.debug.lint():                   warns of mistakes that raise no exception (lint.py)

After `import minidl` it is there by this name, and loaded when it is first asked for.
"""

from minidl.anomaly import AnomalyError, detect_anomaly
from minidl.debug.check import check
from minidl.debug.diff import Difference, diff
from minidl.debug.lint import LintWarning, lint
from minidl.debug.prompt import Pdb
from minidl.debug.recorder import Recorder, trace
from minidl.debug.spec import Spec, SpecError
from minidl.debug.statistics import Statistics, statistics
from minidl.debug.stepper import Stepper
from minidl.debug.tape import Event, Tape, Value
from minidl.debug.watch import set_trace, step
from minidl.debug.why import why
