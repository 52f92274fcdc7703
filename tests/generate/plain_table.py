"""`jitid/cli/plain_table.py`: the data about the command tree that `jitid/cli/plain.py` needs."""

from __future__ import annotations

from typing import Any

from jitid.cli.command_tree import command_tree
from jitid.cli.invocation import Invocation
from jitid.cli.verbs import COMMANDS

HEADER = '''"""The table of plain command lines; generated from the command tree by `python -m tests.generate`."""

# fmt: off
'''


def text() -> str:
    """Return the text that the module must have."""
    root = command_tree(Invocation())
    common = _options(root)
    lines = [HEADER, "GLOBALS: dict[str, tuple[str, str, str]] = {"]
    lines += [f'    "{name}": {_entry(entry)},' for name, entry in common.items()]
    lines += ["}", '"""Option -> parameter, kind of its value, environment variable."""', ""]
    lines += [
        "VERBS: dict[str, tuple[dict[str, tuple[str, str, str]], tuple[tuple[str, str, bool], ...]]] = {"
    ]
    for verb in COMMANDS:
        command: Any = root
        for word in verb.split():
            command = command.get_command(None, word)
        lines.append(f'    "{verb}": ({{')
        lines += [
            f'        "{name}": {_entry(entry)},'
            for name, entry in _options(command).items()
            if name not in common
        ]
        arguments = [
            (param.name, "texts" if param.nargs == -1 else "text", bool(param.required))
            for param in command.params
            if param.param_type_name == "argument"
        ]
        lines.append(f"    }}, ({''.join(_entry(entry) + ', ' for entry in arguments).rstrip(' ')})),")
    lines += ["}", '"""Verb -> its options, and its arguments as (parameter, kind, required)."""', ""]
    return "\n".join(lines)


def _options(command: Any) -> dict[str, tuple[str, str, str]]:
    found = {}
    for param in command.params:
        if param.param_type_name != "option" or param.is_eager:
            continue
        assert not param.secondary_opts, "a flag with a negative is not in the table's words"
        for name in param.opts:
            found[name] = (param.name, _kind(param), param.envvar or "")
    return found


def _kind(param: Any) -> str:
    if param.is_flag:
        return "flag"
    if param.multiple:
        return "texts"
    return {"str": "text", "int": "number"}[param.type.name]


def _entry(values: tuple[object, ...]) -> str:
    return "(" + ", ".join(f'"{value}"' if isinstance(value, str) else str(value) for value in values) + ")"
