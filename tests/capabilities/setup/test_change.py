"""Laws of a setup and its way back, over real files: the user loses no text, and no entry of jitid stays."""

from __future__ import annotations

import json
import os
import stat
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jitid.capabilities.setup import change, change_record, client_file, jsonc
from jitid.capabilities.setup.client import SetupRequest
from jitid.capabilities.setup.client_list import CLIENTS
from jitid.errors import ConfigurationError, JitidError, StorageError
from tests.capabilities.setup.test_jsonc import SCALARS, content_of, documents
from tests.real import need_root, tmpfs

GATEWAY = "http://127.0.0.1:9"


@contextmanager
def at_home(folder: Path) -> Iterator[None]:
    """Make a folder the home, for the files of clients and the records about them."""
    kept = dict(os.environ)
    os.environ.update(HOME=str(folder))
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "CLAUDE_CONFIG_DIR", "CODEX_HOME", "KUBECONFIG"):
        os.environ.pop(name, None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    with at_home(tmp_path):
        yield tmp_path


def request(home: Path, **more: Any) -> SetupRequest:
    values: dict[str, Any] = {"gateway": GATEWAY, "servers": (("docs", "https://mcp.example/mcp"),)}
    return SetupRequest(("jitid",), **{**values, "environ": {"HOME": str(home)}, **more})


def set_up(client: str, wanted: SetupRequest) -> list[change.FileChange]:
    with client_file.locked(change_record.folder()):
        planned = change.plan_setup(CLIENTS[client], wanted)
        change.check(planned)
        change.carry_out(planned)
    return planned


def undo(client: str, home: Path) -> list[change.FileChange]:
    with client_file.locked(change_record.folder()):
        planned = change.plan_undo(CLIENTS[client], request(home, gateway=None, servers=()))
        change.check(planned)
        change.carry_out(planned)
    return planned


def records(home: Path) -> list[Path]:
    """Return the records of changes."""
    return sorted((home / ".local/state/jitid/setup").glob("*.json*"))


# Layouts of settings with everything that the entries of jitid touch.
HOOK = {"hooks": [{"type": "command", "command": "mine"}]}
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "apiKeyHelper": st.just("my-helper --x"),
        "env": st.dictionaries(st.sampled_from(["A", "ANTHROPIC_BASE_URL"]), st.just("http://old.example")),
        "hooks": st.dictionaries(
            st.sampled_from(["SessionStart", "SubagentStop", "Stop"]),
            st.lists(st.just(HOOK), max_size=2),
            max_size=3,
        ),
        "model": SCALARS,
    },
)


@st.composite
def settings_texts(draw: st.DrawFn) -> str:
    content = draw(SETTINGS)
    text, _ = draw(documents(st.just(content) if content else SCALARS))
    root = jsonc.parse(text)
    assert root is not None
    # The settings themselves, as the root or in any layout inside of one.
    inner = next((item.node for item in root.items if item.node.kind == "object"), root)
    return text[inner.start : inner.end] if inner is not root else text


@settings(deadline=None, max_examples=150)
@given(settings_texts(), st.booleans())
def test_undo_restores_every_byte_after_any_number_of_setups(text: str, twice: bool) -> None:
    with TemporaryDirectory() as name, at_home(home := Path(name)):
        path = home / ".claude/settings.json"
        path.parent.mkdir()
        path.write_bytes(text.encode())
        before = content_of(text)
        set_up("claude-code", request(home))
        once = path.read_bytes()
        after = content_of(once.decode())
        assert after["apiKeyHelper"].startswith(f"jitid helper token --audience {GATEWAY} ")
        for member, value in before.items():
            if member not in ("apiKeyHelper", "env", "hooks"):
                assert after[member] == value
        for event, groups in before.get("hooks", {}).items():
            assert after["hooks"][event][: len(groups)] == groups
        set_up("claude-code", request(home))
        assert path.read_bytes() == once
        if twice:
            set_up("claude-code", request(home, gateway="http://127.0.0.1:10", options=("--task", "T")))
            assert GATEWAY not in path.read_text()
        undo("claude-code", home)
        assert path.read_bytes() == text.encode()
        assert not (home / ".claude.json").exists()
        assert records(home) == []


@settings(deadline=None, max_examples=100)
@given(settings_texts(), st.sampled_from(["mine", "a", "model"]), SCALARS, st.booleans())
def test_undo_after_an_edit_leaves_the_edit_and_removes_the_entries_of_jitid(
    text: str, member: str, value: Any, forgotten: bool
) -> None:
    with TemporaryDirectory() as name, at_home(home := Path(name)):
        path = home / ".claude/settings.json"
        path.parent.mkdir()
        path.write_bytes(text.encode())
        before = content_of(text)
        set_up("claude-code", request(home))
        edited = path.read_bytes().decode()
        splices = jsonc.setting(edited, [member], value)
        path.write_bytes(jsonc_applied(edited, splices).encode())
        if forgotten:
            for entry in records(home):
                entry.unlink()
        undo("claude-code", home)
        left = content_of(path.read_bytes().decode())
        if not forgotten:
            assert left == {**before, member: value}
        assert "jitid" not in path.read_text()
        assert left[member] == value


def jsonc_applied(text: str, splices: Any) -> str:
    from jitid.capabilities.setup.splice import applied

    return applied(text, splices)


def test_a_member_that_somebody_changed_stays_and_is_reported(home: Path) -> None:
    set_up("claude-code", request(home))
    path = home / ".claude/settings.json"
    path.write_text(path.read_text().replace('"300000"', '"1000"'))
    (planned, _) = undo("claude-code", home)
    assert [entry.path for entry in planned.kept] == [("env", "CLAUDE_CODE_API_KEY_HELPER_TTL_MS")]
    assert json.loads(path.read_text()) == {"env": {"CLAUDE_CODE_API_KEY_HELPER_TTL_MS": "1000"}}


def test_a_second_undo_changes_nothing(home: Path) -> None:
    set_up("claude-code", request(home))
    undo("claude-code", home)
    assert not any(each.changes for each in undo("claude-code", home))


@pytest.mark.parametrize(
    "text",
    [
        "",
        '# mine\n\nmodel = "o"\n\n[tui]\ntheme = "x"\n',
        'model = "o" # c\nmodel_provider = "mine"  # why\n[model_providers.mine]\nbase_url = "https://a.example"',
        "[a]\r\nb = 1\r\n",
        '\ufeff# c\nx = """\nmodel_provider = "not me"\n"""\n[[l]]\ny = 1\n',
        'model_providers = { mine = { base_url = "x" } }\n',
    ],
)
def test_a_configuration_of_codex_is_restored_byte_for_byte(home: Path, text: str) -> None:
    path = home / ".codex/config.toml"
    path.parent.mkdir()
    path.write_bytes(text.encode())
    if text.startswith("model_providers = {"):
        with pytest.raises(ConfigurationError, match="does not allow"):
            set_up("codex", request(home))
        assert path.read_bytes() == text.encode()
        return
    set_up("codex", request(home))
    changed = tomllib.loads(path.read_bytes().decode().removeprefix("\ufeff"))
    expected = tomllib.loads(text.removeprefix("\ufeff"))
    assert changed["model_provider"] == "jitid"
    assert changed["model_providers"]["jitid"]["auth"]["command"] == "jitid"
    assert {key: value for key, value in changed.items() if key in expected} | {"model_provider": 0} == {
        **{key: changed[key] if key == "model_providers" else value for key, value in expected.items()},
        "model_provider": 0,
    }
    once = path.read_bytes()
    set_up("codex", request(home))
    assert path.read_bytes() == once
    # An edit of another line: the entries of jitid go, the edit stays.
    path.write_bytes(once + b"\n[mine_too]\nz = 1\n")
    undo("codex", home)
    assert tomllib.loads(path.read_bytes().decode().removeprefix("\ufeff")) == {
        **expected,
        "mine_too": {"z": 1},
    }
    path.write_bytes(text.encode())
    set_up("codex", request(home))
    undo("codex", home)
    assert path.read_bytes() == text.encode()


def test_a_key_that_somebody_added_to_the_provider_stays(home: Path) -> None:
    set_up("codex", request(home))
    path = home / ".codex/config.toml"
    path.write_text(
        path.read_text().replace('wire_api = "responses"\n', 'wire_api = "responses"\nmine = 3\n')
    )
    undo("codex", home)
    assert tomllib.loads(path.read_text()) == {"model_providers": {"jitid": {"mine": 3}}}


@pytest.mark.parametrize(
    "text",
    ["", "[user]\n\tname = a\n[credential]\n\thelper = store", "[core]\r\n\teditor = vi\r\n", "# c\n"],
)
def test_a_configuration_of_git_is_restored_byte_for_byte(home: Path, text: str) -> None:
    path = home / ".gitconfig"
    path.write_bytes(text.encode())
    wanted = request(home, gateway=None, servers=(), hosts=("https://git.example",))
    set_up("git", wanted)
    once = path.read_bytes()
    set_up("git", wanted)
    assert path.read_bytes() == once
    undo("git", home)
    assert path.read_bytes() == text.encode()
    path.write_bytes(once + b"[mine]\n\ta = 1\n")
    for entry in records(home):
        entry.unlink()
    undo("git", home)
    assert (
        path.read_text().replace("\r", "").strip()
        == f"{text}\n[mine]\n\ta = 1".replace("\r", "").replace("\n\n", "\n").strip()
    )


def test_the_profile_of_aws_keeps_what_it_has(home: Path) -> None:
    path = home / ".aws/config"
    path.parent.mkdir()
    text = "[profile deploy]\nregion = eu-central-1\n\n[profile b]\nregion = x\n"
    path.write_text(text)
    wanted = request(home, gateway=None, servers=(), template="deploy", name="deploy")
    set_up("aws", wanted)
    assert path.read_text().splitlines()[:3] == [
        "[profile deploy]",
        "credential_process = jitid helper aws --template deploy",
        "region = eu-central-1",
    ]
    path.write_text(path.read_text() + "output = json\n")
    undo("aws", home)
    assert path.read_text() == text + "output = json\n"


def test_a_profile_of_aws_with_a_process_of_its_own_is_refused(home: Path) -> None:
    path = home / ".aws/config"
    path.parent.mkdir()
    path.write_text("[profile deploy]\ncredential_process = mine\n")
    with pytest.raises(ConfigurationError, match="another `credential_process`"):
        set_up("aws", request(home, gateway=None, servers=(), template="deploy", name="deploy"))
    assert path.read_text() == "[profile deploy]\ncredential_process = mine\n"


KUBECONFIGS = [
    "",
    "apiVersion: v1\nkind: Config\nusers: []\n",
    "apiVersion: v1\nkind: Config\nusers: null # none\ncontexts: []\n",
    "apiVersion: v1\nkind: Config\nclusters: []",
    "apiVersion: v1\nusers:\n- name: a\n  user:\n    token: abc\ncontexts:\n- name: c\n",
    "apiVersion: v1\r\nusers:\r\n  # c\r\n  - name: a\r\n    user: {}\r\n",
    '{"apiVersion": "v1", "users": [{"name": "a", "user": {}}]}',
]


@pytest.mark.parametrize("text", KUBECONFIGS)
def test_a_kubeconfig_is_restored_byte_for_byte(home: Path, text: str) -> None:
    path = home / ".kube/config"
    path.parent.mkdir()
    path.write_bytes(text.encode())
    wanted = request(home, gateway=None, servers=())
    set_up("kube", wanted)
    once = path.read_bytes()
    assert once != text.encode()
    set_up("kube", wanted)
    assert path.read_bytes() == once
    undo("kube", home)
    assert path.read_bytes() == text.encode()
    # Without a record, the user is found by its command.
    path.write_bytes(once + (b"" if text.startswith("{") else b"# mine\n"))
    undo("kube", home)
    assert b"helper" not in path.read_bytes()


@pytest.mark.parametrize(
    "text",
    [
        "users: [{name: a}]\n",
        "---\nusers:\n- name: a\n---\nusers: []\n",
        "users: &u\n- name: a\n",
        "users: []\nusers: []\n",
        "- a\n",
    ],
)
def test_a_kubeconfig_in_an_unusual_form_is_left_to_kubectl(home: Path, text: str) -> None:
    path = home / ".kube/config"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="a form that only kubectl can change; nothing was changed"):
        set_up("kube", request(home, gateway=None, servers=()))
    assert path.read_text() == text


def test_a_user_of_the_same_name_is_refused(home: Path) -> None:
    path = home / ".kube/config"
    path.parent.mkdir()
    path.write_text("users:\n- user: {}\n  name: jitid\n")
    with pytest.raises(ConfigurationError, match="its user `jitid` is not of jitid"):
        set_up("kube", request(home, gateway=None, servers=()))


def test_a_link_stays_a_link_and_the_mode_of_its_target_stays(home: Path) -> None:
    target = home / "dotfiles/settings.json"
    target.parent.mkdir()
    target.write_text("{}\n")
    target.chmod(0o640)
    link = home / ".claude/settings.json"
    link.parent.mkdir()
    link.symlink_to("../dotfiles/settings.json")
    set_up("claude-code", request(home))
    assert link.is_symlink()
    assert "jitid helper" in target.read_text()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    undo("claude-code", home)
    assert link.is_symlink()
    assert target.read_text() == "{}\n"


def test_a_new_file_is_private_and_goes_with_the_folders_that_were_made_for_it(home: Path) -> None:
    set_up("vscode", request(home, gateway=None))
    path = home / ".config/Code/User/mcp.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    undo("vscode", home)
    assert not (home / ".config").exists()


def test_a_folder_in_which_somebody_made_a_file_stays(home: Path) -> None:
    set_up("vscode", request(home, gateway=None))
    (home / ".config/Code/mine").touch()
    undo("vscode", home)
    assert [entry.name for entry in (home / ".config/Code").iterdir()] == ["mine"]


def _read_only(path: Path) -> None:
    path.chmod(0o444)


def _hard_link(path: Path) -> None:
    os.link(path, path.with_name("second"))


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _latin(path: Path) -> None:
    path.write_bytes(b'{"a": "\xe9"}')


def _wide(path: Path) -> None:
    path.write_text("{}", encoding="utf-16")


def _twice(path: Path) -> None:
    path.write_text('{"a": 1,\n"a": 2}')


def _secret(path: Path) -> None:
    path.write_text('{"apiKeyHelper": "echo sk-ant-0123456789abcdef"}')


def _other(path: Path) -> None:
    path.write_text('{"hooks": []}')


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (_read_only, "is read-only; nothing was changed"),
        (_hard_link, "has 2 hard links"),
        (_folder, "is not a regular file"),
        (_latin, "is not UTF-8"),
        (_wide, "is not UTF-8"),
        (_twice, "line 2: two members have the name `a`; nothing was changed"),
        (_secret, "`apiKeyHelper` looks like a secret"),
        (_other, "`hooks` is not an object"),
    ],
)
def test_a_file_that_cannot_be_changed_safely_is_refused_and_stays(
    home: Path, prepare: Any, reason: str
) -> None:
    path = home / ".claude/settings.json"
    path.parent.mkdir()
    path.write_text("{}")
    prepare(path)
    before = None if path.is_dir() else path.read_bytes()
    with pytest.raises(JitidError) as refused:
        set_up("claude-code", request(home))
    assert reason in refused.value.message
    assert before is None or path.read_bytes() == before
    assert not (home / ".claude.json").exists()
    assert "sk-ant" not in refused.value.message


def test_a_file_of_another_user_is_refused(home: Path) -> None:
    need_root()
    path = home / ".claude/settings.json"
    path.parent.mkdir()
    path.write_text("{}")
    os.chown(path, 65534, 65534)
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        set_up("claude-code", request(home))


def test_a_change_of_another_program_between_reading_and_writing_is_noticed(home: Path) -> None:
    path = home / ".claude/settings.json"
    path.parent.mkdir()
    path.write_text("{}")
    planned = change.plan_setup(CLIENTS["claude-code"], request(home))
    path.write_text('{"mine": 1}')
    with (
        client_file.locked(change_record.folder()),
        pytest.raises(StorageError, match="another program changed"),
    ):
        change.carry_out(planned)
    assert path.read_text() == '{"mine": 1}'
    # The record of the change that was not made does no harm.
    assert not any(each.changes for each in undo("claude-code", home))
    assert path.read_text() == '{"mine": 1}'


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", "size=64k") as disk, at_home(tmp_path):
        path = disk / "settings.json"
        path.write_text("{}")
        (disk / "fill").write_bytes(b"x" * (56 << 10))
        with pytest.raises(JitidError):
            wanted = request(tmp_path, environ={"HOME": str(tmp_path), "CLAUDE_CONFIG_DIR": str(disk)})
            wanted = wanted._replace(options=("--task", "T" * 4000))
            set_up("claude-code", wanted)
        assert path.read_text() == "{}"
        assert sorted(entry.name for entry in disk.iterdir()) == ["fill", "settings.json"]


def test_a_killed_setup_leaves_a_record_with_which_undo_works(home: Path) -> None:
    path = home / ".claude/settings.json"
    path.parent.mkdir()
    path.write_text("{}")
    set_up("claude-code", request(home))
    # Two setups are killed between their records and their changes.
    for port in (10, 11):
        wanted = request(home, gateway=f"http://127.0.0.1:{port}")
        for each in change.plan_setup(CLIENTS["claude-code"], wanted):
            if each.new_record is not None and each.changes:
                change_record.save(each.new_record)
        assert str(path) in [each.path for each in change_record.all_of("claude-code")]
    undo("claude-code", home)
    assert path.read_text() == "{}"


def test_a_file_that_the_user_deleted_is_made_again(home: Path) -> None:
    set_up("claude-code", request(home))
    path = home / ".claude/settings.json"
    path.unlink()
    assert not any(each.changes for each in change.plan_undo(CLIENTS["claude-code"], request(home))[:1])
    assert [each.kept for each in set_up("claude-code", request(home))] == [[], []]
    undo("claude-code", home)
    assert not path.parent.exists()


def test_the_record_holds_nothing_of_the_rest_of_the_file(home: Path) -> None:
    path = home / ".claude/settings.json"
    path.parent.mkdir()
    path.write_text(
        '{"env": {"SECRET": "hunter2", "ANTHROPIC_API_KEY": "sk-ant-0123456789abcdef"}, "z": "hunter3"}'
    )
    set_up("claude-code", request(home))
    for entry in records(home):
        assert stat.S_IMODE(entry.stat().st_mode) == 0o600
        assert [stat.S_IMODE(folder.stat().st_mode) for folder in entry.parents[:2]] == [0o700, 0o700]
        assert "hunter" not in entry.read_text()
        assert "sk-ant" not in entry.read_text()


SECRET_PLACES = {
    "a key": ("opencode", {"provider": {"anthropic": {"options": {"apiKey": "gw-3f9a8c7711deadbeef00"}}}}),
    "a header": (
        "opencode",
        {"provider": {"anthropic": {"options": {"headers": {"Authorization": "hunter2hunter2"}}}}},
    ),
    "an argument": ("claude-code", {"apiKeyHelper": "printf s3cretvalue998877"}),
    "an attached argument": ("claude-code", {"apiKeyHelper": "mine --key=s3cretvalue998877"}),
    "a query": ("claude-code", {"env": {"ANTHROPIC_BASE_URL": "https://a.example/?k=verysecretquery1"}}),
    "a login": ("claude-code", {"env": {"ANTHROPIC_BASE_URL": "https://hunter2hunter2@a.example"}}),
    "a path": (
        "claude-code",
        {"env": {"ANTHROPIC_BASE_URL": "https://a.example/s/9f8a7b6c5d4e3f2a1b0c9d8e"}},
    ),
    "a variable": ("claude-code", {"env": {"CLAUDE_CODE_API_KEY_HELPER_TTL_MS": "hunter2hunter2"}}),
}


@pytest.mark.parametrize("place", SECRET_PLACES)
def test_a_value_that_may_be_a_secret_by_its_place_is_neither_replaced_nor_recorded(
    home: Path, place: str
) -> None:
    client, content = SECRET_PLACES[place]
    path = home / (".claude/settings.json" if client == "claude-code" else ".config/opencode/opencode.json")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigurationError, match="looks like a secret") as refused:
        set_up(client, request(home))
    assert json.loads(path.read_text()) == content
    assert records(home) == []
    assert "cret" not in refused.value.message.replace("a secret", "").replace("no secret", "")


def test_the_address_of_a_server_with_a_query_is_not_recorded(home: Path) -> None:
    path = home / ".claude.json"
    text = '{"mcpServers": {"docs": {"url": "https://mcp.example/mcp?k=verysecretquery1"}}}'
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"`mcpServers\.docs\.url` looks like a secret"):
        set_up("claude-code", request(home))
    assert path.read_text() == text


@pytest.mark.parametrize("key", ["{env:MY_KEY}", "{file:~/.key}", "{file:{env:TOKEN_FILE}}"])
def test_a_reference_to_a_secret_is_replaced_and_restored(home: Path, key: str) -> None:
    path = home / ".config/opencode/opencode.json"
    path.parent.mkdir(parents=True)
    text = json.dumps({"provider": {"anthropic": {"options": {"apiKey": key}}}})
    path.write_text(text)
    set_up("opencode", request(home))
    undo("opencode", home)
    assert path.read_text() == text


def test_a_damaged_record_is_refused(home: Path) -> None:
    set_up("claude-code", request(home))
    for path in records(home):
        path.write_text('{"schema": 1}')
    with pytest.raises(ConfigurationError, match="cannot be read; nothing was changed"):
        undo("claude-code", home)
    assert "jitid helper" in (home / ".claude/settings.json").read_text()


def test_a_large_file_is_changed_in_one_place(home: Path) -> None:
    path = home / ".claude.json"
    rows = ",\n".join(f'    "{number}": {{"text": "{"x" * 80}"}}' for number in range(45_000))
    text = f'{{\n  "projects": {{\n{rows}\n  }}\n}}\n'
    assert len(text) > 4_500_000
    path.write_text(text)
    set_up("claude-code", request(home))
    assert path.read_text().startswith(text[:-4])
    assert content_of(path.read_text())["mcpServers"]["docs"]["headersHelper"].startswith(
        "jitid helper headers"
    )
    undo("claude-code", home)
    assert path.read_text() == text


def test_a_second_process_waits_for_the_lock(home: Path) -> None:
    folder = str(home / "state")
    with client_file.locked(folder):
        descriptor = os.open(f"{folder}/lock", os.O_RDWR)
        import fcntl

        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)


SHARED: list[tuple[str, dict[str, Any]]] = [("mcp", {}), ("copilot", {"project": True})]
SERVER = {"mcp": (("a", "https://a.example/mcp"),), "copilot": (("c", "https://c.example/mcp"),)}
"""A separate server for each client."""


@pytest.mark.parametrize(
    "before", [None, b'{"mcpServers": {\r\n\t"x": {},\r\n}}', b"{}", b'{\n  "a": 1 // one\n}\n']
)
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("names", [("a", "b"), ("b", "a"), ("a", "a")])
@pytest.mark.parametrize("servers", [False, True])
@pytest.mark.parametrize("clients", [SHARED, SHARED[::-1]], ids=["mcp-first", "copilot-first"])
def test_two_clients_of_one_file_are_undone_in_any_order(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: bytes | None,
    order: tuple[int, int],
    again: bool,
    names: tuple[str, str],
    servers: bool,
    clients: list[tuple[str, dict[str, Any]]],
) -> None:
    """Byte for byte, also if both have an entry of one name; that of the client that stays is in force."""
    folder = home / "repo"
    folder.mkdir()
    monkeypatch.chdir(folder)
    path = folder / ".mcp.json"
    if before is not None:
        path.write_bytes(before)
    lines = [
        (client, {**more, "name": f"n-{name}", "gateway": None})
        for (client, more), name in zip(clients, names, strict=True)
    ]
    own = SERVER if servers else dict.fromkeys(SERVER, ())
    for client, more in lines:
        set_up(client, request(home, **more, servers=own[client]))
    if again:
        client, more = lines[0]
        set_up(client, request(home, **more, servers=(("docs", "https://mcp.example/mcp"),)))
    first, second = (lines[number] for number in order)
    assert not any(each.kept for each in undo(first[0], home))
    states = change.states(CLIENTS[second[0]], request(home, **second[1], servers=()))
    assert [state.state for state in states if state.path == str(path)] == ["in-force"]
    assert not any(each.kept for each in undo(second[0], home))
    assert (path.read_bytes() if path.exists() else None) == before
    assert records(home) == []


@pytest.mark.parametrize("before", [None, b"{}", b'{"mcpServers": {"x": {}}}'])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("name", ["n-a", "n-b"])
def test_two_clients_of_a_file_in_another_layout_leave_what_was_there(
    home: Path, monkeypatch: pytest.MonkeyPatch, before: bytes | None, order: tuple[int, int], name: str
) -> None:
    """An editor may write the file again: the last undo removes the containers that the first setup has made."""
    folder = home / "repo"
    folder.mkdir()
    monkeypatch.chdir(folder)
    path = folder / ".mcp.json"
    if before is not None:
        path.write_bytes(before)
    set_up("mcp", request(home, gateway=None, name="n-a", servers=SERVER["mcp"]))
    set_up("copilot", request(home, gateway=None, name=name, project=True, servers=SERVER["copilot"]))
    path.write_text(json.dumps(json.loads(path.read_text()), indent=7))
    for number in order:
        assert not any(each.kept for each in undo(SHARED[number][0], home))
    assert (json.loads(path.read_text()) if path.exists() else None) == (before and json.loads(before))
    assert records(home) == []


ONE_FILE: dict[str, dict[str, Any]] = {
    "claude-code": {"project": True, "tools": True},
    "copilot": {"project": True},
    "mcp": {},
}
"""The clients that read `.mcp.json`."""


def in_force(client: str, home: Path) -> list[str]:
    """Return the states of the shared file for a client."""
    wanted = request(home, **ONE_FILE[client], gateway=None, servers=())
    path = str(home / "repo/.mcp.json")
    return [state.state for state in change.states(CLIENTS[client], wanted) if state.path == path]


@pytest.mark.parametrize(
    "before",
    [
        None,
        b"{ }",
        b'{\n  "mcpServers": {"docs": {"url": "https://old.example/mcp"}}, // mine\n}\n',
        b'{"mcpServers": {"x": {}}}',
    ],
)
@pytest.mark.parametrize("order", [*permutations(ONE_FILE)], ids="-".join)
@pytest.mark.parametrize("reversed_undo", [False, True])
@pytest.mark.parametrize("layout", [None, 7])
def test_clients_of_one_file_share_the_entries_that_both_need(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: bytes | None,
    order: tuple[str, ...],
    reversed_undo: bool,
    layout: int | None,
) -> None:
    """No setup disturbs another one, and each entry stays until the last client that needs it is undone."""
    folder = home / "repo"
    folder.mkdir()
    monkeypatch.chdir(folder)
    path = folder / ".mcp.json"
    if before is not None:
        path.write_bytes(before)
    for _ in range(2):
        for client in order:
            done = set_up(client, request(home, **ONE_FILE[client], gateway=None))
            assert in_force(client, home) == ["in-force"]
    assert not any(each.changes for each in done)
    if layout is not None:
        path.write_text(json.dumps(content_of(path.read_text()), indent=layout))
    left = list(order)
    while left:
        assert {client: in_force(client, home) for client in left} == {key: ["in-force"] for key in left}
        client = left.pop(-1 if reversed_undo else 0)
        assert not any(each.kept for each in undo(client, home))
    if layout is None or before is None:
        assert (path.read_bytes() if path.exists() else None) == before
    else:
        assert content_of(path.read_text()) == content_of(before.decode())
    assert records(home) == []


DOCS_AND_MORE = (("docs", "https://mcp.example/mcp"), ("more", "https://two.example/mcp"))


@pytest.mark.parametrize("order", [*permutations(ONE_FILE)], ids="-".join)
def test_an_entry_that_another_client_replaced_by_its_own_is_in_force(
    home: Path, monkeypatch: pytest.MonkeyPatch, order: tuple[str, ...]
) -> None:
    """Each with other options; the next setup of one of them ends nothing for the others."""
    folder = home / "repo"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for _ in range(2):
        for number, client in enumerate(order):
            wanted = request(home, **ONE_FILE[client], gateway=None)
            set_up(client, wanted._replace(command=("jitid", "--ledger", f"/l/{number}")))
    assert {client: in_force(client, home) for client in order} == {key: ["in-force"] for key in order}
    (folder / ".mcp.json").write_text('{"mcpServers": {"jitid": {"command": "mine"}}}')
    assert {client: in_force(client, home) for client in order} == {key: ["edited"] for key in order}


@pytest.mark.parametrize(
    "steps",
    [
        (
            "copilot b",
            "mcp b docs",
            "-mcp",
            "layout",
            "claude-code b more",
            "-claude-code",
            "layout",
            "mcp b",
        ),
        ("mcp a more", "layout", "claude-code a", "mcp a"),
        (
            "mcp b docs",
            "claude-code a",
            "layout",
            "mcp a docs more",
            "claude-code b more",
            "mcp b",
        ),
    ],
)
def test_an_entry_of_two_clients_goes_with_the_last_one_whatever_they_changed_between(
    home: Path, monkeypatch: pytest.MonkeyPatch, steps: tuple[str, ...]
) -> None:
    folder = home / "repo"
    folder.mkdir()
    monkeypatch.chdir(folder)
    path = folder / ".mcp.json"
    path.write_text("{}")
    for step in steps:
        client, *names = step.split()
        if step == "layout":
            path.write_text(json.dumps(content_of(path.read_text()), indent=7))
        elif client.startswith("-"):
            undo(client[1:], home)
        else:
            servers = tuple(each for each in DOCS_AND_MORE if each[0] in names)
            set_up(
                client, request(home, **ONE_FILE[client], gateway=None, name=f"n-{names[0]}", servers=servers)
            )
    for client in ("claude-code", "copilot", "mcp"):
        assert not any(each.kept for each in undo(client, home))
    assert (content_of(path.read_text()), records(home)) == ({}, [])


def test_the_undo_of_a_client_that_was_never_set_up_leaves_the_entries_of_another_one(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = home / "repo"
    folder.mkdir()
    monkeypatch.chdir(folder)
    set_up("copilot", request(home, gateway=None, project=True, servers=SERVER["copilot"]))
    before = (folder / ".mcp.json").read_bytes()
    assert not any(each.changes for each in undo("mcp", home))
    assert (folder / ".mcp.json").read_bytes() == before
    assert not any(each.kept for each in undo("copilot", home))
    assert not (folder / ".mcp.json").exists()


def test_an_entry_that_somebody_removed_is_not_reported_as_one_that_stays(home: Path) -> None:
    set_up("vscode", request(home, gateway=None))
    path = home / ".config/Code/User/mcp.json"
    content = json.loads(path.read_text())
    del content["servers"]["jitid"]
    path.write_text(json.dumps(content))
    assert not any(each.kept for each in undo("vscode", home))
    assert not path.exists()


def test_the_record_of_a_client_that_takes_a_name_holds_nothing_that_a_person_wrote_there(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry that calls jitid, and is of no other client, is replaced without a copy."""
    folder = home / "repo"
    folder.mkdir()
    monkeypatch.chdir(folder)
    path = folder / ".mcp.json"
    mine = {"command": "jitid", "args": ["mcp"], "env": {"KEY": "hunter2hunter2"}}
    path.write_text(json.dumps({"mcpServers": {"jitid": mine}}))
    set_up("copilot", request(home, gateway=None, project=True, name="other", servers=()))
    set_up("mcp", request(home, gateway=None, servers=()))
    assert len(records(home)) == 2
    assert not any("hunter2" in each.read_text() for each in records(home))
    assert "hunter2" not in path.read_text()


def test_a_client_that_is_set_up_again_in_another_layout_leaves_what_was_there(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The containers that its first setup has made go with the last entry in them."""
    folder = home / "repo"
    folder.mkdir()
    monkeypatch.chdir(folder)
    path = folder / ".mcp.json"
    path.write_text('{"a": 1}')
    set_up("mcp", request(home, gateway=None, name="n-a", servers=()))
    set_up("copilot", request(home, gateway=None, name="n-b", project=True, servers=()))
    path.write_text(json.dumps(json.loads(path.read_text()), indent=7))
    set_up("mcp", request(home, gateway=None, name="n-c", servers=()))
    undo("mcp", home)
    undo("copilot", home)
    assert json.loads(path.read_text()) == {"a": 1}
    assert records(home) == []
