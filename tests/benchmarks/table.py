"""Numbers as Markdown."""


def markdown(heading, rows):
    """A table. heading: the names of the columns; the first is words, the others are numbers, already as text."""
    lines = ["| " + " | ".join(heading) + " |", "| --- |" + " ---: |" * (len(heading) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def milliseconds(seconds):
    """Three digits that matter: 0.0123, 1.23, 12.3, 1,234."""
    value = seconds * 1e3
    for limit, digits in ((0.1, 4), (1, 3), (10, 2), (100, 1)):
        if value < limit:
            return f"{value:.{digits}f}"
    return f"{value:,.0f}"


def megabytes(size):
    return f"{size / 1e6:,.0f}"
