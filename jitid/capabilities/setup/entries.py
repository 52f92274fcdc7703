"""Entries in a client's file of any form: each is added, found again and removed."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, assert_never

from jitid.capabilities.setup import jsonc, kube_text, line_text, toml_text
from jitid.capabilities.setup.splice import ClientFileError, Splice, applied
from jitid.redaction.token_format import masked
from jitid.values.record import Record
from jitid.values.text import MARK, quote


class Form(Enum):
    """The form of a client's file."""

    JSON = "json"
    TOML = "toml"
    GIT = "git"
    AWS = "aws"
    KUBE = "kube"


class Entry(Record):
    """A value at a path of names: of JSON, TOML, or lines of a section."""

    path: tuple[str, ...]
    value: Any
    append: bool = False
    """Whether it is an element of the array at the path."""
    keep: bool = False
    """Whether a value that is there already stays."""


class AddedEntry(Record):
    """An entry in a file, with the facts for its removal."""

    entry: Entry
    previous: str | None = None
    """The text of the value that it replaced."""
    depth: int = 0
    """The number of names of its path whose containers were there before."""


class Added(Record):
    """A text with an entry, and the changes that led to it: none if the entry was there already."""

    text: str
    splices: list[Splice]
    added: AddedEntry | None


def is_jitid(words: Sequence[str], *verbs: str) -> bool:
    """Return whether the words of a command call one of the verbs of jitid."""
    for index, word in enumerate(words):
        if word.rpartition("/")[2] == "jitid":
            return any(verb in words[index + 1 :] for verb in verbs)
    return False


def is_jitid_line(line: object, *verbs: str) -> bool:
    """Return whether a command line of a shell calls one of the verbs of jitid."""
    if not isinstance(line, str) or "jitid" not in line:
        return False
    try:
        return is_jitid(shlex.split(line), *verbs)
    except ValueError:
        return False


_KNOWN_SECRET = re.compile(
    r"\b(?:sk-|sk_|gh[opsu]_|github_pat_|glpat-|xox[a-z]-|AKIA|ASIA|AIza|hf_|npm_|pypi-)[A-Za-z0-9_-]{8}|(?i:bearer)\s+\S{8}"
)


def may_hold_secret(text: str) -> bool:
    """Return whether a text has a part with the form of a secret."""
    return masked(text, wide=True) != text or _KNOWN_SECRET.search(text) is not None


def add(form: Form, text: str, entry: Entry) -> Added:
    """Return a text with an entry. Raises ClientFileError."""
    previous: str | None = None
    depth = 0
    match form:
        case Form.JSON:
            root = jsonc.parse(text)
            present = jsonc.value_at(root, entry.path)
            if (entry.append and isinstance(present, list) and entry.value in present) or (
                not entry.append and present is not None and (entry.keep or _same(present, entry.value))
            ):
                return Added(text, [], None)
            node = jsonc.node_at(root, entry.path)
            if node is not None and not entry.append:
                _check_replaceable(entry, node.decoded(), text[node.start : node.end])
                previous = text[node.start : node.end]
            depth = _depth(root, entry.path)
            put = jsonc.appending if entry.append else jsonc.setting
            splices = put(text, entry.path, entry.value)
        case Form.TOML:
            content = toml_text.parse(text)
            present = toml_text.value_at(content, entry.path)
            if present is not None and _same(present, entry.value):
                return Added(text, [], None)
            splices = toml_text.setting(text, entry.path, entry.value) if present is None else []
            if present is not None:
                splices = toml_text.setting(text, entry.path, entry.value)
                previous = splices[0].removed
                _check_replaceable(entry, present, previous)
        case Form.GIT:
            if line_text.present(text, entry.path[0], entry.value[-1]):
                return Added(text, [], None)
            splices = line_text.appended(text, entry.path[0], entry.value, gap=False)
        case Form.AWS:
            if line_text.present(text, entry.path[0], entry.value[-1]):
                return Added(text, [], None)
            splices = line_text.inserted(text, entry.path[0], entry.value)
        case Form.KUBE:
            if _is_json(text):
                users = Entry(
                    ("users",), {"name": entry.path[-1], "user": {"exec": entry.value}}, append=True
                )
                return add(Form.JSON, text, users)
            if kube_text.removing(text, entry.path[-1], entry.value) is not None:
                return Added(text, [], None)
            splices = kube_text.adding(text, entry.path[-1], entry.value)
        case _:
            assert_never(form)
    return Added(applied(text, splices), splices, AddedEntry(entry, previous, depth))


def _same(left: object, right: object) -> bool:
    # True == 1 in Python, and not in JSON.
    return json.dumps(left, sort_keys=True, default=str) == json.dumps(right, sort_keys=True, default=str)


def _check_replaceable(entry: Entry, value: object, text: str) -> None:
    """Raise ClientFileError for a value that the record of a change may not hold.

    The place decides which forms are harmless: any other value there may be a secret.
    """
    name = quote(".".join(entry.path))
    if isinstance(value, (Mapping, list)):
        raise ClientFileError(f"{name} has other content")
    if may_hold_secret(text) or (isinstance(value, str) and not _is_harmless(entry.path[-1], value)):
        raise ClientFileError(
            f"{name} looks like a secret, or a command with one, and jitid copies no secret: remove it first"
        )


_REFERENCE = re.compile(
    r"(?:(?i:bearer)\s)?(?:\$\{?[A-Z][A-Z0-9_]*\}?|\{(?:env:\w+|file:\{env:\w+\}|file:[~/][\w./-]*)\})"
)
_COMMAND = re.compile(r"[\w./~-]+(?: (?:-[A-Za-z]|--[A-Za-z][A-Za-z-]*))*", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,7}")
_SHORT_NAME = re.compile(r"[A-Za-z0-9_.-]{1,32}", re.ASCII)
_STEP = r"/(?:[A-Za-z_.-]{1,24}[0-9]{0,2})?"
_ADDRESS = re.compile(rf"https?://[A-Za-z0-9.-]+(?::[0-9]+)?(?:{_STEP})*", re.ASCII)
"""An address without a login, a query and long parts."""


def _is_harmless(name: str, value: str) -> bool:
    if _REFERENCE.fullmatch(value) or _NUMBER.fullmatch(value):
        return True
    match name:
        case "apiKeyHelper" | "headersHelper":
            # An argument of a command may be a secret.
            return _COMMAND.fullmatch(value) is not None
        case "url" | "baseURL" | "ANTHROPIC_BASE_URL":
            return _ADDRESS.fullmatch(value) is not None
        case "model_provider":
            return _SHORT_NAME.fullmatch(value) is not None
        case _:
            return False


def _depth(root: jsonc.Node | None, path: Sequence[str]) -> int:
    for depth in range(len(path)):
        if jsonc.node_at(root, path[: depth + 1]) is None:
            return depth
    return len(path)


def remove(form: Form, text: str, added: AddedEntry) -> str | None:
    """Return a text without an entry; None if the entry is missing or was changed.

    Raises ClientFileError.
    """
    entry = added.entry
    match form:
        case Form.JSON:
            return _without_json(text, added)
        case Form.TOML:
            splices = toml_text.removing(text, entry.path, entry.value, added.previous)
        case Form.GIT | Form.AWS:
            splices = line_text.removing(text, entry.path[0], entry.value)
        case Form.KUBE:
            splices = kube_text.removing(text, entry.path[-1], entry.value)
        case _:
            assert_never(form)
    return None if splices is None else applied(text, splices)


def _without_json(text: str, added: AddedEntry) -> str | None:
    entry = added.entry
    root = jsonc.parse(text)
    node = jsonc.node_at(root, entry.path)
    if root is None or node is None:
        return None
    if entry.append:
        item = next((item for item in reversed(node.items) if _same(item.node.decoded(), entry.value)), None)
        if node.kind != "array" or item is None:
            return None
        text = applied(text, jsonc.removing(text, node, item))
        return _pruned(text, entry.path, added.depth)
    if not _same(node.decoded(), entry.value):
        return None
    if added.previous is not None:
        return applied(text, [Splice(node.start, text[node.start : node.end], added.previous)])
    container = jsonc.node_at(root, entry.path[:-1])
    item = container.member(entry.path[-1]) if container is not None else None
    assert container is not None
    assert item is not None, "its value was found"
    text = applied(text, jsonc.removing(text, container, item))
    return _pruned(text, entry.path[:-1], added.depth)


def _pruned(text: str, path: Sequence[str], depth: int) -> str:
    """Return a text without the containers of a path that are empty now and were not there before."""
    for length in range(len(path), depth, -1):
        root = jsonc.parse(text)
        outer = jsonc.node_at(root, path[: length - 1])
        item = outer.member(path[length - 1]) if outer is not None else None
        if outer is None or item is None or item.node.items or item.node.kind == "scalar":
            break
        if text[item.node.start + 1 : item.node.end - 1].strip():
            # A comment of the user.
            break
        text = applied(text, jsonc.removing(text, outer, item))
    return text


def _is_json(text: str) -> bool:
    return text.removeprefix(MARK).lstrip().startswith("{")


def form_of(form: Form, text: str) -> Form:
    """Return the form of a text: a kubeconfig may be JSON."""
    return Form.JSON if form is Form.KUBE and _is_json(text) else form


def is_empty(form: Form, text: str) -> bool:
    """Return whether a text states nothing."""
    body = text.removeprefix(MARK).strip()
    return not body or (form is Form.JSON and re.fullmatch(r"\{\s*\}", body) is not None)


def present(form: Form, text: str, entry: Entry) -> bool:
    """Return whether a text has an entry unchanged. Raises ClientFileError."""
    try:
        return not add(form, text, entry).splices
    except ClientFileError:
        # The file is readable, and has something else in the place of the entry.
        if form is Form.JSON:
            jsonc.parse(text)
        elif form is Form.TOML:
            toml_text.parse(text)
        return False


def is_occupied(form: Form, text: str, entry: Entry) -> bool:
    """Return whether a text may have something else in the place of an entry. Raises ClientFileError."""
    if form is Form.JSON:
        return jsonc.node_at(jsonc.parse(text), entry.path) is not None
    if form is Form.TOML:
        return toml_text.value_at(toml_text.parse(text), entry.path) is not None
    return True


SERVERS = ("mcpServers", "servers", "mcp")
"""Names of the objects of MCP servers in the files of clients."""


def own(form: Form, text: str) -> list[AddedEntry]:
    """Return the entries of a text that call jitid: for a file about which nothing is recorded.

    Raises ClientFileError.
    """
    match form:
        case Form.JSON:
            return [AddedEntry(entry) for entry in _own_json(jsonc.value_at(jsonc.parse(text), ()))]
        case Form.TOML:
            return [AddedEntry(entry) for entry in _own_toml(toml_text.parse(text))]
        case Form.GIT | Form.AWS:
            return [AddedEntry(entry) for entry in _own_lines(form, text)]
        case Form.KUBE:
            return [AddedEntry(Entry(("users", name), exec_)) for name, exec_ in kube_text.own(text)]
        case _:
            assert_never(form)


def _own_json(content: Any) -> Iterator[Entry]:  # noqa: ANN401 - JSON may be anything
    if not isinstance(content, dict):
        return
    if is_jitid_line(content.get("apiKeyHelper"), "helper"):
        yield Entry(("apiKeyHelper",), content["apiKeyHelper"])
    hooks = content.get("hooks")
    for event, groups in (hooks if isinstance(hooks, dict) else {}).items():
        for group in groups if isinstance(groups, list) else ():
            commands = group.get("hooks") if isinstance(group, dict) else None
            if (
                isinstance(commands, list)
                and commands
                and all(
                    isinstance(hook, dict) and is_jitid_line(hook.get("command"), "helper")
                    for hook in commands
                )
            ):
                yield Entry(("hooks", event), group, append=True)
    for name in SERVERS:
        servers = content.get(name)
        for server, value in (servers if isinstance(servers, dict) else {}).items():
            if not isinstance(value, dict):
                continue
            if is_jitid(_words(value), "mcp"):
                yield Entry((name, server), value)
            elif is_jitid_line(value.get("headersHelper"), "helper"):
                yield Entry((name, server, "headersHelper"), value["headersHelper"])
    users = content.get("users")
    for user in users if isinstance(users, list) else ():
        plugin = (
            user.get("user", {}).get("exec")
            if isinstance(user, dict) and isinstance(user.get("user"), dict)
            else None
        )
        if isinstance(plugin, dict) and is_jitid(_words(plugin), "helper"):
            yield Entry(("users",), user, append=True)


def _words(server: Mapping[str, Any]) -> list[str]:
    command, words = server.get("command"), server.get("args")
    start = command if isinstance(command, list) else [command]
    return [word for word in (*start, *(words if isinstance(words, list) else ())) if isinstance(word, str)]


def _own_toml(content: Mapping[str, Any]) -> Iterator[Entry]:
    providers = content.get("model_providers")
    for name, provider in (providers if isinstance(providers, dict) else {}).items():
        auth = provider.get("auth") if isinstance(provider, dict) else None
        if isinstance(auth, dict) and is_jitid(_words(auth), "helper"):
            if content.get("model_provider") == name:
                yield Entry(("model_provider",), name)
            yield Entry(("model_providers", name), provider)
    servers = content.get("mcp_servers")
    for name, server in (servers if isinstance(servers, dict) else {}).items():
        if isinstance(server, dict) and (
            is_jitid(_words(server), "mcp") or is_jitid_line(server.get("http_headers_helper"), "helper")
        ):
            yield Entry(("mcp_servers", name), server)


_SECTION = re.compile(r"[ \t]*(\[[^\n\r]*\])[ \t]*")


def _own_lines(form: Form, text: str) -> Iterator[Entry]:
    header = ""
    for line in text.removeprefix(MARK).split("\n"):
        if found := _SECTION.fullmatch(line.rstrip("\r")):
            header = found[1]
            continue
        key, _, value = line.partition("=")
        value = value.strip()
        if form is Form.GIT and key.strip() == "helper":
            value = value.strip('"').replace('\\"', '"').removeprefix("!")
        elif form is Form.GIT or key.strip() != "credential_process":
            continue
        if header and is_jitid_line(value, "helper"):
            lines = [line.strip()] if form is Form.AWS else ["helper =", line.strip()]
            yield Entry((header,), lines)
