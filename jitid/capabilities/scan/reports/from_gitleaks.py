"""Findings of gitleaks 8 (`--report-format json`): a list of objects."""

from __future__ import annotations

from typing import Any

from jitid.capabilities.scan.reports.reported_finding import ReportedFinding, reported, sighted


def is_one(element: dict[str, Any]) -> bool:
    """Return whether an object is a finding of this format."""
    return "RuleID" in element and ("Secret" in element or "Match" in element)


def read(element: dict[str, Any]) -> ReportedFinding:
    """Return the finding that an object describes."""
    return reported(
        (element.get("Match"), element.get("Secret")),
        sighted(
            "gitleaks",
            element["RuleID"],
            element.get("File"),
            line=element.get("StartLine"),
            revision=element.get("Commit"),
            found_at=element.get("Date"),
        ),
    )
