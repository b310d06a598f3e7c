"""The tour that `minidl debug --tutorial` gives: what to type next, and what there is to see."""

from __future__ import annotations

from typing import Any, NamedTuple

from minidl.debug.prompt import Pdb


class Lesson(NamedTuple):
    """What the reader is told, and the command that leads on. Any other command may be tried in between."""

    command: str
    text: str


LESSONS = (
    Lesson(
        "s",
        """Welcome. A training step has begun, and stands still before its first operation, a convolution. Above: the
        phase, the operation and its module; the formula; a line for each tensor with its dtype and shape, its memory,
        [smallest value, histogram, largest value], mean and deviation; and the line of the network that called it.
        Type s (step) to let the operation run.""",
    ),
    Lesson(
        "im x",
        """It has run: y is what it made. Let us look at what went in: im draws a tensor in characters.
        Type im x""",
    ),
    Lesson(
        "im y[0,:2]", "A digit. And y holds a map for each filter. Anything that is Python may stand there: im y[0,:2]"
    ),
    Lesson("rs", "Steps go back, too. Type rs (reverse step): the convolution has not run yet, and y is not there."),
    Lesson("b op:Linear", "Now a breakpoint: at every operation of this name. Type b op:Linear"),
    Lesson("c", "Type c (continue) to go there: first over what you have seen already, and then on."),
    Lesson("a", "The first fully connected layer. Type a (args): all tensors and settings of the operation."),
    Lesson("w", "Type w (where): the modules that it stands in, and the lines of Python that led here."),
    Lesson("src", "Type src: the source around that line."),
    Lesson("formula", "Type formula: what the operation computes, forward and backward."),
    Lesson("x.max()", "What is no command is Python, with the tensors by their names. Type x.max()"),
    Lesson("cl", "Type cl (clear) to take the breakpoint away."),
    Lesson("unt phase:bwd", "On to backward: unt goes on until a condition holds. Type unt phase:bwd"),
    Lesson("s", "Here backward begins, at the loss, whose own gradient gy is 1. Type s: the first gradient."),
    Lesson(
        "pt gx",
        """gx is the gradient of the scores, and the formula says what it is: the probability of each class, minus 1
        at the right one. Type pt gx (print tensor): find the negative entry.""",
    ),
    Lesson("unt op:Conv2d", "Backward goes through the layers from the last to the first. Type unt op:Conv2d"),
    Lesson("n", "n (next) stays at this depth of modules: here it runs the whole operation. Type n"),
    Lesson("gx", "A convolution has three gradients: of its input, its weight and its bias. Type gx"),
    Lesson("hist gweight", "Type hist gweight: a histogram."),
    Lesson(
        "unt param:conv2.weight",
        "The gradient of a weight goes into its .grad, for the optimizer. Type unt param:conv2.weight",
    ),
    Lesson("unt phase:update", "Last comes the update. Type unt phase:update"),
    Lesson("s 2", "The formula is that of SGD. Two steps on, the first weights have been changed. Type s 2"),
    Lesson("rc", "All of it is on the tape. Type rc: back to the very beginning."),
    Lesson(
        "q",
        """That was a training step, there and back. h lists all commands; `with minidl.debug.step():` in your own
        script brings you to the same prompt. Type q to leave, or look around.""",
    ),
)


class Guide(Pdb):
    """The prompt with a voice."""

    lesson = 0
    _told = -1

    def preloop(self) -> None:
        super().preloop()
        self._tell()

    def postcmd(self, stop: Any, line: str) -> Any:
        if self.lesson < len(LESSONS) and self._is(line, LESSONS[self.lesson].command):
            self.lesson += 1
        if not stop:
            self._tell()
        return super().postcmd(stop, line)

    def _is(self, line: str, command: str) -> bool:
        """Does the line say the same as the command? `step` is `s`."""
        (first, *rest), (wanted, *others) = line.split() or [""], command.split()
        method = getattr(type(self), f"do_{wanted}", None)
        is_same = first == wanted or (method is not None and getattr(type(self), f"do_{first}", None) is method)
        return is_same and rest == others

    def _tell(self) -> None:
        if self._told == self.lesson or self.lesson >= len(LESSONS):
            return
        self._told = self.lesson
        self.message("")
        for line in LESSONS[self.lesson].text.splitlines():
            self.message(f"  | {line.strip()}")
