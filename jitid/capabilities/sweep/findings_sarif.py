"""A sweep's result as SARIF 2.1.0 (OASIS, errata 01), for code scanning and its viewers; one run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from jitid import __version__
from jitid.capabilities.sweep import findings_view as view
from jitid.formats.json import dumps
from jitid.values.text import safe

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

_LEVELS = {"info": "note", "low": "note", "medium": "warning", "high": "error", "critical": "error"}
# GitHub shows scores above 9.0 as critical, from 7.0 as high, from 4.0 as medium.
_SCORES = {"info": "0.0", "low": "2.0", "medium": "5.5", "high": "8.0", "critical": "9.5"}


def text(
    rows: view.SweptRows, rules: Sequence[view.RuleInfo], wording: view.Wording = view.SWEEP
) -> Iterator[str]:
    """Yield the document. Results are written one by one, and the parts that need all of them come last."""
    rule_indexes = {rule.name: index for index, rule in enumerate(rules)}
    driver = {
        "name": "jitid",
        "version": __version__,
        "rules": [_rule(rule, wording) for rule in rules],
    }
    bases = {wording.base: {"description": _message(wording.about)}}
    yield (
        f'{{"$schema": {dumps(SCHEMA)}, "version": "2.1.0", "runs": [{{"tool": {dumps({"driver": driver})}, '
        f'"originalUriBaseIds": {dumps(bases)}, "results": ['
    )
    between = "\n"
    coverage: list[view.Examined] = []
    summary: view.Summary | None = None
    for row in rows:
        if "state" in row:
            yield between + dumps(_result(row, rule_indexes, wording))
            between = ",\n"
        elif "coverage" in row:
            coverage.append(row["coverage"])
        else:
            summary = row["summary"]
    yield f'], "invocations": {dumps([_invocation(coverage, summary, rule_indexes)])}'
    if summary is not None:
        # Section 3.17: the part after the last slash distinguishes the runs.
        details = {"id": f"jitid {wording.verb}/{summary['sweep']}"}
        yield f', "automationDetails": {dumps(details)}'
    yield "}]}\n"


def _rule(rule: view.RuleInfo, wording: view.Wording) -> dict[str, Any]:
    return {
        "id": rule.name,
        "name": "".join(word.capitalize() for word in rule.name.split("-")),
        "shortDescription": _message(_sentence(rule.title)),
        "fullDescription": _message(f"{_sentence(rule.reports)} Not reported: {_sentence(rule.spares)}"),
        "help": _message(
            f"{_sentence(rule.reports)} Not reported: {_sentence(rule.spares)} Examined: {_sentence(rule.examines)} "
            f"Remedy: the command at the end of each result; `{wording.listing.format(rule=rule.name)}` lists them all."
        ),
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {
            "tags": ["security", *(f"OWASP {number}" for number in rule.owasp)],
            "security-severity": _SCORES[rule.severity],
        },
    }


def _result(row: view.FindingRow, rule_indexes: Mapping[str, int], wording: view.Wording) -> dict[str, Any]:
    ended = row["state"] == "ended"
    message = row["summary"]
    if ended:
        message += f"; ended: {row['proof']}" if row["proof"] else "; ended"
    elif row["remedy"]:
        message += f"; remedy: {row['remedy']}"
    suppressions = [{"kind": "external", "status": "accepted", "justification": "in the baseline"}]
    properties = {
        name: row[name]
        for name in ("severity", "since", "credentials", "remedy", "evidence")
        + ("sweep", "event", "ended_at", "proof", "offline_until") * ended
        if row[name] is not None
    }
    result: dict[str, Any] = {
        "ruleId": row["rule"],
        # Section 3.27.10: only a failed result has a level other than `none`.
        "kind": "pass" if ended else "fail",
        "level": "none" if ended else _LEVELS[row["severity"]],
        "message": _message(message),
        "locations": [_location(row, wording)],
        "partialFingerprints": {"jitid/v1": row["fingerprint"]},
        # Section 3.27.23: if one result of a run has suppressions, all results must have them.
        "suppressions": suppressions if row["state"] == "known" else [],
        "properties": properties,
    }
    if row["rule"] in rule_indexes:
        result["ruleIndex"] = rule_indexes[row["rule"]]
    return result


def _location(row: view.FindingRow, wording: view.Wording) -> dict[str, Any]:
    path = row["evidence"].get("path") if wording is not view.SWEEP else None
    if path is not None:
        return _place(str(path), row)
    # With the equals sign, a subject such as `..` is not a step in a path, and a colon does not end a scheme.
    uri = f"{quote(row['rule'], safe='')}={quote(row['subject'], safe='')}"
    return {
        "logicalLocations": [{"name": row["subject"], "fullyQualifiedName": row["subject"]}],
        # A viewer that lists results by their file hides results without a file.
        "physicalLocation": {"artifactLocation": {"uri": uri, "uriBaseId": wording.base}},
    }


def _place(path: str, row: view.FindingRow) -> dict[str, Any]:
    """Return the location of a finding in a file. Bytes of its name that are not UTF-8 are percent-encoded."""
    uri = quote(path.encode("utf-8", "surrogateescape"), safe="/")
    # A colon in the first step of a relative path would end a scheme (RFC 3986, section 4.2): it is encoded.
    relative = {"uri": uri, "uriBaseId": view.SCAN.base}
    physical_location: dict[str, Any] = {
        "artifactLocation": {"uri": f"file://{uri}"} if path[:1] == "/" else relative
    }
    if row["evidence"].get("line") is not None:
        physical_location["region"] = {"startLine": row["evidence"]["line"]}
    return {
        "logicalLocations": [{"name": safe(row["subject"]), "fullyQualifiedName": safe(row["subject"])}],
        "physicalLocation": physical_location,
    }


def _invocation(
    coverage: Sequence[view.Examined], summary: view.Summary | None, rule_indexes: Mapping[str, int]
) -> dict[str, Any]:
    missed = [
        {
            "level": "error",
            "message": _message(f"not examined: {reason}"),
            **(
                {"associatedRule": {"id": examined["rule"], "index": rule_indexes[examined["rule"]]}}
                if examined["rule"] in rule_indexes
                else {}
            ),
        }
        for examined in coverage
        for reason in examined["missed"]
    ]
    invocation: dict[str, Any] = {
        # Without a summary, the sweep broke off.
        "executionSuccessful": summary is not None and summary["complete"],
        "toolExecutionNotifications": missed,
        "properties": {"examined": {examined["rule"]: view.covered(examined) for examined in coverage}},
    }
    if summary is not None:
        invocation["endTimeUtc"] = summary["at"]
        if summary["host"] is not None:
            invocation["machine"] = safe(summary["host"])
    return invocation


def _message(message: str) -> dict[str, str]:
    """Return a plain text message (section 3.11) without links and placeholders."""
    escaped = safe(message).replace("](", "] (").replace("{", "{{").replace("}", "}}")
    return {"text": escaped}


def _sentence(phrase: str) -> str:
    return f"{phrase[:1].upper()}{phrase[1:].rstrip('.')}."
