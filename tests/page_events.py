"""A page as a parser reads it, one element on a line: two pages with the same lines are the same to a browser."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import jitid

SCRIPT = Path(jitid.__file__).with_name("formats").joinpath("page.js").read_text(encoding="utf-8")
"""The only script of a page."""

_INLINE = {"span", "strong", "code"}
"""Elements beside which a blank is part of a sentence; beside all others it is only layout of the file."""
_VOID = {"meta"}


class _Reader(HTMLParser):
    """A parser that writes each element as a line, and its content below it, indented."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._open: list[str] = []
        self._text = ""
        self._after_inline = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._end_text(tag)
        self._put(" ".join([tag, *(name if value is None else f"{name}={value!r}" for name, value in attrs)]))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self._end_text(tag)
        assert self._open.pop() == tag

    def handle_decl(self, decl: str) -> None:
        self._put(f"!{decl}")

    def handle_comment(self, data: str) -> None:
        self._put(f"!-- {data!r}")

    def handle_data(self, data: str) -> None:
        self._text += data

    def _end_text(self, tag: str) -> None:
        """Add the text before a tag, without blanks that no reader sees."""
        text = re.sub(r"[ \t\n]+", " ", self._text)
        text = text if self._after_inline else text.removeprefix(" ")
        text = text if tag in _INLINE else text.removesuffix(" ")
        if text:
            self._put(repr(text))
        self._text, self._after_inline = "", tag in _INLINE

    def _put(self, line: str) -> None:
        self.lines.append(" " * len(self._open) + line)


def events(page: str) -> str:
    """Return the events of a page without the texts and the hashes of its style and its script."""
    reader = _Reader()
    without_script = page.replace(f"<script>{SCRIPT}</script>", "<script></script>")
    reader.feed(re.sub(r"(?s)<style>.*?</style>", "<style></style>", without_script))
    reader.close()
    assert not reader._open
    # An element that contains only a text becomes one line.
    lines = re.sub(r"(?m)^( *)(\w.*)\n\1 (['\"].*)$(?!\n\1 )", r"\1\2 \3", "\n".join(reader.lines))
    return re.sub(r"'sha256-[^']*'", "'sha256-…'", lines) + "\n"
