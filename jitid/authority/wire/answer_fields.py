"""The limits of fields in a remote authority's answer, where commands rely on more than the type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from jitid.values.declaration import FieldType
from jitid.values.field_types import choice, number


def _among(module: str, name: str) -> Callable[[], FieldType[Any]]:
    return lambda: choice(*getattr(import_module(f"jitid.{module}"), name))


def _of(module: str, name: str) -> Callable[[], FieldType[Any]]:
    return lambda: getattr(import_module(f"jitid.{module}"), name)


_RULE = _of("capabilities.sweep.operations", "RULE")

# Suppliers: a client loads only the modules of the records in its answer.
BY_FIELD: Mapping[str, Callable[[], FieldType[Any]]] = {
    "Access.ended_as": _among("model.access", "AccessState"),
    "Approval.ended_as": _among("model.approval", "ApprovalState"),
    "Breakdown.live": lambda: number(0),
    "Coverage.rule": _RULE,
    "Credential.ended_as": _among("model.credential", "State"),
    "Evidence.match": _among("capabilities.leak.trace_result", "MATCHES"),
    "Finding.rule": _RULE,
    "Remedied.rule": _RULE,
    "Sensitive.sensitivity": _of("model.types", "SENSITIVITY"),
    "Unfixed.rule": _RULE,
}
"""The types of fields, by their record. For other fields the annotation is enough."""


def type_of(label: str) -> FieldType[Any] | None:
    """Return the type of a field of an answer, named as `Record.field`; None if its annotation is enough."""
    supply = BY_FIELD.get(label)
    return None if supply is None else supply()
