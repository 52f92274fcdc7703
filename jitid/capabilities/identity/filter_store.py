"""The filter of `list`: each condition is declared once, with its SQL, its option and its type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, TypeVar

from jitid.errors import UsageError
from jitid.model.credential import FORMER_PROOF, State, base_kind
from jitid.model.task import MAX_PURPOSE
from jitid.model.types import ANY_KIND, SENSITIVITY, TASK
from jitid.values.declaration import Declared, Field, FieldType
from jitid.values.field_types import (
    AGENT,
    AUDIENCE,
    COUNT,
    DELEGATOR,
    ID,
    KEY_ID,
    SCOPE,
    TASK_FILTER,
    TIME,
    TIME_AHEAD,
    choice,
    filtered,
    text,
    typed_as,
)
from jitid.values.ids import parse_id
from jitid.values.text import quote

# `help` is the name of the parameter for the other fields, too, and each returns the field in place of its value.
# mypy: no-warn-return-any
# ruff: noqa: A002

T = TypeVar("T")

_Sql = str | Callable[[Any, dict[str, Any]], str]
"""The condition, or a function that returns it for a value and adds more named values for it to the dictionary.

`:it` is the value, of an id its bytes. A name in braces is a text of `ledger/select`, which only a local ledger loads.
"""


class FilterCondition(Field):
    """A field of the filter with its SQL."""

    __slots__ = ("few", "sql")

    def __init__(
        self,
        sql: _Sql,
        type_: FieldType[Any] | None,
        flags: tuple[str, ...],
        help_: str,
        default: object,
        *,
        few: bool,
    ) -> None:
        super().__init__(type_, flags, help_, default=default)
        self.sql = sql
        self.few = few
        """Whether an index finds the few rows that can match."""


def _where(sql: _Sql, type_: FieldType[T], *flags: str, help: str = "", few: bool = False) -> T | None:
    """Declare a condition on a value."""
    return _condition(sql, type_, flags, help, None, few=few)


def _only(sql: str, *flags: str, help: str = "", few: bool = False) -> bool:
    """Declare a condition without a value."""
    return _condition(sql, None, flags, help, default=False, few=few)


def _condition(*values: Any, **options: Any) -> Any:
    return FilterCondition(*values, **options)


def _kind(value: str, _label: str) -> str:
    base_kind(value)
    return value


def _identity(value: str, _label: str) -> str:
    if parse_id(value)[0] != "jid":
        raise UsageError(f"{quote(value)} is not the id of an identity", "an identity's id begins with jid_")
    return value


def _of_task(value: str, values: dict[str, Any]) -> str:
    from jitid.ledger.select import of_task

    return f"i.task IN {of_task(value, values)}"


def _of_delegator(value: str, values: dict[str, Any]) -> str:
    values["delegator"] = value.removeprefix("agent:")
    return "pa.text = :it" if value.startswith("agent:") else "c.delegator IN ({ONE_PERSON})"


def _among(column: str) -> _Sql:
    """Return the condition that the value is one of the words of a column."""

    def condition(_value: str, _values: dict[str, Any]) -> str:
        from jitid.ledger.select import among

        return among(column, "it")

    return condition


_STATES = {
    "pending": "{LIVE} AND c.fingerprint IS NULL",
    "active": "{LIVE} AND c.fingerprint IS NOT NULL",
    "expired": """(c.ended_as = 'expired' OR (c.ended_at IS NULL AND c.expires_at <= :now
        AND (c.superseded_at IS NULL OR c.superseded_at > :now)))""",
    "superseded": "(c.ended_as = 'superseded' OR (c.ended_at IS NULL AND c.superseded_at <= :now))",
}
"""The condition for a state; other states are the recorded reason of the end."""


SORT_KEYS = {
    "issued_at": "c.issued_at",
    "expires_at": "c.expires_at",
    "task": "t.name",
    "agent": "a.text",
    "delegator": "d.text",
    "depth": "i.depth",
    "id": "i.uid",
}
"""The sort keys of `list`, with their SQL; rows with equal keys are sorted by the order of issue."""


class Filter(Declared):
    """A selection of credentials; each stated condition must hold.

    To add an option to `list`, add a line here. A request may spell most values in any way: an invalid one matches
    nothing.
    """

    task: str | None = _where(
        _of_task, filtered(TASK, TASK_FILTER), "--task", "-t", help="Only this task.", few=True
    )
    """`OWNER/NAME`; a bare name matches the tasks of all openers."""
    delegator: str | None = _where(
        _of_delegator,
        filtered(DELEGATOR),
        "--delegator",
        "-d",
        help="Only this root delegator, or from agent:NAME.",
    )
    agent: str | None = _where(
        "i.agent = (SELECT id FROM term WHERE text = :it)",
        filtered(AGENT),
        "--agent",
        "-a",
        help="Only this agent.",
        few=True,
    )
    kind: str | None = _where(
        "c.kind = :it", filtered(typed_as(ANY_KIND, parse=_kind)), "--kind", "-k", help="Only this kind."
    )
    state: str | None = _where(
        lambda state, _: _STATES.get(state, "c.ended_as = :it"),
        filtered(choice(*State, metavar="STATE", label="state")),
        "--state",
        help="pending, active, expired, revoked, retired or superseded.",
    )
    live: bool = _only(_STATES["active"], "--live", help="Only live credentials.")
    unsettled: bool = _only(
        # There are always few of them: the index on unsettled credentials finds them.
        "NOT ({LIVE}) AND c.id IN (SELECT credential FROM outside WHERE settled_at IS NULL)",
        "--unsettled",
        help="Only ended ones not yet confirmed by their target.",
        few=True,
    )
    sensitivity: str | None = _where(
        "i.sensitivity = :it", filtered(SENSITIVITY), "--sensitivity", help="Only this sensitivity."
    )
    delegator_proof: str | None = _where(
        "i.proof = :it",
        filtered(
            choice("asserted", "os-user", "credential", "oidc", FORMER_PROOF, metavar="PROOF", label="proof")
        ),
        "--proof",
        help="Proof: asserted, os-user, credential, parent or oidc.",
    )
    scope: str | None = _where(
        _among("c.scopes"), filtered(SCOPE), "--scope", "-s", help="Only with exactly this scope."
    )
    audience: str | None = _where(
        _among("au.text"), filtered(AUDIENCE), "--audience", help="Only for this audience."
    )
    purpose: str | None = _where(
        "t.purpose = :it", text(MAX_PURPOSE, "the purpose"), "--purpose", help="Only tasks with this purpose."
    )
    id: str | None = _where(
        lambda id_, _: "c.jti = :it" if id_.startswith("jti_") else "i.uid = :it",
        ID,
        "--id",
        help="Only this identity or credential.",
        few=True,
    )
    parent: str | None = _where(
        "p.uid = :it",
        typed_as(ID, parse=_identity),
        "--parent",
        help="Only children of this identity.",
        few=True,
    )
    depth: int | None = _where(
        "i.depth = :it", COUNT, "--depth", help="Only this depth: N delegations from the root."
    )
    signed_by: str | None = _where(
        "k.kid = :it", filtered(KEY_ID), "--signed-by", help="Only signed by this key."
    )
    issued_since: int | None = _where(
        "c.issued_at >= :it", TIME, "--since", help="Issued since TIME, or a duration ago."
    )
    issued_until: int | None = _where(
        "c.issued_at < :it", TIME, "--until", help="Issued before TIME, or a duration ago."
    )
    expires_before: int | None = _where(
        "c.expires_at < :it",
        TIME_AHEAD,
        "--expires-before",
        help="Expiring before TIME, or within a duration.",
    )
    expires_after: int | None = _where(
        "c.expires_at >= :it",
        TIME_AHEAD,
        "--expires-after",
        help="Expiring at TIME or later, or after a duration.",
    )
    under: str | None = _where("i.id IN {UNDER}", ID, few=True)
    """The id of an identity: selects the identity and all its descendants."""
    bound: bool = _only("c.identity IN (SELECT identity FROM process)", few=True)
    """Bound to a process, and ends with it."""

    def conditions(self, now: int) -> tuple[list[str], dict[str, Any], bool]:
        """Return the conditions in SQL, their values, and whether an index finds the few rows that can match."""
        from jitid.ledger import select

        where = ["1 = 1"]
        values: dict[str, Any] = {"now": now}
        selective = bool(self.delegator and self.live)
        for name, field in self.fields.items():
            value = getattr(self, name)
            if value is None or value is False:
                continue
            assert isinstance(field, FilterCondition)
            is_id = field.type is not None and field.type.check is ID.check
            values[name] = parse_id(value)[1] if is_id else value
            sql = field.sql if isinstance(field.sql, str) else field.sql(value, values)
            where.append(sql.replace(":it", f":{name}").format_map(vars(select)))
            selective = selective or bool(field.few and value)
        return where, values, selective

    def _replace(self, **values: object) -> Self:
        """Return the same filter with other values, as named tuples do."""
        return type(self)(**{name: getattr(self, name) for name in self.fields} | values)
