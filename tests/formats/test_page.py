"""Values in HTML templates are visible and escaped, and a missing value is an error."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html import unescape

import pytest
from jinja2 import UndefinedError

from jitid.capabilities.sweep import findings_html
from jitid.formats.page import _environment, page
from tests.capabilities.sweep.swept import RULES, finding, whole
from tests.page_events import SCRIPT


def test_every_value_is_escaped_and_has_no_hidden_characters() -> None:
    """The template needs no filter for this."""
    template = _environment().from_string("<p title='{{ value }}'>{{ value }}</p>")
    shown = "\\x1b\\u202e&lt;b&gt; &amp;amp; &#34;&#39;"
    assert template.render(value="\x1b\u202e<b> &amp; \"'") == f"<p title='{shown}'>{shown}</p>"


def test_own_words_are_escaped_around_their_code() -> None:
    template = _environment().from_string("{{ value|sentence|prose }}")
    assert template.render(value="a `<b>` & \x1b") == "A <code>&lt;b&gt;</code> &amp; \\x1b."


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="'report' is undefined"):
        "".join(page("capabilities/report/report"))


def _tile(shown: str) -> str:
    template = _environment().from_string(
        """{% from "formats/card.html" import tile %}{{ tile("Standing", shown, "of 0", "bad") }}"""
    )
    return template.render(shown=shown).strip()


def test_a_large_figure_that_is_missing_is_a_dash_without_a_warning() -> None:
    """The hyphen of tables is too small to be seen as a figure."""
    assert _tile("0 %") == '<div><dt>Standing</dt><dd class="bad">0 %</dd>\n<dd>of 0</dd></div>'
    assert '<dd class="absent">\N{EN DASH}</dd>' in _tile("-")


def test_the_policy_allows_the_style_and_the_script_by_their_hashes_and_nothing_else() -> None:
    text = "".join(findings_html.text(iter(whole([finding()])), RULES))

    def digest(tag: str) -> str:
        (content,) = re.findall(f"(?s)<{tag}>(.*?)</{tag}>", text)
        return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"

    (policy,) = re.findall('Content-Security-Policy" content="([^"]*)"', text)
    assert unescape(policy).split("; ") == [
        "default-src 'none'",
        f"style-src {digest('style')}",
        f"script-src {digest('script')}",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert f"<script>{SCRIPT}</script>" in text


def test_the_script_neither_writes_markup_nor_runs_text_nor_sends_anything() -> None:
    """It reads a command with `textContent`, and no name on the page reaches an interpreter."""
    acting = r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|Function|import|fetch|XMLHttp|Beacon|src|href"
    assert not re.search(acting, SCRIPT)
    assert not re.search(r"(?i)</script|<!--", SCRIPT)
    assert SCRIPT.isascii()
