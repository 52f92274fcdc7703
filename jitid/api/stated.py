"""Arguments of the Python interface as values of a request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from jitid.errors import UsageError
from jitid.model.credential import Kind
from jitid.model.request import DETAIL
from jitid.model.types import MAY_KIND
from jitid.values import strict_json
from jitid.values.declaration import FieldType
from jitid.values.field_types import DURATION
from jitid.values.times import parse_duration

T = TypeVar("T")


def several(stated: str | Iterable[str], type_: FieldType[T]) -> tuple[T, ...]:
    """Return the checked values of an argument that may have several; a text is one value. Raises UsageError."""
    values = (stated,) if isinstance(stated, str) else stated
    try:
        return tuple([type_.check(value) for value in values])
    except UsageError as error:
        if error.hint is not None and "repeat the option" in error.hint:
            error.hint = 'for several values, use a list: ["one", "two"]'
        raise


def kinds_of(stated: str | Iterable[str]) -> tuple[str, ...]:
    """Return the kinds of a grant: the stated kinds, and the kind of service tokens. None means the usual kinds."""
    kinds = several(stated, MAY_KIND)
    return tuple(dict.fromkeys((Kind.JWT.value, *kinds))) if kinds else ()


def seconds_of(stated: int | str | timedelta, name: str) -> int:
    """Return a duration in seconds; a part of a second is dropped. Raises UsageError."""
    if isinstance(stated, str):
        return parse_duration(stated)
    seconds = int(stated.total_seconds()) if isinstance(stated, timedelta) else stated
    if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds < 1:
        raise UsageError(f"the argument `{name}` must be at least one second", 'such as 900, or "15m"')
    return DURATION.check(seconds)


def detail_texts(details: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return authorization details as canonical JSON texts. Raises UsageError."""
    return tuple([DETAIL.check(strict_json.dumps(dict(detail))) for detail in details])
