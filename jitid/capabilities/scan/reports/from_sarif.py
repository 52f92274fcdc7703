"""Results of any tool as SARIF 2.1.0: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from jitid.capabilities.scan.reports.json_reader import JsonReader
from jitid.capabilities.scan.reports.reported_finding import ReportedFinding, member, reported, sighted
from jitid.errors import UsageError

_HELD = 1_000
"""Maximum number of results that wait for the name of their tool, which kingfisher writes after them."""
_UNNAMED = "sarif"


def read(reading: JsonReader) -> Iterator[ReportedFinding]:
    """Yield the findings of each run's results (section 3.14); the reader is at the list `runs`. Raises UsageError."""
    for _ in reading.elements():
        yield from _run(reading)


def _run(reading: JsonReader) -> Iterator[ReportedFinding]:
    results: list[dict[str, Any]] = []
    tool: str | None = None
    try:
        for name in reading.members():
            if name == "tool":
                tool = _tool(reading)
            elif name == "results" and reading.peek() == "[":
                for _ in reading.elements():
                    results.append(_read(reading))
                    if tool is not None or len(results) >= _HELD:
                        yield from _findings(results, tool)
            else:
                reading.skip()
    except UsageError:
        # The error is after these results.
        yield from _findings(results, tool)
        raise
    yield from _findings(results, tool)


def _read(reading: JsonReader) -> dict[str, Any]:
    result = reading.value()
    if not isinstance(result, dict):
        raise reading.broken("has a result that is not an object")
    return result


def _findings(results: list[dict[str, Any]], tool: str | None) -> Iterator[ReportedFinding]:
    for result in results:
        yield from _result(result, tool or _UNNAMED)
    results.clear()


def _tool(reading: JsonReader) -> str | None:
    """Return the name of a run's tool (section 3.18) without reading all of its rules."""
    tool_name = None
    if reading.peek() != "{":
        reading.skip()
        return None
    for name in reading.members():
        if name != "driver" or reading.peek() != "{":
            reading.skip()
            continue
        for inner in reading.members():
            if inner == "name":
                tool_name = reading.value()
            else:
                reading.skip()
    return tool_name if isinstance(tool_name, str) and tool_name else None


def _result(result: dict[str, Any], tool: str) -> Iterator[ReportedFinding]:
    rule = result.get("ruleId") or member(result, "rule", "id")
    prints = result.get("partialFingerprints")
    locations = result.get("locations")
    message = member(result, "message", "text")
    for location in (locations if isinstance(locations, list) else []) or [{}]:
        physical = member(location, "physicalLocation")
        region = member(physical, "region")
        commit = member(location, "properties", "git_metadata", "commit")
        around = member(physical, "contextRegion", "snippet", "text")
        snippet = member(region, "snippet", "text")
        yield reported(
            # Some tools show the string only in their message.
            (around, snippet) if around or snippet else (message,),
            sighted(
                tool,
                rule,
                _path(member(physical, "artifactLocation", "uri")),
                line=member(region, "startLine"),
                # SARIF has no standard member for either: gitleaks and kingfisher write them here.
                revision=member(prints, "commitSha") or member(commit, "id"),
                found_at=member(prints, "date") or member(commit, "date"),
            ),
        )


def _path(uri: object) -> str | None:
    """Return the path that a URI reference stands for (section 3.4.3)."""
    if not isinstance(uri, str):
        return None
    return unquote(uri.removeprefix("file://")) if "://" not in uri or uri.startswith("file://") else uri
