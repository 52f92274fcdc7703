"""Findings of kingfisher (`--format json`, `jsonl`): objects in `findings`, or one a line."""

from __future__ import annotations

from typing import Any

from jitid.capabilities.scan.reports.reported_finding import ReportedFinding, member, reported, sighted


def is_one(element: dict[str, Any]) -> bool:
    """Return whether an object is a finding of this format."""
    return isinstance(element.get("rule"), dict) and isinstance(element.get("finding"), dict)


def read(element: dict[str, Any]) -> ReportedFinding:
    """Return the finding that an object describes. Its fingerprint is not a hash of the string alone."""
    finding = element["finding"]
    git = finding.get("git_metadata")
    return reported(
        (finding.get("snippet"),),
        sighted(
            "kingfisher",
            element["rule"].get("id"),
            finding.get("path") or member(git, "file", "path"),
            line=finding.get("line"),
            revision=member(git, "commit", "id"),
            found_at=member(git, "commit", "date"),
        ),
    )
