"""Metrics for a Prometheus textfile collector, in its text exposition format 0.0.4."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from jitid.values.text import safe

Sample = tuple[Mapping[str, str], int | float]
"""Labels and value."""


def family(
    name: str, about: str, samples: Iterable[Sample], kind: Literal["gauge", "counter"] = "gauge"
) -> Iterator[str]:
    """Yield the lines of one metric: its meaning, its type, and each sample; no lines without samples."""
    head = f"# HELP {name} {_escaped(about)}\n# TYPE {name} {kind}\n"
    for labels, value in samples:
        yield f"{head}{name}{_labels(labels)} {_number(value)}\n"
        head = ""


def _labels(labels: Mapping[str, str]) -> str:
    joined = ",".join(f'{name}="{label_value(value)}"' for name, value in labels.items())
    return f"{{{joined}}}" if joined else ""


def label_value(value: str) -> str:
    """Return text for a quoted label value; characters that act on a terminal are escaped."""
    return _escaped(value).replace('"', '\\"')


def _escaped(value: str) -> str:
    return safe(value).replace("\\", "\\\\")


def _number(value: float) -> str:
    # A whole number is not written with an exponent: people compare times by eye.
    return str(int(value)) if value == int(value) else repr(float(value))
