"""A reader for the source of a man page: its sections, lists and literal displays."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parent.parent.parent / "man"

_ESCAPES = {
    r"\e": "\\",
    r"\ ": " ",
    r"\-": "-",
    r"\(aq": "'",
    r"\(dq": '"',
    r"\(ti": "~",
    r"\(ga": "`",
    r"\(ha": "^",
    r"\&": "",
}


def read(name: str) -> str:
    """Return the source of a page."""
    return (FOLDER / name).read_text(encoding="utf-8")


def section(text: str, title: str, level: str = "Sh") -> str:
    """Return the text under a heading, up to the next heading of its level or above."""
    _, heading, rest = text.partition(f".{level} {title}\n")
    assert heading, f"there is no {title}"
    return re.split(r"^\.Sh " if level == "Sh" else r"^\.S[hs] ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def headings(text: str) -> list[str]:
    """Return the headings of the second level."""
    return re.findall(r"^\.Ss (.+)$", text, re.MULTILINE)


def items(text: str) -> dict[str, str]:
    """Return the terms of all lists, without their macros, with their descriptions."""
    pieces = re.split(r"^\.It (.+)\n", text, flags=re.MULTILINE)[1:]
    told = [re.split(r"^\.El$", piece, maxsplit=1, flags=re.MULTILINE)[0] for piece in pieces[1::2]]
    terms = [plain(re.sub(r"\b(?:Va|Li|Pa|Fl) ", "", term)) for term in pieces[::2]]
    return dict(zip(terms, told, strict=True))


def displays(text: str) -> list[str]:
    """Return the literal displays."""
    return [plain(shown) for shown in re.findall(r"^\.Bd -literal.*\n((?:.*\n)*?)\.Ed$", text, re.MULTILINE)]


def macros(text: str, name: str) -> list[str]:
    """Return the first word after each macro of a name."""
    return [plain(word) for word in re.findall(rf"(?:^\.|\s){name} ((?:\\ |\S)+)", text, re.MULTILINE)]


def plain(text: str) -> str:
    """Return text without the escapes of roff."""
    return re.sub(r"\\(?:e|-|&| |\(..)", lambda match: _ESCAPES[match[0]], text)
