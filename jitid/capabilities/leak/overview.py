"""A summary of many found credentials for a terminal: their numbers by task, agent and delegator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from jitid.formats.cell import cell
from jitid.model.task import written_task

if TYPE_CHECKING:
    from jitid.model.credential import Credential

MANY = 20
"""Maximum number of credentials that are shown one by one."""
_TOP = 10
"""Maximum number of names in a group."""
_NUMBERS = ("credentials", "valid", "ended")


class Overview:
    """The numbers of valid and ended credentials by task, agent and delegator."""

    def __init__(self) -> None:
        self.credentials = 0
        self.valid = 0
        self._groups: dict[str, dict[tuple[str, ...], list[int]]] = {"task": {}, "agent": {}, "delegator": {}}
        """For each kind of name, the numbers of all and of valid credentials of each name.

        A task has its owner and its name: another delegator may have opened a task of that name.
        """

    def add(self, credential: Credential, *, valid: bool) -> None:
        """Count a credential."""
        self.credentials += 1
        self.valid += valid
        task = (credential.task_opener, credential.task)
        names = (task, (credential.agent,), (credential.delegator,))
        for group, name in zip(self._groups.values(), names, strict=True):
            numbers = group.setdefault(name, [0, 0])
            numbers[0] += 1
            numbers[1] += valid

    @property
    def task(self) -> str | None:
        """The task of all the credentials as OWNER/NAME; None if they have several."""
        tasks = list(self._groups["task"])
        return written_task(*tasks[0]) if len(tasks) == 1 else None

    def text(self, *, colour: bool) -> Iterator[str]:
        """Yield the summary: for each kind of name the ten most frequent names, and the sum of the others."""
        yield f"{self.credentials:,} credentials: {self.valid:,} valid, {self.credentials - self.valid:,} ended\n"
        for kind, group in self._groups.items():
            yield "\n"
            yield _table(kind, list(_rows(kind, group)), colour=colour)


def _rows(kind: str, group: dict[tuple[str, ...], list[int]]) -> Iterator[tuple[str, ...]]:
    namesakes = Counter(names[-1] for names in group)
    ranked = sorted(group.items(), key=lambda item: (-item[1][0], item[0]))
    for names, numbers in ranked[:_TOP]:
        yield _row(cell(written_task(*names) if namesakes[names[-1]] > 1 else names[-1]), *numbers)
    others = ranked[_TOP:]
    if others:
        count = f"and {len(others):,} more {kind}{'' if len(others) == 1 else 's'}"
        yield _row(count, *(sum(numbers[index] for _, numbers in others) for index in range(2)))


def _row(name: str, credentials: int, valid: int) -> tuple[str, ...]:
    return (name, f"{credentials:,}", f"{valid:,}", f"{credentials - valid:,}")


def _table(kind: str, rows: list[tuple[str, ...]], *, colour: bool) -> str:
    from rich.cells import cell_len
    from rich.text import Text

    from jitid.formats.table import GAP, Column, ruled, terminal_width

    columns = list(zip((kind, *_NUMBERS), *rows, strict=True))
    widths = [max(map(cell_len, column)) for column in columns]
    room = terminal_width() - sum(widths[1:]) - GAP * len(_NUMBERS)
    # A name that is wider than that is folded.
    widths[0] = max(min(widths[0], room), len(kind))
    return ruled(
        [
            Column(width, name, right=index > 0)
            for index, (width, name) in enumerate(zip(widths, (kind, *_NUMBERS), strict=True))
        ],
        (map(Text, row) for row in rows),
        colour,
        header="bold",
    )
