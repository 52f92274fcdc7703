"""Errors with the place in a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from jitid.errors import JitidError, UsageError
from jitid.values.strict_json import StrictJSONError


@contextmanager
def at(location: str) -> Iterator[None]:
    """Add the place in a file to an error that its value raises."""
    try:
        yield
    except StrictJSONError as error:
        raise misplaced(location, str(error)) from error
    except JitidError as error:
        raise misplaced(location, error.message, error.hint) from error


def misplaced(location: str, message: str, hint: str | None = None) -> UsageError:
    """Return the error for an invalid value at a place of a file."""
    return UsageError(f"{location}: {message}; nothing was changed" if location else message, hint)
