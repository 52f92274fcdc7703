"""Metrics for a Prometheus textfile collector, in its text exposition format 0.0.4; and a sweep's result as such."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from jitid.values.text import safe

Sample = tuple[Mapping[str, str], int | float]
"""Labels and value."""


def family(
    name: str, about: str, samples: Iterable[Sample], kind: Literal["gauge", "counter"] = "gauge"
) -> Iterator[str]:
    """Yield the lines of one metric: what it means, its type, and each sample. Without samples there are none."""
    head = f"# HELP {name} {_escaped(about)}\n# TYPE {name} {kind}\n"
    for labels, value in samples:
        yield f"{head}{name}{_labels(labels)} {_number(value)}\n"
        head = ""


def _labels(labels: Mapping[str, str]) -> str:
    said = ",".join(f'{name}="{label_value(value)}"' for name, value in labels.items())
    return f"{{{said}}}" if said else ""


def label_value(value: str) -> str:
    """Return text for between the quotes of a label; what acts on a terminal is shown as an escape."""
    return _escaped(value).replace('"', '\\"')


def _escaped(value: str) -> str:
    return safe(value).replace("\\", "\\\\")


def _number(value: float) -> str:
    # Never in the exponent's form where a whole number will do: times are compared by eye.
    return str(int(value)) if value == int(value) else repr(float(value))
