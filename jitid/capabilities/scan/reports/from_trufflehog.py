"""Findings of trufflehog 3 (`--json`): one object a line."""

from __future__ import annotations

from typing import Any

from jitid.capabilities.scan.reports.reported_finding import ReportedFinding, member, reported, sighted

_PLACES = ("file", "filename", "path", "link", "page", "issue", "repository", "bucket", "channel_name")
"""Members that name the place in the metadata of a source, the most specific one first."""


def is_one(element: dict[str, Any]) -> bool:
    """Return whether an object is a finding of this format."""
    return "DetectorName" in element and "SourceMetadata" in element


def read(element: dict[str, Any]) -> ReportedFinding:
    """Return the finding that an object describes."""
    data = member(element, "SourceMetadata", "Data")
    # `Data` has one member, with the name of the source's type: Git, Filesystem, Github, S3.
    source = (
        next((value for value in data.values() if isinstance(value, dict)), {})
        if isinstance(data, dict)
        else {}
    )
    verified = " (verified)" if element.get("Verified") is True else ""
    return reported(
        (element.get("RawV2"), element.get("Raw")),
        sighted(
            "trufflehog",
            f"{element['DetectorName']}{verified}",
            next((source[name] for name in _PLACES if source.get(name)), None),
            line=source.get("line"),
            revision=source.get("commit"),
            found_at=source.get("timestamp"),
        ),
    )
