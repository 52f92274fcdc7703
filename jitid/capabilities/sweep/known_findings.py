"""Findings of a baseline: they are known, so that a sweep does not report them as new and leaves them alone."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator

from jitid.capabilities.sweep.finding import Finding, Severity


class KnownFindings:
    """The findings of a baseline, sixteen bytes each: there may be a million."""

    def __init__(self, entries: Iterable[tuple[int, int]]) -> None:
        """`entries` are fingerprints with numbers of credentials."""
        prints, numbers = array("Q"), array("Q")
        for fingerprint, credentials in entries:
            prints.append(fingerprint)
            numbers.append(credentials)
        order = sorted(range(len(prints)), key=prints.__getitem__)
        self._prints = array("Q", (prints[index] for index in order))
        self._numbers = array("Q", (numbers[index] for index in order))

    def __contains__(self, finding: object) -> bool:
        assert isinstance(finding, Finding)
        # A critical finding always counts as new, even if the baseline contains it.
        if finding.severity is Severity.CRITICAL:
            return False
        return finding.credentials <= self.number(int(finding.fingerprint, 16))

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield the fingerprints in their order, each with its number of credentials."""
        return zip(self._prints, self._numbers, strict=True)

    def number(self, fingerprint: int) -> int:
        """Return the largest number of credentials of a finding with that fingerprint; -1 if there is none."""
        index = bisect_left(self._prints, fingerprint)
        largest = -1
        while index < len(self._prints) and self._prints[index] == fingerprint:
            largest = max(largest, self._numbers[index])
            index += 1
        return largest
