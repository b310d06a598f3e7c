"""A statement of the lecture beside what minidl computes for it; and the rule by which it is exact, rounded or wrong.

The rule reads the number as it is printed, so nobody's opinion goes in:

    35K  1.6M  96 MB  16.4 %  12x  5 million    a number: K is 10^3, M is 10^6, MB is 10^6 bytes, Mb an eighth of that
    1,728                                       the same without a unit
    no   most   <0.5 Mb                         0; more than half; a bound
    3x3 stride 1 pad 1   27x27x96               anything else is text, which is right to the letter or wrong

    exact      the computed number is the printed one (or lies within the bound)
    rounded    it differs by at most half of the last printed digit. Zeros at the end of a whole number are not digits:
               150K stands for 145,000 to 155,000, and 35K for 34,500 to 35,500
    wrong      it is another number
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

VERDICTS = ("exact", "rounded", "wrong")

UNITS = {"": 1.0, "K": 1e3, "M": 1e6, "million": 1e6, "MB": 1e6, "Mb": 1e6 / 8, "%": 1.0, "x": 1.0}
WORDS = {"no": "0", "most": ">50 %"}
NUMBER = re.compile(r"([<>~]?)(\d[\d,]*(?:\.\d+)?(?:e-?\d+)?) ?(K|MB|Mb|million|M|%|x|)")


@dataclass(frozen=True)
class Statement:
    """What the lecture says, and what comes out.

    claim      what the number is of, in our words
    stated     as the slide prints it
    computed   a number in units of one (bytes, percent); a text; or a tuple of numbers of which each would be right
    how        what it was computed from, or where it was published
    remark     what to know about it; for a wrong statement, why
    """

    topic: str
    claim: str
    stated: str
    computed: Any
    how: str
    remark: str = ""

    @property
    def verdict(self) -> str:
        """exact, rounded or wrong."""
        if isinstance(self.computed, tuple):
            return min((_verdict(self.stated, each) for each in self.computed), key=VERDICTS.index)
        return _verdict(self.stated, self.computed)

    @property
    def computed_text(self) -> str:
        """The computed value in the unit of the stated one."""
        if isinstance(self.computed, tuple):
            return " or ".join(f"{each}" for each in self.computed)
        match = NUMBER.fullmatch(WORDS.get(self.stated, self.stated))
        if isinstance(self.computed, str) or not match:
            return str(self.computed)
        unit = match[3]
        if unit in ("MB", "Mb"):
            return f"{self.computed / UNITS[unit]:.4g} {unit}"
        if unit == "%":
            return f"{self.computed:.4g} %"
        if unit == "x":
            return f"{self.computed:.3g}x"
        return f"{self.computed:,}" if isinstance(self.computed, int) else f"{self.computed:.4g}"


def tally(statements: Iterable[Statement]) -> dict[str, int]:
    """How many are exact, rounded, wrong."""
    verdicts = [statement.verdict for statement in statements]
    return {verdict: verdicts.count(verdict) for verdict in VERDICTS}


def _verdict(stated: str, computed: Any) -> str:
    match = NUMBER.fullmatch(WORDS.get(stated, stated))
    if isinstance(computed, str) or not match:
        return "exact" if stated == str(computed) else "wrong"
    sign, digits, unit = match.groups()
    digits = digits.replace(",", "")
    value = float(digits) * UNITS[unit]
    if sign in ("<", ">"):
        return "exact" if (computed < value if sign == "<" else computed > value) else "wrong"
    if abs(computed - value) <= 1e-9 * abs(value):
        return "exact"
    return "rounded" if abs(computed - value) <= _last_digit(digits) * UNITS[unit] / 2 else "wrong"


def _last_digit(digits: str) -> float:
    """What one step of the last printed digit is worth."""
    if "." in digits or "e" in digits:
        mantissa, _, exponent = digits.partition("e")
        return 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    return 10.0 ** (len(digits) - len(digits.rstrip("0"))) if digits.strip("0") else 1.0
