"""Conversion of help sentences to mdoc(7): each word in its macro, each sentence on separate lines."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

WIDTH = 78
"""The longest line of a page's source; `mandoc -T lint` requires less than 80."""

# Characters in text to copy that a terminal would show as another character, or roff would read as an instruction.
_LITERAL = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"}
_ARGUMENT = {**_LITERAL, '"': r"\(dq"}
_TEXT = {"\\": r"\e"}

# A word of an argument that mdoc would interpret as a macro, or as punctuation outside of the argument.
_MISREAD = re.compile(r"%?[A-Z][a-z]|[A-Z][a-z]\d|B[lrx]|[.,:;()\[\]?!|]")

_WORD = re.compile(r"[(\[]*`[^`]+`\S*|\S+")
_PARTS = re.compile(
    r"(?P<before>[(\[]*)(?P<core>`[^`]+`|[a-z-]+\(\d\)|.*?)(?P<after>[.,:;)\]?!]*)", re.DOTALL
)
_SENTENCE_END = re.compile(r"[.!?][)\]]*$")
_OPTION = re.compile(r"--[a-z][a-z-]*")
_VARIABLE = re.compile(r"\$?JITID_[A-Z_]+|XDG_[A-Z_]+|HOME|NO_COLOR|FORCE_COLOR|COLUMNS|TERM")
_PAGE = re.compile(r"(jitid(?:-[a-z]+)*)\((\d)\)")
_PATH = re.compile(r"[~/].*/.+|\.[a-z]+\.toml|[a-z]+/|ledger\.db(-\w+)?")


def prose(text: str, metavars: Collection[str] = ()) -> list[str]:
    """Return the lines of a paragraph.

    Options, environment variables, pages, paths and `metavars` get their macros; text in backquotes is quoted.
    """
    lines: list[str] = []
    pending: list[str] = []

    def flush() -> None:
        if pending:
            lines.extend(_wrapped(pending))
            pending.clear()

    for word in _WORD.findall(text):
        match = _PARTS.fullmatch(word)
        assert match is not None
        macro = _macro(match["core"], metavars)
        if macro is None:
            pending.append(_escaped(word, _TEXT))
        else:
            flush()
            before = f"Pf {match['before']} " if match["before"] else ""
            lines.append(" ".join([f".{before}{macro}", *match["after"]]))
        if _SENTENCE_END.search(word):
            flush()
    flush()
    return lines


def argument(text: str) -> str:
    """Return text as arguments of a macro, shown verbatim."""
    return " ".join(map(_argument, text.split(" ")))


def _argument(word: str) -> str:
    # mdoc would interpret punctuation at the end as that of the sentence.
    end = r"\&" if word.endswith((".", ",", ":", ";", "!", "?", ")", "]")) else ""
    return (r"\&" if _MISREAD.fullmatch(word) else "") + _escaped(word, _ARGUMENT) + end


def title(sentence: str) -> str:
    """Return a sentence as the line after a page's name: without a capital and without a full stop."""
    text = sentence.removesuffix(".")
    first = text.partition(" ")[0]
    # Names such as PostgreSQL and AWS keep their capitals.
    if first[1:] == first[1:].lower():
        text = text[:1].lower() + text[1:]
    return _escaped(text.replace("`", ""), _TEXT)


def display(text: str) -> list[str]:
    """Return lines to show verbatim and indented."""
    shown = [_escaped(line, _LITERAL) for line in text.splitlines()]
    return [".Bd -literal -offset indent", *map(_kept, shown), ".Ed"]


def entries(rows: Iterable[tuple[str, list[str]]], style: str = "-tag -width Ds") -> list[str]:
    """Return a list of terms, each given as the arguments of its `.It`, with the lines that explain the term."""
    lines = []
    for term, told in rows:
        lines += [f".It {term}".rstrip(), *told]
    return [f".Bl {style}", *lines, ".El"] if lines else []


def paragraphs(text: str, metavars: Collection[str] = ()) -> list[list[str]]:
    """Return the lines of each paragraph; blank lines separate paragraphs."""
    return [prose(each, metavars) for each in text.split("\n\n")]


def spaced(blocks: Iterable[list[str]]) -> list[str]:
    """Return the blocks that are not empty, with a space between them; lists and displays have their own space."""
    lines: list[str] = []
    for block in filter(None, blocks):
        if lines and not block[0].startswith((".Bl", ".Bd")):
            lines.append(".Pp")
        lines += block
    return lines


def _macro(core: str, metavars: Collection[str]) -> str | None:
    if core.startswith("`"):
        # A line break would end the macro.
        quoted = core.strip("`").replace("\n", " ")
        return _options(quoted) if quoted.startswith("--") else f"Ql {argument(quoted)}"
    if _OPTION.fullmatch(core):
        return f"Fl {core[1:]}"
    if _VARIABLE.fullmatch(core):
        return f"Ev {core}"
    if page := _PAGE.fullmatch(core):
        return f"Xr {page[1]} {page[2]}"
    if core in metavars:
        return f"Ar {argument(core)}"
    return f"Pa {argument(core)}" if _PATH.fullmatch(core) else None


def _options(text: str) -> str:
    """Return options with their values: words in capitals are placeholders, others are literal."""
    return " ".join(
        f"Fl {word[1:]}" if word.startswith("--") else f"{'Ar' if word.isupper() else 'Cm'} {argument(word)}"
        for word in text.split()
    )


def _escaped(text: str, table: dict[str, str]) -> str:
    return "".join(
        table.get(character, character if character.isascii() else rf"\[u{ord(character):04X}]")
        for character in text
    )


def _kept(line: str) -> str:
    """Return a line of text, escaped if roff would interpret it as a request."""
    return rf"\&{line}" if line.startswith((".", "'", r"\(aq")) else line


def _wrapped(words: list[str]) -> list[str]:
    lines = [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + 1 + len(word) > WIDTH:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return [_kept(line) for line in lines]
