"""Values in HTML templates are visible and escaped, and a missing value is an error."""

from __future__ import annotations

import pytest
from jinja2 import UndefinedError

from jitid.formats.page import _environment, page


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
