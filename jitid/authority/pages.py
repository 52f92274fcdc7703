"""Pagination of large answers over a network: each request continues after the last row of the page before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from jitid.capabilities.directory import agent_operations as agents
from jitid.capabilities.integrity import operations as integrity_operations
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.operation.base import Operation
from jitid.values.field_types import MAX_ROWS

_EVENTS = 2_000
"""Maximum number of events in one page: each may name a thousand credentials."""


class Pages(NamedTuple):
    """The functions and limits to request an answer in pages."""

    size: int
    """Maximum number of rows in one answer."""
    most: int | None
    """Total number of requested rows; None for all."""
    question: Callable[[Any, int], Operation[Any]]
    """Returns the request for a number of rows after the given last row, or from the first row for None."""
    rows: Callable[[Any], list[Any]]
    """Returns the rows of an answer."""
    joined: Callable[[Any, list[Any]], Any]
    """Returns one answer from the first answer and the rows of all answers."""


def pages_of(operation: Operation[Any]) -> Pages | None:
    """Return the pagination of an operation; None if one request is enough."""
    pages = _pages_of(operation)
    return pages if pages is not None and (pages.most is None or pages.most > pages.size) else None


def complete_answer(pages: Pages, perform: Callable[[Operation[Any]], Any]) -> Any:  # noqa: ANN401 - the type depends on the operation
    """Return the complete answer, joined from all its pages."""
    first_answer: Any = None
    rows: list[Any] = []
    for answer in _answers(pages, perform, rows):
        first_answer = answer if first_answer is None else first_answer
        rows += pages.rows(answer)
    return pages.joined(first_answer, rows)


def _answers(pages: Pages, perform: Callable[[Operation[Any]], Any], rows: list[Any]) -> Iterator[Any]:
    while True:
        size = pages.size if pages.most is None else min(pages.size, pages.most - len(rows))
        answer = perform(pages.question(rows[-1] if rows else None, size))
        yield answer
        if len(pages.rows(answer)) < size or len(rows) == pages.most:
            return


def _pages_of(operation: Operation[Any]) -> Pages | None:
    match operation:
        case inventory_operations.ListCredentials():
            return Pages(
                MAX_ROWS,
                operation.limit,
                lambda last_row, size: _next_page(
                    operation, "after", None if last_row is None else last_row.jti, size
                ),
                lambda answer: list(answer.credentials),
                lambda first_answer, rows: first_answer._replace(credentials=rows),
            )
        case inventory_operations.ListTasks():
            return Pages(
                MAX_ROWS,
                operation.limit,
                lambda last_row, size: _next_page(
                    operation, "after", None if last_row is None else last_row.task.full_name, size
                ),
                list,
                lambda _, rows: rows,
            )
        case agents.ListAgents():
            return Pages(
                MAX_ROWS,
                operation.limit,
                lambda last_row, size: _next_page(
                    operation, "after", None if last_row is None else last_row.agent.name, size
                ),
                lambda answer: list(answer.records),
                lambda first_answer, rows: first_answer._replace(records=rows),
            )
        case integrity_operations.ReadLog():
            chosen = operation.chosen
            return Pages(
                _EVENTS,
                operation.limit,
                lambda last_row, size: _next_page(
                    operation,
                    "chosen",
                    None if last_row is None else chosen._replace(after=max(chosen.after, last_row["seq"])),
                    size,
                ),
                list,
                lambda _, rows: rows,
            )
        case _:
            return None


def _next_page(operation: Operation[Any], field: str, value: object, limit: int) -> Operation[Any]:
    """Return the operation with a new limit; also with a new value of a field, except for None."""
    return operation.replace(limit=limit, **({} if value is None else {field: value}))
