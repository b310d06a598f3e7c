"""What the prompt answers with a computation of its own: `check` and `why`."""

from __future__ import annotations

import re
from typing import Any

from minidl.debug.check import check
from minidl.debug.looking import Looking
from minidl.debug.tape import Value
from minidl.debug.why import why
from minidl.tensor import Tensor

ONE_NUMBER = re.compile(r"(.+)\[([^\[\]]*)\]\s*")  # gx[0, 3]


class Asking(Looking):
    """Questions about the event of the stop."""

    def do_check(self, arg: str) -> None:
        """check [SECONDS]
        Is the backward of this operation right? It runs again alone, in float64, and is compared with differences of
        its forward. If it is wrong: where, by how much, and the likely cause. SECONDS: how long that may take."""
        event, tape = self._here()
        if event.phase == "update":
            raise ValueError("an update has no backward; `formula` and `l` have what it computes")
        if event.kind in ("enter", "leave"):
            raise ValueError(f"{event.operation} is no operation: go into it with s")
        last = tape.of_call(event.call)[-1]  # what its backward made, where that has run
        self.message(str(check(last, seconds=float(arg or 5))))

    def do_why(self, arg: str) -> None:
        """why TENSOR[INDEX]
        The numbers that one number came from. why y[0,3,5,7]: of a convolution, the window and the weights.
        why gx[0,1], why gy[0,1], why grad[0,1]: all that was summed into a gradient, by whom and how. TENSOR is a name
        of the stop, or an expression for a Tensor: why model.conv1.weight.grad[0,0,1,2]"""
        _, tape = self._here()
        match = ONE_NUMBER.fullmatch(arg.strip())
        name, index = (match[1], self.evaluate(f"({match[2]},)" if match[2] else "()")) if match else (arg, ())
        if not name:
            raise ValueError("of which number? why y[0,3,5,7]")
        self.message(str(why(self._value(name), index, tape)))

    def _value(self, name: str) -> Any:
        """The Value of a name of the stop, else the Tensor that an expression stands for."""
        event, _ = self._here()
        if (value := event.values.get(name.strip())) is not None:
            return value
        value = self.evaluate(name)
        if not isinstance(value, (Tensor, Value)):
            raise ValueError(f"{name} is neither a tensor of this stop nor a Tensor; `a` lists those of the stop")
        return value
