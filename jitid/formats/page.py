"""HTML pages made from templates, and their cards: each is complete in itself and requests nothing.

The only script is `page.js`, which adds a copy button to each command; a page without scripts lacks only the buttons.

Templates draw them (`card.html`, `columns.svg`). Colours come from the page's style by class (`bar`, `other`, `warn`),
so that a plot is light or dark like the page. Widths are percentages: text keeps its size on a phone.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from functools import cache
from hashlib import sha256

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from jitid.formats.cell import cell, count, counted, duration, mean, percent
from jitid.values.record import Record
from jitid.values.times import format_time

_ROOT = __file__.rpartition("/formats/")[0]
_SHARED = "formats/page"


def page(name: str, **values: object) -> Iterator[str]:
    """Yield the page from the template `name`.html with the values; its style is `name`.css after the shared one.

    Names are paths inside the package. The template extends `formats/page.html`. The page's policy (Content Security
    Policy Level 3) allows only the style and the script, each by its hash.
    """
    style, script = _read(f"{_SHARED}.css") + _read(f"{name}.css"), _read(f"{_SHARED}.js")
    template = _environment().get_template(f"{name}.html")
    return template.generate(
        style=Markup(style),  # noqa: S704 - a file of the package
        style_hash=_hash(style),
        script=Markup(script),  # noqa: S704 - a file of the package
        script_hash=_hash(script),
        **values,
    )


def _read(file_name: str) -> str:
    with open(f"{_ROOT}/{file_name}", encoding="utf-8") as file:
        return file.read()


def _hash(text: str) -> str:
    """Return the hash of an inline element's text, as the source of a Content Security Policy."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


@cache
def _environment() -> Environment:
    """Return the environment of all templates: each value that a template prints is made visible, then escaped."""
    environment = Environment(
        loader=FileSystemLoader(_ROOT),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    environment.filters.update(
        count=count,
        counted=counted,
        duration=duration,
        mean=mean,
        percent=percent,
        prose=_prose,
        sentence=sentence,
        time=format_time,
    )
    return environment


def _visible(value: object) -> str:
    """Return a value as text on one line, with escapes instead of characters that act or hide."""
    return value if isinstance(value, Markup) else cell(value)


def sentence(words: str) -> str:
    """Return words as a sentence, with a capital and a full stop."""
    return f"{words[:1].upper()}{words[1:].rstrip('.')}."


def _prose(words: str) -> Markup:
    """Return jitid's own words as markup: text between backquotes is code."""
    parts = cell(words).split("`")
    code = Markup("<code>{}</code>")
    return Markup("").join(
        [code.format(part) if index % 2 else escape(part) for index, part in enumerate(parts)]
    )


class PageOrigin(Record):
    """The place where a page was made."""

    host: str
    """The name of the machine."""
    ledger: str
    """The folder or address of the ledger, without passwords; empty without a ledger."""


class Bar(Record):
    """One bar with its name."""

    name: str
    value: float
    shown: str
    """The value with its unit."""
    mark: str = "bar"
    """The class that colours it."""


class Bars(Record):
    """Horizontal bars below each other, each under its name and its value."""

    key: str
    """The plot's own prefix of ids on its page."""
    title: str
    parts: Sequence[Bar]
    whole: float
    """The value of a bar as wide as the plot."""

    @property
    def description(self) -> str:
        """The plot in words, for a screen reader."""
        return "; ".join([f"{part.name}: {part.shown}" for part in self.parts]) + "."

    def width(self, part: Bar) -> float:
        """Return the width of a bar in percent: 0 for a value of 0, otherwise wide enough to be seen."""
        return max(100 * min(part.value / self.whole, 1), 0.5) if part.value and self.whole else 0


class ChartColumns(Record):
    """Columns side by side over an axis with the first and the last name; the highest one has its value."""

    key: str
    title: str
    description: str
    parts: Sequence[tuple[str, int]]
    """Name and value of each, at least one."""
    mark: str = "bar"

    @property
    def highest(self) -> int:
        """The value that is as high as the plot."""
        return max(value for _, value in self.parts)


class CardTable(Record):
    """Rows with a name first and figures after it."""

    caption: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


class LargeFigure(Record):
    """A figure with a short caption."""

    shown: str
    """The value; a dash if there is nothing to measure."""
    caption: str
    """Jitid's own words."""
    mark: str = ""
    """The class that colours it."""


class Card(Record):
    """A part of a page with its own heading; parts that it does not have are left out."""

    title: str
    note: str = ""
    """A sentence of jitid's own words."""
    figure: LargeFigure | None = None
    """The most important figure, which is also the largest."""
    bars: Bars | None = None
    columns: ChartColumns | None = None
    table: CardTable | None = None
    """The figures of the plot, shown to a reader who opens it."""
