"""A page of HTML that asks nothing of anybody: one style, no script, and a policy that allows no more than that."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from html import escape

from jitid.formats.cell import cell


def text(value: object) -> str:
    """Return a value as text between tags or inside quotes: nothing in it is markup, and nothing hides."""
    return escape(cell(value), quote=True)


def prose(words: str) -> str:
    """Return words of ours, in which commands and names stand between backquotes, as text between tags."""
    parts = text(words).split("`")
    return "".join([f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts)])


def sentence(words: str) -> str:
    """Return words with a capital at their beginning."""
    return words[:1].upper() + words[1:]


def card(title: str, *inner: str) -> str:
    """Return a part of a page with its own heading."""
    return f'<section class="card"><h3>{text(title)}</h3>{"".join(inner)}</section>'


def opening(title: str, style: str) -> str:
    """Return the beginning of a document, up to its body.

    The policy (Content Security Policy Level 3) names the one style by its hash: whatever would get in all the same
    could neither run, nor look otherwise, nor ask for anything.
    """
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<meta name="robots" content="noindex">
<title>{text(title)}</title>
<style>{style}</style>
</head>
<body>
"""


CLOSING = "</body>\n</html>\n"
"""The end of a document."""


def page(title: str, style: str, body: str) -> str:
    """Return a whole document."""
    return f"{opening(title, style)}{body}\n{CLOSING}"


def table(caption: str, head: tuple[str, ...], rows: Sequence[tuple[object, ...]], numbers: int = 1) -> str:
    """Return a table; the columns from number `numbers` on (counted from 0) hold figures."""

    def row(cells: tuple[object, ...], scope: str) -> str:
        first = f'<th scope="{scope}">{text(cells[0])}</th>'
        tag = "th" if scope == "col" else "td"
        told = ' scope="col"' if scope == "col" else ""
        others = [
            f"<{tag}{told}{_right(column, numbers)}>{text(each)}</{tag}>"
            for column, each in enumerate(cells[1:], start=1)
        ]
        return f"<tr>{first}{''.join(others)}</tr>"

    name = text(caption)
    # Whoever has no mouse scrolls it by keys.
    return (
        f'<div class="wide" tabindex="0" role="group" aria-label="{name}"><table><caption>{name}</caption>'
        f"<thead>{row(head, 'col')}</thead>"
        f"<tbody>{''.join([row(cells, 'row') for cells in rows])}</tbody></table></div>"
    )


def _right(column: int, numbers: int) -> str:
    return ' class="n"' if column >= numbers else ""


def folded(summary: str, inner: str) -> str:
    """Return what is shown to whoever opens it."""
    return f"<details><summary>{text(summary)}</summary>{inner}</details>"
