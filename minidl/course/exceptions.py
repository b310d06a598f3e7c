"""What an exception in a student's code usually means, beside the words in which Python tells it.

hint_for(text)      one sentence, or None; text: what calling.describe_exception gives
"""

from __future__ import annotations

import re

# A pattern for the last line of the traceback, one for the line of code above it, and what is said: the first that
# fits speaks. Where a pattern has a group, the sentence may name it.
USUAL: tuple[tuple[str, str, str], ...] = (
    (
        r"not enough values to unpack \(expected \d+, got 0\)",
        r"saved_tensors",
        "nothing was saved: forward keeps what backward needs with self.save_for_backward(...)",
    ),
    (
        r"values to unpack \(expected (\d+)",
        r"saved_tensors",
        "saved_tensors has as many elements as forward gave to self.save_for_backward(...), here not {0}",
    ),
    (
        r"values to unpack \(expected (\d+)|cannot unpack non-iterable",
        r"= .*\.backward\(",
        "backward returns a tuple with one gradient for each input of forward, and None for one that needs none",
    ),
    (
        r"values to unpack \(expected (\d+)",
        r"= .*\.forward\(",
        "forward returns {0} things here: its docstring says which",
    ),
    (
        r"(?:TypeError|AttributeError): .*'tuple'|can't multiply sequence",
        r"",
        "a tuple, where an array is meant: saved_tensors is one with a single array too, (x,) = self.saved_tensors",
    ),
    (
        r"object of type 'generator'",
        r"",
        "a generator gives its values one after the other: tuple(...) makes a tuple of them",
    ),
    (
        r"'NoneType' object has no attribute",
        r"\.grad\b",
        "nothing has arrived in .grad: was backward called, and the Tensor made with requires_grad=True?",
    ),
    (
        r"out of bounds for axis \d+ with size 0",
        r"",
        "this array is empty: nothing fulfils what was asked for (is everything 0, or everything False?)",
    ),
    (
        r"unsupported operand type\(s\) for .*'NoneType'|'NoneType' object (?:has no attribute|is not subscriptable)",
        r"",
        "None stands where an array is meant: something that was not saved or is not there (an input that needs no "
        "gradient, see self.needs_input_grad; no bias), or a function without `return`",
    ),
    (
        r"left out of this release",
        r"",
        "this part of minidl is empty in your release, since it would be an answer: use what you write yourself (in a1 "
        "`backward(loss)` of engine.py, not loss.backward())",
    ),
    (r"bitwise_xor|unsupported operand type\(s\) for \^", r"", "in Python ^ is not a power: b * b, or b**2"),
    (
        r"truth value of an array",
        r"",
        "`if`, `and`, `or`, max and min ask for one truth value; for each element of an array there are xp.where, &, "
        "|, xp.maximum and xp.minimum",
    ),
    (
        r"operands could not be broadcast together|non-broadcastable output operand",
        r"(?:sum|max|mean|min|var)\([^)]",
        "a sum (mean, max) over an axis loses that axis: keepdims=True keeps it, with size 1, so that it broadcasts",
    ),
    (
        r"operands could not be broadcast together.*\b0\b",
        r"",
        "a 0 in a shape is a slice that begins beyond the end of its array",
    ),
    (
        r"operands could not be broadcast together|non-broadcastable output operand",
        r"",
        "write the shapes of both beside each other, from the right: each pair is equal, or one of them is 1",
    ),
    (
        r"could not broadcast input array from shape",
        r"",
        "what is assigned has the shape of what it is assigned to: compare the two, axis by axis",
    ),
    (
        r"cannot reshape array of size",
        r"",
        "a reshape keeps the number of elements: is a size taken from another array, or is something not summed, or in "
        "another order than you think?",
    ),
    (
        r"matmul: .*mismatch in its core dimension",
        r"",
        "the inner sizes of a product are equal, (m, k) times (k, n): write the shapes down; is a transpose missing, "
        "or one too many?",
    ),
    (
        r"only integer scalar arrays can be converted|arrays used as indices must be of integer",
        r"",
        "an index is a whole number, or an array of them: / gives a float, // a whole number",
    ),
    (
        r"'float' object cannot be interpreted as an integer|slice indices must be integers",
        r"",
        "a size is a whole number: / gives a float, // rounds down to a whole number",
    ),
    (
        r"'numpy\.ndarray' object has no attribute '(\w+)'",
        r"",
        "this is a plain NumPy array, not a Tensor: look for what NumPy calls {0}",
    ),
    (
        r"NameError: name '(\w+)' is not defined",
        r"",
        "{0} is not known here: what forward knew, backward finds on self only; imports and helpers go into the body "
        "of the function itself, since only bodies are handed in",
    ),
    (
        r"(?:cannot access local variable|local variable) '(\w+)'",
        r"",
        "{0} gets its value in a branch or loop that was not run this time",
    ),
    (
        r"RecursionError",
        r"",
        "a function that calls itself for every node ends at 1,000 of them: a loop with a list does not",
    ),
    (
        r"leaf Variable that requires grad is being used in an in-place",
        r"",
        "`x += y` changes the x of the caller: write x = x + y; an optimizer changes the array, param.data",
    ),
    (
        r"assignment destination is read-only",
        r"",
        "this array is read-only: a view of another one (broadcast_to, sliding windows); .copy() first",
    ),
)


def hint_for(text: str) -> str | None:
    """What usually is behind the exception that ends `text`, a traceback with its lines of code. None: no idea."""
    lines = text.splitlines()
    last = max((i for i, line in enumerate(lines) if re.match(r"\w+(?:Error|Exception)?: ", line)), default=None)
    if last is None:
        return None
    code = lines[last - 1] if last else ""
    for pattern, above, sentence in USUAL:
        found = re.search(pattern, " ".join(lines[last:]))
        if found is not None and re.search(above, code):
            return sentence.format(*(group or "" for group in found.groups()))
    return None
