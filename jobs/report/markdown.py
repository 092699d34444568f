"""Texts and tables as Markdown that is as readable in a terminal as on a forge."""

import re
import unicodedata

from markupsafe import Markup

from jobs.report.view import Table


def escape(text: object) -> str:
    """Return a text of which no sign is markup; what is `Markup` already stays as it is."""
    if isinstance(text, Markup):
        return text
    marks = r"[\\`*\[\]<>|&~$]|(?<![^\W_])_|_(?![^\W_])"
    return re.sub(marks, lambda hit: "\\" + hit[0], " ".join(str(text).splitlines()))


def table(content: Table) -> Markup:
    """Return a table whose columns line up in plain text too."""
    cells = [[escape(cell) for cell in row] for row in (content.headers, *content.rows)]
    widths = [max(3, *map(_width, column)) for column in zip(*cells, strict=True)]
    right = [content.is_number(column) for column in range(len(widths))]
    rule = ["-" * (width - 1) + ":" if is_right else "-" * width for width, is_right in zip(widths, right, strict=True)]
    lines = [
        "| "
        + " | ".join(_pad(cell, width, is_right=r) for cell, width, r in zip(row, widths, right, strict=True))
        + " |"
        for row in (cells[0], rule, *cells[1:])
    ]
    return Markup("\n".join(lines))  # noqa: S704  # every cell is escaped


def _pad(cell: str, width: int, *, is_right: bool) -> str:
    """Return a cell with blanks up to the width."""
    blanks = " " * (width - _width(cell))
    return blanks + cell if is_right else cell + blanks


def _width(text: str) -> int:
    """Return the columns that a text takes in a terminal."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )
