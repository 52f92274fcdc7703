"""Findings of a sweep or a scan as JSON: one document, or one record a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jitid.capabilities.sweep.findings_view import SweptRows
from jitid.formats.json import dumps


def lines(records: SweptRows) -> Iterator[str]:
    """Yield each record as a line of JSON, and a last line that reports an incomplete sweep."""
    complete = False
    for record in records:
        complete = "state" not in record and "summary" in record
        yield f"{dumps(record)}\n"
    if not complete:
        yield f"{dumps({'broken_off': True})}\n"


def document(records: SweptRows, schema: str = "jitid.sweep/1") -> Iterator[str]:
    """Yield one JSON document: the findings, the coverage of each rule, the summary.

    A document without a summary is incomplete: the sweep broke off.
    """
    yield f'{{"schema": "{schema}", "findings": ['
    separator = ""
    coverage: list[Any] = []
    summary: Any = None
    for record in records:
        if "coverage" in record:
            coverage.append(record["coverage"])
        elif "state" in record:
            yield separator + dumps(record)
            separator = ",\n"
        else:
            summary = record["summary"]
    broken = ', "broken_off": true' if summary is None else ""
    yield f'], "coverage": {dumps(coverage)}, "summary": {dumps(summary)}{broken}}}\n'
