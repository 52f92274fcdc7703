"""Reports of scanners: their real formats, and cut, mistyped, deep, long and hostile variants."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.capabilities.scan.reports.any_report import ReportFormat, parse
from jitid.capabilities.scan.reports.json_reader import MAX_DEPTH, MAX_VALUE
from jitid.capabilities.scan.reports.reported_finding import ReportedFinding
from jitid.errors import UsageError
from jitid.model.leak import LONGEST_PLACE, Sighting
from jitid.redaction.token_format import OPAQUE_PREFIX, checksum
from jitid.values.secret import fingerprint

_DIGITS = "0123456789abcdefABCDEFghijklmnop"
TOKEN = f"{OPAQUE_PREFIX}{_DIGITS}{checksum(_DIGITS.encode())}"
COMMIT = "8e09ade36391b924374ab4b9ebeb4643ad39ab33"

GITLEAKS: dict[str, Any] = {
    "RuleID": "jitid-token",
    "StartLine": 2,
    "Match": f"TOKEN={TOKEN}",
    "Secret": TOKEN,
    "File": "a.sh",
    "Commit": COMMIT,
    "Entropy": 4.98,
    "Date": "2026-11-26T00:38:44Z",
    "Tags": [],
}
BETTERLEAKS: dict[str, Any] = {
    "rule_id": "jitid-token",
    "match": {"full": TOKEN, "value": TOKEN, "fingerprint": fingerprint(TOKEN).hex()},
    "attributes": {"git.sha": COMMIT, "git.date": "2026-11-26T00:38:44Z", "resource": "git.patch_content"},
    "location": {"path": "a.sh", "start_line": 2},
}
KINGFISHER: dict[str, Any] = {
    "rule": {"name": "jitid.opaque", "id": "jitid-token"},
    "finding": {
        "snippet": TOKEN,
        "fingerprint": "3703506467186855483",
        "line": 2,
        "path": "a.sh",
        "git_metadata": {"commit": {"id": COMMIT, "date": "2026-11-26"}},
    },
}
TRUFFLEHOG: dict[str, Any] = {
    "SourceMetadata": {
        "Data": {
            "Git": {"commit": COMMIT, "file": "a.sh", "timestamp": "2026-11-26 00:38:44 +0000", "line": 2}
        }
    },
    "DetectorName": "jitid-token",
    "Verified": False,
    "Raw": TOKEN,
    "RawV2": "",
}
SARIF: dict[str, Any] = {
    "version": "2.1.0",
    "runs": [
        {
            # kingfisher writes the tool after its results.
            "results": [
                {
                    "ruleId": "jitid-token",
                    "message": {"text": "found"},
                    "locations": [
                        {
                            "physicalLocation": {
                                "artifactLocation": {"uri": "a.sh"},
                                "region": {"startLine": 2, "snippet": {"text": TOKEN}},
                            }
                        }
                    ],
                    "partialFingerprints": {"commitSha": COMMIT, "date": "2026-11-26T00:38:44Z"},
                }
            ],
            "tool": {"driver": {"rules": [{"id": "jitid-token"}], "name": "gitleaks"}},
        }
    ],
}


def read(
    text: str | bytes, format_: ReportFormat | None = None, step: int = 1 << 16
) -> list[ReportedFinding]:
    """Return all findings of a report that is read in pieces of `step` bytes."""
    data = text.encode() if isinstance(text, str) else text
    return list(parse((data[at : at + step] for at in range(0, len(data), step)), format_))


def lines(*values: object) -> str:
    """Return a report with one value per line."""
    return "".join(f"{json.dumps(value)}\n" for value in values)


_WHOLES = {
    "gitleaks": json.dumps([GITLEAKS], indent=1),
    "betterleaks": json.dumps(
        {"schema_version": "1", "findings": [BETTERLEAKS], "scan": {"state": "complete"}}
    ),
    "betterleaks lines": lines(
        {"schema_version": "1", "finding": BETTERLEAKS},
        {"schema_version": "1", "scan": {"state": "complete"}},
    ),
    "kingfisher": json.dumps({"findings": [KINGFISHER], "audit": {"summary": {}}}),
    "kingfisher lines": lines(KINGFISHER, {"audit": {"summary": {}}}),
    "trufflehog": lines(TRUFFLEHOG),
    "gitleaks, as SARIF": json.dumps(SARIF),
}


@pytest.mark.parametrize("whole", _WHOLES)
@pytest.mark.parametrize("step", [1, 7, 1 << 16])
def test_each_format_says_what_was_found_where_when_and_by_whom(whole: str, step: int) -> None:
    """The bytes may be divided at any position."""
    (found,) = read(_WHOLES[whole], step=step)
    # kingfisher reports only the day of a commit, which is not a time.
    time = None if whole.startswith("kingfisher") else 1795653524
    finder = f"{whole.split()[0].rstrip(',')} jitid-token"
    assert found.sighting == Sighting("a.sh", 2, COMMIT, time, finder)
    assert TOKEN.encode() in found.text
    assert not found.redacted


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        lines({"audit": {}}),
        lines({"schema_version": "1", "scan": {}}),
        '{"findings":[],"audit":{}}',
        '{"runs":[]}',
    ],
)
def test_a_report_that_nothing_was_found_is_one(text: str) -> None:
    """Such a report has no finding from which its scanner could be recognised."""
    assert read(text) == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "the report is empty"),
        (" \n", "the report is empty"),
        ("\x1f\x8b\x08", "the report is not JSON"),
        (f"export TOKEN={TOKEN}", "the report is not JSON"),
        ("{}", "the report is not in the format of a known scanner"),
        ('{"a": 1}', "an element that is not a known finding, before character 9 (line 1)"),
        ('[{"a": 1}]', "an element that is not a known finding"),
        ("[1]", "an element that is not a known finding"),
        ('{"runs": [{"results": [1]}]}', "a result that is not an object"),
        ("[" + json.dumps(GITLEAKS), "is cut short: it ends at character"),
        (json.dumps([GITLEAKS])[:-30], "is cut short: it ends at character"),
        ('{"runs": [{"artifacts": ["x', "is cut short: it ends at character 28 (line 1)"),
        ('{"runs": [{"artifacts": ["\\', "is cut short"),
        ("[" + json.dumps(GITLEAKS) + " x]", "is not JSON at character"),
        ("[" + "[" * 500_000, "is nested more than 64 levels deep"),
        ('{"runs":[{"artifacts":' + "[" * 500_000, "is nested more than 64 levels deep"),
        ('[{"a":' * 40 + "1", "is cut short"),
        ('[{"RuleID":"x","Secret":"' + "a" * (MAX_VALUE // 2), "is cut short"),
        ('[{"RuleID":"x","Secret":"' + "a" * (3 * MAX_VALUE), "a value of more than 4 million characters"),
        ('[{"RuleID":"x","Secret":"","n":' + "9" * 5_000 + "}]", "a number with too many digits"),
        (json.dumps([GITLEAKS]) + lines(KINGFISHER), "the format kingfisher instead of gitleaks"),
    ],
)
def test_what_is_no_report_is_refused_with_its_place(text: str, why: str) -> None:
    """No report causes an error of another type, and no message repeats a part of the report."""
    with pytest.raises(UsageError) as refused:
        read(text)
    assert why in refused.value.message
    assert TOKEN not in f"{refused.value.message}{refused.value.hint}"


def test_what_stood_before_the_break_comes_first_and_is_counted() -> None:
    """A caller that reads batch by batch knows the findings so far, and the position of the error."""
    text = "[" + ",\n".join([json.dumps(GITLEAKS)] * 3) + ",\n{"
    came: list[ReportedFinding] = []
    with pytest.raises(UsageError, match=r"cut short: it ends at character \d+ \(line 4\), after 3 findings"):
        for one in parse([text.encode()]):
            came.append(one)  # noqa: PERF402 - only the findings before the error count
    assert [one.sighting.line for one in came] == [2, 2, 2]


def test_results_that_wait_for_their_tool_come_before_what_is_wrong() -> None:
    """If SARIF is cut short, its tool is missing."""
    run = SARIF["runs"][0]
    text = json.dumps({"runs": [{"results": run["results"] * 3}]})[:-10]
    findings = parse([text.encode()])
    assert [next(findings).sighting.finder for _ in range(2)] == ["sarif jitid-token"] * 2
    with pytest.raises(UsageError, match=r"cut short: .*, after 2 findings"):
        next(findings)


def test_a_named_format_is_the_only_one() -> None:
    """A caller that names a format must learn that the report has another one."""
    assert read(_WHOLES["kingfisher"], ReportFormat.KINGFISHER)
    with pytest.raises(UsageError, match="the format kingfisher instead of gitleaks"):
        read(_WHOLES["kingfisher"], ReportFormat.GITLEAKS)


@pytest.mark.parametrize(
    ("element", "text"),
    [
        (GITLEAKS | {"Secret": "REDACTED", "Match": "TOKEN=REDACTED"}, b"TOKEN=REDACTED"),
        (GITLEAKS | {"Secret": "jitid_0123...", "Match": "jitid_0123..."}, b""),
        (KINGFISHER | {"finding": {"snippet": "[REDACTED:852af80d]", "path": "a.sh"}}, b""),
    ],
)
def test_a_redacted_report_says_so(element: dict[str, Any], text: bytes) -> None:
    """There is no string to search. This differs from a report without findings."""
    (found,) = read(json.dumps([element]))
    assert (found.text, found.redacted) == (text, True)


def test_a_fingerprint_stands_for_a_string_that_is_left_out() -> None:
    """Betterleaks writes the fingerprint in a redacted report too."""
    match = {"full": "REDACTED", "value": "REDACTED", "fingerprint": fingerprint(TOKEN).hex()}
    (found,) = read(json.dumps({"findings": [BETTERLEAKS | {"match": match}]}))
    assert (found.text, found.redacted) == (fingerprint(TOKEN).hex().encode(), False)


def test_hostile_members_are_left_out_and_hostile_text_stays_one_value() -> None:
    """A place is stored in databases, some of which do not accept NUL. An invalid line, commit or time is left out."""
    hostile = {
        "File": f"\ud800\0\x1b]0;x\x07\u202e{'x' * 2_000}/end",
        "StartLine": True,
        "Commit": "\n" + COMMIT,
        "Date": "yesterday",
        "RuleID": "r\0" * 100,
    }
    (found,) = read(json.dumps([GITLEAKS | hostile]))
    place, line, revision, found_at, finder = found.sighting
    assert (line, revision, found_at) == (None, None, None)
    assert len(place) == LONGEST_PLACE
    assert place.endswith("x/end")
    assert finder is not None
    assert "\0" not in finder
    (found,) = read(json.dumps([GITLEAKS | {"File": "\ud800\0\x1b.sh", "StartLine": 0}]))
    assert found.sighting.place == "?\ufffd\x1b.sh"
    assert found.sighting.line is None


def test_no_token_is_kept_as_a_place() -> None:
    """Some reports have the token in the file's name or in the address."""
    (found,) = read(json.dumps([GITLEAKS | {"File": f"logs/{TOKEN}/x.log"}]))
    assert found.sighting.place == "logs/****/x.log"
    (found,) = read(json.dumps([GITLEAKS | {"File": f"{TOKEN}/{'x' * (LONGEST_PLACE - 30)}"}]))
    assert TOKEN[-10:] not in found.sighting.place
    assert TOKEN not in repr(found)
    (found,) = read(
        json.dumps([GITLEAKS | {"File": "https://a:b%40c@x.example/y@z", "Commit": TOKEN, "RuleID": TOKEN}])
    )
    assert found.sighting == Sighting("https://****@x.example/y@z", 2, None, 1795653524, "gitleaks ****")


def test_a_tool_behind_many_results_is_not_waited_for() -> None:
    """The number of waiting results is limited. Their rule still names the finding."""
    run = SARIF["runs"][0]
    many = {"runs": [run | {"results": run["results"] * 1_500}]}
    finders = [one.sighting.finder for one in read(json.dumps(many))]
    assert finders == ["sarif jitid-token"] * 1_000 + ["gitleaks jitid-token"] * 500


def test_uris_of_files_become_paths() -> None:
    """URIs of files become paths (SARIF 2.1.0, section 3.4.3)."""
    result = json.loads(json.dumps(SARIF["runs"][0]["results"][0]))
    for uri, place in [
        ("a%20b.sh", "a b.sh"),
        ("file:///srv/a.sh", "/srv/a.sh"),
        ("https://x/a%20b", "https://x/a%20b"),
    ]:
        result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] = uri
        (found,) = read(json.dumps({"runs": [{"results": [result]}]}))
        assert found.sighting.place == place


@pytest.mark.parametrize("coding", ["utf-8-sig", "utf-16"])
def test_what_a_shell_of_windows_redirected_is_read(coding: str) -> None:
    """Such a shell writes a byte order mark first."""
    assert len(read(json.dumps([GITLEAKS], ensure_ascii=False).encode(coding), step=1)) == 1


def test_a_long_report_needs_little_memory() -> None:
    """Findings and skipped values may together be larger than the memory."""
    one = json.dumps(GITLEAKS).encode() + b","
    over = b'"' + b'x\\"' * 10_000 + b'",'

    def pieces() -> Iterator[bytes]:
        yield b'{"runs":[],"artifacts":['
        for _ in range(300):
            yield over
        yield b'0],"findings":['
        for _ in range(100):
            yield one * 100
        yield json.dumps(GITLEAKS).encode() + b"]}"

    tracemalloc.start()
    try:
        with pytest.raises(UsageError, match="the format gitleaks instead of sarif"):
            sum(1 for _ in parse(pieces()))
        assert sum(1 for _ in parse(piece.replace(b'"runs":[],', b"") for piece in pieces())) == 10_001
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_wide_is_not_deep() -> None:
    """Many lists beside one another are not deep."""
    wide = GITLEAKS | {"Tags": [[]] * 1_000}
    assert len(read(json.dumps([wide]))) == 1
    deep: Any = "x"
    for _ in range(MAX_DEPTH):
        deep = [deep]
    with pytest.raises(UsageError, match="nested more than 64 levels deep"):
        read(json.dumps([GITLEAKS | {"Tags": deep}]))


_PIECES = st.sampled_from(
    [
        '"',
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\\",
        "null",
        "1e999",
        "NaN",
        "\\ud800",
        "\xff",
        "-",
        '"runs":[',
        '"finding":{',
    ]
)


@given(
    whole=st.sampled_from(sorted(_WHOLES.values())),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30), _PIECES), min_size=1, max_size=4),
    step=st.sampled_from([1, 3, 50, 1 << 16]),
)
def test_whatever_is_done_to_a_report_it_is_read_or_refused(
    whole: str, changes: list[tuple[float, int, str]], step: int
) -> None:
    """There is no other outcome, and neither outcome shows the string."""
    for place, length, piece in changes:
        at = int(place * len(whole))
        whole = f"{whole[:at]}{piece}{whole[at + length :]}"
    try:
        for one in read(whole, step=step):
            assert TOKEN not in repr(one)
    except UsageError as refused:
        assert TOKEN not in f"{refused.message}{refused.hint}"
