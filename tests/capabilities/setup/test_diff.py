"""The difference that is shown: as `diff -u` counts it, without secrets."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jitid.capabilities.setup import diff
from tests.real import need

LINES = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=14).map(
    lambda lines: "".join(f"{x}\n" for x in lines)
)


@settings(max_examples=60, deadline=None)
@given(LINES, LINES)
def test_patch_accepts_the_difference(old: str, new: str) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as name:
        path = Path(name) / "file"
        path.write_text(old)
        lines = diff.unified(str(path), old, new)
        if old == new:
            assert len(lines) == 2
            return
        text = "".join(f"{line}\n" for line in lines)
        done = subprocess.run([need("patch"), "-s", str(path)], input=text, text=True, capture_output=True)
        assert done.returncode == 0, done.stdout + text
        assert path.read_text() == new if path.exists() else not new


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('  "apiKey": "abc",', '  "apiKey": "****",'),
        ('  "apiKeyHelper": "jitid helper token --audience https://a.example",', None),
        ('  "apiKeyHelper": "vault read x",', '  "apiKeyHelper": "****",'),
        ('"Authorization": "Bearer ${MCP_BEARER_TOKEN}"', None),
        ('"apiKey": "{file:{env:JITID_TOKEN_FILE}}"', None),
        ('"apiKey": "JITID_secret"', '"apiKey": "****"'),
        ('"x": "Bearer abcdefgh"', '"x": "Bearer ****"'),
        ("aws_secret_access_key = abc/def+x", "aws_secret_access_key = ****"),
        ("    token: abc", "    token: ****"),
        ("    client-key-data: LS0tLS1CRUdJTg==", "    client-key-data: ****"),
        ("\tpassword = a b", "\tpassword = ****"),
        ('args = ["--key", "sk-0123456789"]', 'args = ["--key", "****"]'),
        ("url = https://u:secret@git.example", "url = https://u:****@git.example"),
        ('"refresh_interval_ms": 300000', None),
        ('"CLAUDE_CODE_API_KEY_HELPER_TTL_MS": "300000",', None),
        ("[model_providers.jitid.auth]", None),
        ("token_file = /run/secrets/token", None),
    ],
)
def test_a_value_that_may_be_a_secret_is_stars(line: str, shown: str | None) -> None:
    assert diff.redacted(line) == (line if shown is None else shown)


def test_a_long_line_is_shown_around_its_change_alone() -> None:
    old = '{"a": "' + "x" * 9_000 + '"}'
    shown = diff.unified("f", old, old[:-1] + ', "k": 1}')
    assert sum(map(len, shown)) < 400
    assert shown[-1].endswith('"k": 1}')
