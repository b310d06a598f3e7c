"""Looking into a computation: the tape of what happened in it.

    tape = minidl.debug.trace(lambda: loss_fn(model(x), labels).backward(), model)

recorder.py writes it, tape.py says what is on it.
"""

from minidl.anomaly import AnomalyError, detect_anomaly
from minidl.debug.check import check
from minidl.debug.recorder import Recorder, trace
from minidl.debug.statistics import Statistics, statistics
from minidl.debug.tape import Event, Tape, Value
from minidl.debug.why import why
