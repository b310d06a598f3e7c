"""Looking into a computation: step through it, forward, backward and back in time.

    with minidl.debug.step():                   a prompt at every operation (prompt.py): s steps, rs goes back, h helps
        loss_fn(model(x), labels).backward()
    minidl.debug.set_trace()                    a prompt at this line; PYTHONBREAKPOINT=minidl.debug.set_trace
    minidl.debug.Stepper(fn)                    the same from a script (stepper.py)
    minidl.debug.trace(fn)                      all that happens in fn(), as a Tape (tape.py)
    minidl.debug.diff(tape, other)              where two runs part (diff.py)

It is imported by its own name: `import minidl` alone does not load it.
"""

from minidl.debug.diff import Difference, diff
from minidl.debug.prompt import Pdb
from minidl.debug.recorder import Recorder, trace
from minidl.debug.spec import Spec, SpecError
from minidl.debug.statistics import Statistics, statistics
from minidl.debug.stepper import Stepper
from minidl.debug.tape import Event, Tape, Value
from minidl.debug.watch import set_trace, step
