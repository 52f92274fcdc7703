"""The difference that is shown: as `diff -u` counts it, jitid's own lines exactly, and no value of others."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from jitid.capabilities.setup import change, change_record, client_file, diff
from jitid.capabilities.setup.client_list import CLIENTS
from jitid.capabilities.setup.entries import Form
from jitid.capabilities.setup.foreign_text import OwnText, shown
from jitid.capabilities.setup.splice import Splice
from tests.capabilities.setup.test_change import at_home, request
from tests.capabilities.setup.test_jsonc import documents
from tests.real import need

LINES = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=14).map(
    lambda lines: "".join(f"{x}\n" for x in lines)
)


def own(text: str) -> OwnText:
    """Return that jitid inserted the whole text."""
    return OwnText(0, [[Splice(0, "", text)]])


@settings(max_examples=60, deadline=None)
@given(LINES, LINES)
def test_patch_accepts_the_difference_of_jitids_own_lines(old: str, new: str) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as name:
        path = Path(name) / "file"
        path.write_text(old)
        sides = (diff.side(Form.JSON, text, own(text)) for text in (old, new))
        lines = diff.unified(str(path), *sides)
        if old == new:
            assert len(lines) == 2
            return
        text = "".join(f"{line}\n" for line in lines)
        done = subprocess.run([need("patch"), "-s", str(path)], input=text, text=True, capture_output=True)
        assert done.returncode == 0, done.stdout + text
        assert path.read_text() == new if path.exists() else not new


@given(LINES, LINES, st.sampled_from([*Form]))
def test_lines_with_stars_have_the_places_of_the_lines_of_the_file(old: str, new: str, form: Form) -> None:
    exact = diff.unified("f", *(diff.side(form, text, own(text)) for text in (old, new)))
    with_stars = diff.unified("f", *(diff.side(form, text, OwnText(len(text))) for text in (old, new)))
    assert [re.sub(r"[^-+@ 0-9,].*", "", line) for line in exact[2:]] == [
        re.sub(r"[^-+@ 0-9,].*", "", line) for line in with_stars[2:]
    ]


FORMS = [
    (
        Form.JSON,
        '\ufeff{"a": "S", // S\n "b": [S, "\\"S", {"c": 1}] /* S\nS */}',
        '\ufeff{"a": "****", //****\n "b": [****, "****", {"c": ****}] /*****\n*****/}',
    ),
    (Form.JSON, '{"url": "https://S@h/", "args": ["--token", "S"]}', '{"url": "****", "args": ["****", "****"]}'),
    (
        Form.TOML,
        ('a = "S" # S\n[b.c]\nd.e = [\n  ["S"],\n  { f = \'S\' },\n]\ng = """\nS = 1\n'
            '[S]\n""""\nh = 1979-05-27T07:32:00Z\n'),
        ('a = "****" #****\n[b.c]\nd.e = [\n  ["****"],\n  { f = \'****\' },\n]\ng = """\n'
            '****\n****\n****"""\nh = ****\n'),
    ),
    (Form.AWS, ("[profile x]\n# S\naws_secret_access_key = wJalrXUtnFEMI/K7MDENG/S\ns3 =\n"
        "  S = S\nS\nSS==\n"), "[profile x]\n#****\naws_secret_access_key = ****\ns3 =\n  ****\n****\n****\n"),
    (
        Form.GIT,
        '[url "https://S@h/"]\n\tinsteadOf = h ; S\n[http] extraHeader = "S: S" \\\nname = S\n\ta = b\n\tS\n',
        '[url "****"]\n\tinsteadOf = ****\n[http] extraHeader = ****\n****\n\ta = ****\n\t****\n',
    ),
    (
        Form.KUBE,
        ("users:\n- name: S\n  user:\n    token: abc/S\n    password: |\n      S\n"
            "      S: S\n    S: 1\n    args:\n    - S # S\n"),
        ("users:\n- name: ****\n  user:\n    token: ****\n    password: ****\n      ****\n"
            "      ****\n    ****\n    args:\n    - ****\n"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("form", "text", "expected"), FORMS)
def test_keys_and_structure_stay_and_every_value_and_comment_is_stars(
    form: Form, text: str, expected: str
) -> None:
    assert shown(form, text, OwnText(len(text))) == expected
    assert shown(form, text, own(text)) == text


SECRETS = st.text(alphabet="ABCXYZ0189+/=._-", min_size=12, max_size=40).filter(
    # Stars and quotes of a form could hide no part of it.
    lambda text: len(set(text)) > 3 and not set("XYZ").isdisjoint(text)
)


def _json(secret: str) -> dict[str, str]:
    servers = {"a": {"args": ["--token", secret, f"--api-key={secret}"], "url": f"https://{secret}@h/"}}
    return {
        "one line": json.dumps({"mcpServers": servers, "env": {"X": secret}}),
        "lines": json.dumps({"env": {"GITLAB_TOKEN": secret}, "mcpServers": servers}, indent=2),
        "comments": f'// {secret}\n{{ /* {secret}\n{secret} */ "model": "{secret}" // {secret}\n}}\n',
    }


def _toml(secret: str) -> dict[str, str]:
    content = {
        "experimental": secret,
        "mcp_servers": {"a": {"args": [secret, {"x": secret}], "env": {"K": secret}}},
    }
    return {
        "written": tomli_w.dumps(content),
        "lines": (
            f'x = """\n{secret}\n[{secret}]\na = {secret}\n"""\ny = \'\'\'{secret}\n'
            f"{secret}''' # {secret}\n# {secret}\n"
        ),
        "inline": f'a = {{ b = "{secret}", c = [ ["{secret}"],\n["{secret}"] ] }}\n',
    }


CALLS = re.compile(r"jitid helper|helper\b|JITID_TOKEN_FILE|\bmcp\b")


TEXTS: dict[tuple[str, str], Callable[[str], dict[str, str]]] = {
    ("claude-code", ".claude/settings.json"): _json,
    ("opencode", ".config/opencode/opencode.json"): _json,
    ("cursor", ".cursor/mcp.json"): _json,
    ("codex", ".codex/config.toml"): _toml,
    ("git", ".gitconfig"): lambda secret: {
        "url": f'[url "https://{secret}@h/"]\n\tinsteadOf = {secret}\n',
        "header": f'[http] extraHeader = PRIVATE-TOKEN: {secret}\n# {secret}\n',
        "continued": f'[alias]\n\ta = "x \\\n{secret}"\n\tb = "{secret}"\n',
    },
    ("aws", ".aws/config"): lambda secret: {
        "keys": f"[profile deploy]\n# {secret}\naws_access_key_id = {secret}\naws_secret_access_key = {secret}\n",
        "nested": f"[profile deploy]\ns3 =\n  a = {secret}\n  {secret}\nregion = {secret}\n",
    },
    ("kube", ".kube/config"): lambda secret: {
        "plain": f"users:\n- name: a\n  user:\n    token: {secret}\n",
        "block": (f"users:\n- name: a\n  user:\n    password: |\n      {secret}\n      x: {secret}\n"
            f"    token: >-\n      {secret}\n"),
        "quoted": f'users:\n- name: a\n  user: {{token: "{secret}"}}\n- name: "b # {secret}" # {secret}\n',
    },
}  # fmt: skip


@pytest.mark.parametrize(("client", "file"), [*TEXTS])
@settings(max_examples=30, deadline=None)
@given(secret=SECRETS, number=st.integers(0, 2))
def test_no_secret_of_others_is_shown_in_any_form(client: str, file: str, secret: str, number: int) -> None:
    from tempfile import TemporaryDirectory

    texts = [*TEXTS[client, file](secret).values()]
    text = texts[number % len(texts)]
    with TemporaryDirectory() as name, at_home(home := Path(name)):
        path = home / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        wanted = request(home, hosts=("https://git.example",), template="deploy", name="deploy")
        if client == "cursor":
            wanted = wanted._replace(gateway=None)
        for edit in ("", "\n"):
            with client_file.locked(change_record.folder()):
                planned = change.plan_setup(CLIENTS[client], wanted)
                change.carry_out(planned)
            lines = [line for each in planned for line in each.difference()]
            assert secret not in "\n".join(lines).replace("\\x", "")
            added = [line for line in path.read_text().split("\n") if CALLS.search(line)]
            assert added
            # Each line of jitid is shown in full; a long one around its change.
            assert all(f"+{line}" in lines for line in added if secret not in line and len(line) < 300)
            path.write_text(path.read_text() + edit)
            with client_file.locked(change_record.folder()):
                undone = change.plan_undo(CLIENTS[client], wanted)
                change.carry_out(undone)
            assert secret not in "\n".join(line for each in undone for line in each.difference())


@given(documents())
def test_a_document_of_any_layout_shows_its_keys_and_no_value(made: tuple[str, object]) -> None:
    text, content = made
    hidden = shown(Form.JSON, text, OwnText(len(text)))
    assert hidden.count("\n") == text.count("\n")

    def without_values(value: object) -> object:
        if isinstance(value, dict):
            return {name: without_values(inner) for name, inner in value.items()}
        return [without_values(each) for each in value] if isinstance(value, list) else "****"

    from jitid.capabilities.setup import jsonc

    quoted = re.sub(
        r'(?<!["/*])\*{4}(?!["*/])', '"****"', re.sub(r"//\*{4}|/\*\*{4}(?:\n?\**)*\*/", "", hidden)
    )
    decoded = jsonc.value_at(jsonc.parse(quoted), ())
    assert isinstance(decoded, dict)
    assert isinstance(content, dict)
    assert [*decoded] == [*content]
    assert json.dumps(decoded).replace('""', '"****"') == json.dumps(without_values(content)).replace(
        '""', '"****"'
    )


def test_a_long_line_is_shown_around_its_change_alone() -> None:
    old = '{"a": [' + "9, " * 9_000 + "9]}"
    new = old[:-1] + ', "k": 1}'
    lines = diff.unified(
        "f",
        diff.side(Form.JSON, old, OwnText(len(old))),
        diff.side(Form.JSON, new, OwnText(len(old), [[Splice(len(old) - 1, "", ', "k": 1')]])),
    )
    assert sum(map(len, lines)) < 400
    assert lines[-1].endswith('"k": 1}')
