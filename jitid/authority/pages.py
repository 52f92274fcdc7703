"""Pagination of large answers over a network: each request continues after the last row of the page before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitid.operation.base import PagedOperation, Result


def is_paged(operation: PagedOperation[Any]) -> bool:
    """Return whether an operation requests more rows than one answer may have."""
    return operation.limit is None or operation.limit > operation.page_size


def complete_answer(
    operation: PagedOperation[Result], perform: Callable[[PagedOperation[Result]], Result]
) -> Result:
    """Return the complete answer, joined from all its pages."""
    answers: list[Result] = []
    rows: list[Any] = []
    page = operation
    while True:
        remaining = operation.page_size if operation.limit is None else operation.limit - len(rows)
        page = page.replace(limit=min(operation.page_size, remaining))
        answer = perform(page)
        answers.append(answer)
        page_rows = operation.rows_of(answer)
        rows += page_rows
        if len(page_rows) < page.limit or len(rows) == operation.limit:
            return operation.joined(answers[0], rows)
        page = page.following(rows[-1])
