"""Validation of statements against the schema: errors that evaluation would meet, and their places."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from jitid.policy import position
from jitid.policy.position import Statement
from jitid.policy.safe_cedarpy import cedarpy

AT_ONCE = 100
"""Number of rules that the validator takes together; its time for each rule grows with this number."""
NO_ACTION = "unable to find an applicable action"

# Cedar numbers the policies of a text, and repeats the number in the message.
_NUMBER = re.compile(r"(?:for policy )?`?policy(\d+)`?,? ?")


def objections(texts: Sequence[str], schema: cedarpy.Schema) -> Iterator[tuple[int, str]]:
    """Yield the validator's objections to statements that parse, each with the statement's number from 0."""
    for start in range(0, len(texts), AT_ONCE):
        chunk = "\n".join(texts[start : start + AT_ONCE])
        for error in cedarpy.validate_policies(chunk, schema).errors:
            yield start + (number_of(error) or 0), _NUMBER.sub("", error.error)


def number_of(error: cedarpy.ValidationError) -> int | None:
    """Return the number, from 0, of the statement that an error is about; None if it names none."""
    match = _NUMBER.match(error.policy_id or "")
    return None if match is None else int(match[1])


def spots(statement: Statement, message: str, schema: cedarpy.Schema) -> list[int]:
    """Return the places in a statement to which the validator objects, as far as they can be found.

    The validator reports no place. The search finds the smallest expressions that cause the same objection.
    """
    text = statement.text
    head_end = position.head_end(text)
    if _is_reported(message, text[:head_end], schema):
        offset = position.find(text[:head_end], message)
        return [position.effect_start(text) if offset is None else offset]
    offsets = []
    for condition in position.conditions(text):
        for start, stop in _narrowed(text, head_end, condition, message, schema):
            offset = position.find(text[:stop], message, start)
            offsets.append(
                position.tokens_of(text[start:stop])[0].start + start if offset is None else offset
            )
    return list(dict.fromkeys(offsets)) or [position.effect_start(text)]


def _narrowed(
    text: str, head: int, part: tuple[int, int], message: str, schema: cedarpy.Schema
) -> Iterator[tuple[int, int]]:
    # The new line ends a comment at the end of the condition.
    if not _is_reported(message, f"{text[:head]} when {{ {text[slice(*part)]}\n}}", schema):
        return
    inner = [
        spot
        for smaller in position.parts(text, *part)
        for spot in _narrowed(text, head, smaller, message, schema)
    ]
    yield from inner or [part]


def _is_reported(message: str, text: str, schema: cedarpy.Schema) -> bool:
    return any(reported == message for _, reported in objections([f"{text};"], schema))
