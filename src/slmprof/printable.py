"""Text that cannot steer what shows it.

Models, profiles, paths and arguments hold any text. Wherever a text leaves this program to be read
by people (a terminal, a table, CSV, Markdown, a page, a picture), it leaves through `printable`.
JSON is data: its own escapes keep such characters apart.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with a `?` for each character that shows nothing by itself.

    These are control characters (ESC begins the sequences that retitle a terminal, clear it or
    write to the clipboard), what turns the direction of writing, separators of lines and of
    paragraphs, halves of surrogate pairs, and spaces that look like others.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def printable_lines(text: str) -> str:
    """The same for a text of several lines, which stay apart."""
    return "\n".join(map(printable, text.split("\n")))
