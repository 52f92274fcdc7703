"""HTML pages made from templates: each is complete in itself, runs no script and requests nothing."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from functools import cache
from hashlib import sha256

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from jitid.formats import figures
from jitid.formats.cell import cell
from jitid.values.times import format_time

_ROOT = __file__.rpartition("/formats/")[0]
_SHARED = "formats/page"


def page(name: str, **values: object) -> Iterator[str]:
    """Yield the page from the template `name`.html with the values; its style is `name`.css after the shared one.

    Names are paths inside the package. The template extends `formats/page.html`. The page's policy (Content Security
    Policy Level 3) allows only the style, by its hash.
    """
    style = _read(_SHARED) + _read(name)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    template = _environment().get_template(f"{name}.html")
    return template.generate(style=Markup(style), digest=digest, **values)  # noqa: S704 - a file of the package


def _read(name: str) -> str:
    with open(f"{_ROOT}/{name}.css", encoding="utf-8") as file:
        return file.read()


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
        count=figures.count,
        counted=figures.counted,
        duration=figures.duration,
        mean=figures.mean,
        percent=figures.percent,
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
