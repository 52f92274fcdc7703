"""Settings in a file of a client that jitid did not write."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from jitid.capabilities.setup import change_record, entries, jsonc, toml_text
from jitid.capabilities.setup.client import Ambient
from jitid.capabilities.setup.entries import Entry, Form
from jitid.errors import ConfigurationError
from jitid.system.files import read_regular
from jitid.system.output_place import is_special
from jitid.values.record import Record

_MOST = 8 << 20


class ForeignSettings(Record):
    """The settings of a file; empty for a missing or an unreadable file."""

    path: str
    content: Mapping[str, Any]
    """All of them."""
    foreign: Mapping[str, Any]
    """The settings that jitid did not write."""
    fault: str | None
    """Why the file cannot be read."""

    def unexamined(self) -> Iterator[Ambient]:
        """Yield that the file could not be examined, if so."""
        if self.fault is not None:
            yield Ambient("file", self.path, "unexamined", self.fault)


def read(path: str, form: Form = Form.JSON) -> ForeignSettings:
    """Return the settings of a file."""
    path = os.path.abspath(path)
    try:
        content = _decoded(form, _text(path))
        written = [
            added.entry for record in change_record.about(os.path.realpath(path)) for added in record.entries
        ]
    except (FileNotFoundError, NotADirectoryError):
        return ForeignSettings(path, {}, {}, None)
    except OSError as error:
        return ForeignSettings(path, {}, {}, (error.strerror or "error").lower())
    except ConfigurationError as error:
        return ForeignSettings(path, {}, {}, error.message.partition(";")[0])
    if not isinstance(content, dict):
        return ForeignSettings(path, {}, {}, "it has no settings")
    foreign = content
    for entry in written:
        foreign = _without(foreign, entry.path, entry)
    return ForeignSettings(path, content, foreign, None)


def read_variables(path: str) -> ForeignSettings:
    """Return the names of the variables in a file of assignments."""
    path = os.path.abspath(path)
    try:
        names = dict.fromkeys(_ASSIGNMENT.findall(_text(path)))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        # A Python environment is often a folder of this name.
        return ForeignSettings(path, {}, {}, None)
    except OSError as error:
        return ForeignSettings(path, {}, {}, (error.strerror or "error").lower())
    return ForeignSettings(path, names, names, None)


_ASSIGNMENT = re.compile(r"^[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)[ \t]*[=:]", re.MULTILINE | re.ASCII)


def _text(path: str) -> str:
    """Return the content of a file. Raises OSError, also for a file that is not regular, or too large."""
    if is_special(path):
        raise OSError(errno.EINVAL, "not a regular file")
    data = read_regular(path, _MOST + 1)
    if len(data) > _MOST:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return data.decode("utf-8", "replace")


def _decoded(form: Form, text: str) -> object:
    if form is Form.TOML:
        return toml_text.parse(text)
    content = jsonc.value_at(jsonc.parse(text), ())
    return {} if content is None else content


def _without(value: Any, path: tuple[str, ...], entry: Entry) -> Any:  # noqa: ANN401 - JSON may be anything
    """Return a copy of a value without an entry at a path; an entry that was changed stays."""
    if not path:
        if entry.append and isinstance(value, list):
            return [each for each in value if not same(each, entry.value)]
        return None if not entry.append and same(value, entry.value) else value
    if not isinstance(value, Mapping) or path[0] not in value:
        return value
    inner = _without(value[path[0]], path[1:], entry)
    rest = {name: each for name, each in value.items() if name != path[0]}
    return rest if inner is None or inner in ({}, []) else {**rest, path[0]: inner}


def same(left: object, right: object) -> bool:
    """Return whether two values are the same in JSON."""
    return json.dumps(left, sort_keys=True, default=str) == json.dumps(right, sort_keys=True, default=str)


def upwards(*names: str) -> Iterator[str]:
    """Yield the paths of files of these names in the current folder and in each folder above it."""
    folder = os.getcwd()
    while True:
        for name in names:
            yield os.path.join(folder, name)
        above = os.path.dirname(folder)
        if above == folder:
            return
        folder = above


_REFERENCE = re.compile(r"\b(?:JITID_(?:TOKEN|PARENT)\w*|MCP_BEARER_TOKEN)\b")


def takes_token(value: object) -> bool:
    """Return whether a setting reads a token of jitid from its variable, or requests one from a helper."""
    if isinstance(value, str):
        return _REFERENCE.search(value) is not None or entries.is_jitid_line(value, "helper")
    if isinstance(value, Mapping):
        words = [value.get("command"), *_list(value.get("args"))]
        if entries.is_jitid([word for word in words if isinstance(word, str)], "helper"):
            return True
        return any(takes_token(each) for pair in value.items() for each in pair)
    return any(takes_token(each) for each in _list(value)) or entries.is_jitid(
        [word for word in _list(value) if isinstance(word, str)], "helper"
    )


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def members(value: object, *path: str) -> Mapping[str, Any]:
    """Return the object at a path; an empty one if there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}
