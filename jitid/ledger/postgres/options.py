"""The settings that the ledger relies on in PostgreSQL: of a session, or behind a pooler of each transaction.

A pooler may drop the settings that a client sends as it connects, and may give each transaction another session, with
the settings that another client left there. So a session is asked once whether it is the client's own and has the
settings. Where it does not, each transaction begins by setting them, and leaves nothing behind.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple, Self

from jitid.errors import ConfigurationError

MARK = "jitid.session"
"""A setting that has no effect: where a session has its value, the session has the other settings too."""
IDENTITY = f"pg_backend_pid(), current_setting('{MARK}', TRUE), current_schema()"
"""The query that finds out whose a session is."""

_OTHERS = {
    # Another encoding, left by another client, would change the ledger's texts.
    "client_encoding": "UTF8",
    # Literals have no escapes in the ledger's SQL.
    "standard_conforming_strings": "on",
}
"""What a session has without being asked, and another client may have changed."""
_LEFT = ("role", "synchronous_commit", "statement_timeout", "row_security")
"""What the server's configuration decides, and another client may have changed: who acts, and whether commits are
durable."""
_MODES = ("isolation", "read_only", "deferrable")
"""Of a transaction: settings of a session come too late for one that has begun."""
_FIRST = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^,\s]*))')


class Options(NamedTuple):
    """Settings as the parameter `options` of libpq has them."""

    text: str
    settings: Mapping[str, str]
    others: tuple[str, ...]
    """What is no setting: a pooler that drops the parameter drops these too."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what the server would read (PostgreSQL manual, section 34.1.2)."""
        settings: dict[str, str] = {}
        others: list[str] = []
        words = iter(_words(text))
        for word in words:
            if word == "-c":
                stated = next(words, "")
            elif word.startswith(("-c", "--")):
                stated = word[2:]
            else:
                others.append(word)
                continue
            name, equals, value = stated.partition("=")
            if equals:
                settings[name.replace("-", "_").lower()] = value
            else:
                others.append(word)
        return cls(text, settings, tuple(others))

    @property
    def schema(self) -> str | None:
        """The schema of the ledger; None where only the server can tell it."""
        match = _FIRST.match(self.settings.get("search_path", ""))
        assert match is not None
        quoted, plain = match.groups()
        name = plain.lower() if quoted is None else quoted.replace('""', '"')
        return None if name in ("", "$user") else str(name)

    def marked(self, mark: str) -> str:
        """Return the text for a new session, by which it can be told from others."""
        return f"{self.text} -c {MARK}={mark}"

    def must_be_settable(self) -> None:
        """Raise ConfigurationError for what no transaction can set."""
        if self.others:
            raise ConfigurationError(
                f"a connection pooler stands before the database, and drops the option {self.others[0]}",
                "take it out of the address of the ledger, or name the database server itself",
            )

    def beginning(self, modes: str) -> str:
        """Return statements that begin a transaction with these settings, whatever the session has.

        `modes` are those of BEGIN. The last statement gives the schema that is first in the search path.
        """
        own = {**_OTHERS, **self.settings}
        statements = [f"BEGIN {modes}"]
        for mode in _MODES:
            value = own.pop(f"default_transaction_{mode}", None)
            if value is not None and not (mode == "isolation" and modes):
                statements.append(f"SET LOCAL transaction_{mode} TO {_literal(value)}")
        statements += [f"SET LOCAL {name} TO DEFAULT" for name in _LEFT if name not in own]
        # What another client calls by the name of a table of the ledger must not be taken for it.
        path = own.pop("search_path", "")
        own["search_path"] = path if "pg_temp" in path else f"{path}, pg_temp"
        set_ = ", ".join(
            f"set_config({_literal(name)}, {_literal(value)}, TRUE)" for name, value in own.items()
        )
        return "; ".join([*statements, f"SELECT {set_}", "SELECT current_schema()"])


def _literal(value: str) -> str:
    # Imported here: an address is also shown where the driver is not installed.
    from psycopg.sql import Literal

    # A text with a backslash becomes one that means the same in each session.
    return Literal(value).as_string()


def _words(text: str) -> list[str]:
    """Return the words of a text in which a backslash takes its meaning from the next character."""
    return [re.sub(r"\\(.)", r"\1", word) for word in re.findall(r"(?:\\.|[^\s\\])+", text, re.DOTALL)]
