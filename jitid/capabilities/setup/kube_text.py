"""A user in a kubeconfig (YAML): added and removed as lines; every other line stays identical.

Only the usual form is changed: one document, with a list of users in block style. kubectl and all common tools write
it so. For any other form, kubectl makes the change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from jitid.capabilities.setup.splice import ClientFileError, Splice, lines_of, newline_of, terminated
from jitid.values.text import MARK, quote

_USERS = re.compile(r"^(?:users|\"users\"|'users')[ \t]*:[ \t]*(?P<rest>[^\r\n]*)", re.MULTILINE)
_EMPTY = re.compile(r"(?:\[[ \t]*\]|null|~)?[ \t]*(?:#.*)?")
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*(?<![./-])")
_WORDS = frozenset(("y", "n", "yes", "no", "true", "false", "null", "on", "off"))
"""Words that YAML 1.1 does not read as text."""
_NEW = "apiVersion: v1\nkind: Config\n"


def item_lines(name: str, exec_: dict[str, Any]) -> list[str]:
    """Return the lines of a user with an exec plug-in, as an item of a list."""
    lines = [f"- name: {_scalar(name)}", "  user:", "    exec:"]
    for key, value in exec_.items():
        if isinstance(value, list):
            lines += [f"      {key}:", *(f"      - {_scalar(word)}" for word in value)]
        else:
            lines.append(f"      {key}: {_scalar(value)}")
    return lines


def _scalar(value: object) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=True)


def adding(text: str, name: str, exec_: dict[str, Any]) -> list[Splice]:
    """Return the change that adds a user. Raises ClientFileError."""
    body = text.removeprefix(MARK)
    newline = newline_of(text)
    lines = item_lines(name, exec_)
    if not body.strip():
        new = (_NEW + "users:\n" + "\n".join(lines) + "\n").replace("\n", newline)
        return [Splice(len(text), "", terminated(text) + new)]
    _check_form(body)
    if named(text, name):
        raise ClientFileError(f"its user {quote(name)} is not of jitid")
    found = _USERS.search(text)
    if found is None:
        added = newline.join(("users:", *lines)) + newline
        return [Splice(len(text), "", terminated(text) + added)]
    indent = _item_indent(text[found.end() :])
    block = "".join(f"{newline}{indent}{line}" for line in lines)
    rest = found["rest"]
    if rest.strip() and not rest.startswith("#"):
        start = found.start("rest")
        return [
            Splice(
                start - (text[start - 1] == " "), text[start - (text[start - 1] == " ") : found.end()], block
            )
        ]
    return [Splice(found.end(), "", block)]


def _check_form(text: str) -> None:
    documents = [line for line in lines_of(text) if line.startswith(("---", "...", "%"))]
    found = list(_USERS.finditer(text))
    if (
        len(documents) > 1
        or (documents and not text.lstrip().startswith("---"))
        or len(found) > 1
        or not re.search(r"^[A-Za-z\"'][^\n:]*:", text, re.MULTILINE)
        or any(not _EMPTY.fullmatch(match["rest"]) for match in found)
    ):
        raise ClientFileError("the YAML has a form that only kubectl can change")


def _item_indent(rest: str) -> str:
    for line in lines_of(rest)[1:]:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = re.match(r"( *)- ", f"{line} ")
        return found[1] if found else ""
    return ""


def named(text: str, name: str) -> bool:
    """Return whether there is a user with a name."""
    return any(_is_name(line, name) for line in _users(text))


def _is_name(line: str, name: str) -> bool:
    found = re.fullmatch(r"[ \t]*(?:-[ \t]+)?name:[ \t]*(.*?)[ \t]*(?:[ \t]#.*)?", line)
    return found is not None and found[1] in (name, f'"{name}"', f"'{name}'")


def _users(text: str) -> Sequence[str]:
    """Return the lines of the list of users."""
    found = _USERS.search(text)
    rest = "" if found is None else text[found.end() :]
    lines = [line.rstrip("\r\n") for line in lines_of(rest)[1:]]
    end = next((index for index, line in enumerate(lines) if line[:1] not in ("", " ", "-", "#")), len(lines))
    return lines[:end]


def removing(text: str, name: str, exec_: dict[str, Any]) -> list[Splice] | None:
    """Return the change that removes a user exactly as jitid added it; None if it was changed."""
    newline = newline_of(text)
    for indent in ("", "  ", "    "):
        block = "".join(f"{newline}{indent}{line}" for line in item_lines(name, exec_))
        start = text.find(block)
        after = text[start + len(block) :] if start >= 0 else ""
        # The user added a further line to the item.
        if start >= 0 and (not after.strip() or re.match(rf"\r?\n {{0,{len(indent)}}}[^ \r\n]", after)):
            return [Splice(start, block, "")]
    return None


_OWN_LINE = re.compile(
    r"[ \t]*(?:-[ \t]+name:.*|user:|exec:|apiVersion:.*|command:.*|args:|-[ \t]+\S.*"
    r"|interactiveMode:.*|provideClusterInfo:.*)"
)


def own(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the users that have only the lines of jitid, each with its exec plug-in."""
    result: list[tuple[str, dict[str, Any]]] = []
    lines = _users(text)
    starts = [index for index, line in enumerate(lines) if re.match(r"[ \t]*-[ \t]+name:", line)]
    for number, start in enumerate(starts):
        end = starts[number + 1] if number + 1 < len(starts) else len(lines)
        item = [line for line in lines[start:end] if line.strip() and not line.lstrip().startswith("#")]
        if all(map(_OWN_LINE.fullmatch, item)) and (exec_ := _plugin(item)):
            result.append((_text(item[0].partition("name:")[2]), exec_))
    return result


def _plugin(item: Sequence[str]) -> dict[str, Any]:
    exec_: dict[str, Any] = {}
    for line in item[1:]:
        key, _, value = line.strip().partition(":")
        if line.strip().startswith("- "):
            exec_.setdefault("args", []).append(_text(line.strip()[2:]))
        elif key == "args":
            exec_["args"] = []
        elif key not in ("user", "exec"):
            text = _text(value)
            exec_[key] = text == "true" if key == "provideClusterInfo" else text
    command = str(exec_.get("command", "")).rpartition("/")[2]
    words = [command, *exec_.get("args", [])]
    return exec_ if "jitid" in words and words[words.index("jitid") + 1 :].count("kube") else {}


def _text(scalar: str) -> str:
    scalar = scalar.strip()
    if scalar.startswith('"'):
        try:
            return str(json.loads(scalar))
        except ValueError:
            return scalar
    return scalar.strip("'")
