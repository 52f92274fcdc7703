"""Manual pages of section 7 from the chapters in Markdown beside them: `man/author.md` becomes `man/jitid-author.7`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.generate.man import DATE
from tests.generate.roff import argument, display, entries, prose, spaced, title
from tests.readme import CHAPTERS

_LINK = re.compile(r"!?\[([^\]]*)\]\(([^)]*)\)")
_WIDTH = 74
"""The longest command of a block, which is indented, on a terminal of 80 columns."""
_WORD_OF_COMMAND = r"""(?:'[^']*'|"(?:\\.|[^"\\])*"|\$\([^)]*\)|\\.|[^\s'"])+"""
_PARTS_OF_COMMAND = re.compile(rf"(?:--?[a-z][a-z-]* (?!-))?{_WORD_OF_COMMAND}")
"""The words of a command; an option stays with its value."""
_LEAD = re.compile(r"\*\*(.+?)\*\*[ \n]?", re.DOTALL)


def pages() -> dict[str, str]:
    """Return the name and the text of the page of each chapter."""
    return {
        f"jitid-{name}.7": _page(name, path.read_text(encoding="utf-8")) for name, path in CHAPTERS.items()
    }


def _page(name: str, text: str) -> str:
    heading, _, body = text.partition("\n")
    _, _, sentence = heading.partition(": ")
    head = [f".Dd {DATE}", f".Dt JITID-{name.upper()} 7", ".Os"]
    head += [".Sh NAME", f".Nm jitid-{name}", f".Nd {title(sentence)}", ".Sh DESCRIPTION"]
    references = sorted({*re.findall(r"(jitid(?:-[a-z]+)*)\((\d)\)", text), ("jitid", "1")}, key=_by_section)
    lines = [f".Xr {page} {section} ," for page, section in references if page != f"jitid-{name}"]
    see_also = [".Sh SEE ALSO", *lines[:-1], lines[-1].removesuffix(" ,")]
    return "\n".join([*head, *_body(body), *see_also]) + "\n"


def _by_section(reference: tuple[str, str]) -> tuple[str, str]:
    return reference[1], reference[0]


def _body(text: str) -> Iterator[str]:
    """Yield the lines of a chapter. A section begins at a paragraph whose first words are bold."""
    section: list[list[str]] = []
    for block in _blocks(text):
        lead = _LEAD.match(block)
        if lead is not None:
            yield from spaced(section)
            yield f".Ss {argument(_plain(lead[1]).rstrip('.'))}"
            section, block = [], block[lead.end() :]
        section.append(_converted(block))
    yield from spaced(section)


def _blocks(text: str) -> Iterator[str]:
    """Yield the paragraphs, lists, tables and fenced blocks."""
    for part in re.split(r"^(```\w*\n.*?^```)$", text, flags=re.MULTILINE | re.DOTALL):
        if part.startswith("```"):
            yield part
        else:
            yield from (block.strip("\n") for block in re.split(r"\n{2,}", part) if block.strip())


def _converted(block: str) -> list[str]:
    """Return the lines of one block in mdoc(7)."""
    if block.startswith("```"):
        return display(in_lines(block.partition("\n")[2].removesuffix("```")))
    if block.startswith("|"):
        return _table(block)
    if block.startswith("- "):
        items = re.split(r"^- ", block, flags=re.MULTILINE)[1:]
        return entries([("", prose(_plain(item))) for item in items], "-bullet -compact")
    if block.startswith("!["):
        return []
    return prose(_plain(block)) if block.strip() else []


def in_lines(text: str) -> str:
    """Return a block in which a long command continues on further lines, as a shell reads them."""
    return "\n".join(line for each in text.splitlines() for line in _command_lines(each))


def _command_lines(line: str) -> list[str]:
    if not line.startswith("$ ") or len(line) <= _WIDTH:
        return [line]
    lines = [""]
    for words in _PARTS_OF_COMMAND.findall(line):
        if lines[-1] and len(lines[-1]) + 1 + len(words) > _WIDTH - len(" \\"):
            lines[-1] += " \\"
            lines.append(f"    {words}")
        else:
            lines[-1] += f" {words}" if lines[-1] else words
    return lines


def _table(block: str) -> list[str]:
    """Return a table as a list: the first column is the term, the others are named in a sentence."""
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines())
    terms = [f"Sy {argument(row[0].replace('`', ''))}" for row in rows]
    texts = [
        "; ".join(f"{name}: {_plain(cell)}" for name, cell in zip(head[1:], row[1:], strict=True) if cell)
        for row in rows
    ]
    return entries(zip(terms, map(prose, texts), strict=True))


def _plain(text: str) -> str:
    """Return a text without the marks of links and of emphasis."""
    text = _LINK.sub(
        lambda found: found[1] if found[2].endswith((".7", ".5", ".md")) else f"{found[1]} ({found[2]})", text
    )
    return " ".join(text.replace("**", "").replace("*it*", "it").split())
