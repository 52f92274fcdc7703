"""Findings of betterleaks 2 (`--output x.json`, `x.jsonl`): objects in `findings`, or one a line in `finding`."""

from __future__ import annotations

from typing import Any

from jitid.capabilities.scan.reports.reported_finding import ReportedFinding, member, reported, sighted


def is_one(element: dict[str, Any]) -> bool:
    """Return whether an object is a finding of this format."""
    return "rule_id" in element and isinstance(element.get("match"), dict)


def read(element: dict[str, Any]) -> ReportedFinding:
    """Return the finding that an object describes.

    Its fingerprint is the SHA-256 of the string, also in a redacted report.
    """
    match, attributes = element["match"], element.get("attributes")
    return reported(
        (match.get("full"), match.get("value")),
        sighted(
            "betterleaks",
            element["rule_id"],
            member(element, "location", "path"),
            line=member(element, "location", "start_line"),
            revision=member(attributes, "git.sha"),
            found_at=member(attributes, "git.date"),
        ),
        match.get("fingerprint"),
    )
