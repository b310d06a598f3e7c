"""How minidl words an error: what was called, which rule is broken, every operand, and a line of help.

Every check in the framework builds its message here, so that all errors look alike:

    linear(): mat1 and mat2 shapes cannot be multiplied (64x512 and 256x10)
      input:  float32 (64, 512) on cpu
      weight: float32 (10, 256) on cpu
      help: in_features of the layer must be 512, the last dimension of its input
"""

from __future__ import annotations

from typing import Any


def explain(where: str, rule: str, operands: dict[str, Any] | None = None, help: str | None = None) -> str:
    """The text of an error: `where` is the verb that was called, `operands` what it was called with, by name."""
    lines = [f"{where}(): {rule}"]
    operands = {name: value for name, value in (operands or {}).items() if value is not None}
    width = max((len(name) for name in operands), default=0)
    lines += [f"  {name + ':':{width + 1}} {describe(value)}" for name, value in operands.items()]
    if help:
        lines.append(f"  help: {help}")
    return "\n".join(lines)


def describe(value: Any) -> str:
    """A tensor or an array as 'float32 (64, 3, 32, 32) on cpu'; anything else as its repr, shortened."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        # NumPy 2 arrays have a device too; both spell the host "cpu".
        return f"{value.dtype} {tuple(value.shape)} on {getattr(value, 'device', 'cpu')}"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
