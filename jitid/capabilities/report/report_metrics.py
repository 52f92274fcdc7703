"""The report as single figures, each with a name and labels: for spreadsheets, and for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jitid.capabilities.report.report_figures import FIGURES, SERIES
from jitid.capabilities.report.sprawl_report import Report
from jitid.formats import prometheus

FIELDS = ("metric", "labels", "value")


def exposition(report: Report) -> Iterator[str]:
    """Yield the present figures as gauges of Prometheus; figures without a value are left out."""
    for figure in SERIES:
        samples = (
            (labels, rounded)
            for labels, value in figure.samples(report)
            if (rounded := figure.rounded(value)) is not None
        )
        yield from prometheus.family(f"jitid_{figure.name}", f"{figure.description}.", samples)


def rows(report: Report) -> Iterator[Mapping[str, Any]]:
    """Yield every figure of the report, the days of the trend too."""
    for figure in FIGURES:
        for labels, value in figure.samples(report):
            yield {"metric": figure.name, "labels": labels, "value": figure.rounded(value)}
