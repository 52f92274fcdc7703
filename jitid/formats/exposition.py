"""Gauges in the text format of Prometheus, for the textfile collector of its node exporter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from jitid.text import safe

PREFIX = "jitid_"


class Sample(NamedTuple):
    """One value of a metric, with what tells it from the others."""

    labels: Mapping[str, str]
    value: float | None
    """None where there is nothing to measure."""


class Metric(NamedTuple):
    """A gauge, without the prefix that all of ours have."""

    name: str
    told: str
    """What it is, in a few words."""
    samples: tuple[Sample, ...]


def text(metrics: Iterable[Metric]) -> Iterator[str]:
    """Yield each metric with its help, its type and its samples; what has no value is left out.

    See the text-based format in the documentation of Prometheus, exposition formats.
    """
    for metric in metrics:
        lines = [_line(metric.name, sample) for sample in metric.samples if sample.value is not None]
        if lines:
            name = PREFIX + metric.name
            told = metric.told.replace("\\", "\\\\").replace("\n", "\\n")
            yield f"# HELP {name} {told}.\n# TYPE {name} gauge\n{''.join(lines)}"


def _line(name: str, sample: Sample) -> str:
    labels = ",".join([f'{label}="{_escaped(value)}"' for label, value in sample.labels.items()])
    return f"{PREFIX}{name}{'{' + labels + '}' if labels else ''} {sample.value}\n"


def _escaped(value: str) -> str:
    # Names appear on dashboards and in terminals: what acts there is shown, before the format's own escapes.
    return safe(value).replace("\\", "\\\\").replace('"', '\\"')
