"""Storage of a scan's findings, rule by rule, until all are known. Many findings wait in an unnamed file."""

from __future__ import annotations

import marshal
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, Any

from jitid.capabilities.sweep.finding import Finding, Severity
from jitid.cli.leak.scan_findings import ORDER
from jitid.errors import StorageError

_MOST_HELD = 20_000
"""Maximum number of findings that are held in memory, and sorted by their places."""


class FindingStore:
    """Store that takes findings in any order, and yields them once by rule, the most severe rule first."""

    def __init__(self) -> None:
        self._held: list[Finding] = []
        self._spilled: dict[str, IO[bytes]] = {}
        self._live: set[str] = set()
        self.count = 0

    @property
    def live(self) -> int:
        """Number of live credentials that were found."""
        return len(self._live)

    def extend(self, findings: Iterable[Finding]) -> None:
        """Store findings, which contain no secret."""
        for finding in findings:
            self.count += 1
            if finding.evidence.get("state") == "active":
                self._live.add(finding.evidence["jti"])
            if len(self._held) < _MOST_HELD:
                self._held.append(finding)
                continue
            try:
                file = self._spilled.get(finding.rule)
                if file is None:
                    file = self._spilled[finding.rule] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the store
                marshal.dump(_packed(finding), file)
            except OSError as error:
                raise StorageError(
                    f"there is no room for so many findings: {(error.strerror or 'error').lower()}",
                    "make some, or name a folder that has it in TMPDIR",
                ) from error

    def __iter__(self) -> Iterator[Finding]:
        self._held.sort(key=_place)
        for rule in ORDER:
            yield from (finding for finding in self._held if finding.rule == rule)
            file = self._spilled.pop(rule, None)
            if file is not None:
                with file:
                    yield from _read_spilled(file)


def _read_spilled(file: IO[bytes]) -> Iterator[Finding]:
    file.seek(0)
    while True:
        try:
            packed = marshal.load(file)  # noqa: S302 - written by this process in a private file
        except EOFError:
            return
        yield Finding(packed[0], Severity(packed[1]), *packed[2:])


def _packed(finding: Finding) -> tuple[Any, ...]:
    return (finding.rule, finding.severity.value, *finding[2:6], dict(finding.evidence), *finding[7:])


def _place(finding: Finding) -> tuple[str, str, int, str]:
    evidence = finding.evidence
    return evidence["path"], evidence["inside"] or "", evidence["line"] or 0, finding.subject
