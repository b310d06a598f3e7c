"""Tables as text and as Markdown, and numbers as people write them."""

from __future__ import annotations

from collections.abc import Sequence

Row = Sequence[str]


def text_table(headings: Row, rows: Sequence[Row], left: int, footer: Row | None = None) -> str:
    """Aligned columns, the first `left` of them to the left, below their headings (a `/` in one breaks its line)."""
    split = [heading.split("/") for heading in headings]
    height = max(map(len, split))
    head = [[([""] * (height - len(words)) + words)[line] for words in split] for line in range(height)]
    everything = [*head, *rows, *([footer] if footer else [])]
    widths = [max(len(row[i]) for row in everything) for i in range(len(headings))]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))

    def line(row: Row) -> str:
        cells = [cell.ljust(width) for cell, width in zip(row[:left], widths[:left], strict=True)]
        cells += [cell.rjust(width) for cell, width in zip(row[left:], widths[left:], strict=True)]
        return "  ".join(cells).rstrip()

    lines = [*map(line, head), rule, *map(line, rows)]
    if footer:
        lines += [rule, line(footer)]
    return "\n".join(lines)


def markdown_table(headings: Row, rows: Sequence[Row], left: int, footer: Row | None = None) -> str:
    """The same for Markdown."""
    rules = ["---"] * left + ["---:"] * (len(headings) - left)
    last = [[f"**{cell}**" if cell else "" for cell in footer]] if footer else []
    lines = [[heading.replace("/", " ") for heading in headings], rules, *rows, *last]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines)


def shape_text(shape: Sequence[int]) -> str:
    """64x55x55; "1" for a number."""
    return "x".join(map(str, shape)) or "1"


def pair_text(pair: Sequence[float]) -> str:
    """7 for (7, 7), 7x5 for (7, 5)."""
    first, second = (f"{number:.6g}" for number in pair)
    return first if first == second else f"{first}x{second}"


def bytes_text(count: float) -> str:
    """12.8 MB, with 1 MB = 10^6 bytes."""
    if count < 1000:
        return f"{count} B" if count else "-"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.5 or unit == "GB":
            break
    return f"{count:.{0 if count >= 99.95 else 1}f} {unit}"


def count_text(count: int) -> str:
    """1,792; - for 0."""
    return f"{count:,}" if count else "-"


def share_text(part: float) -> str:
    """2.1%; - for 0."""
    return f"{part:.1%}" if part else "-"
