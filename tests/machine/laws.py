"""The five laws, checked against jitid's own answers: no law consults the model.

*Absence of strangers* compares two runs, in `without_strangers`; the others look at one run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.machine.drivers import Backend
from tests.machine.model import OVERLAP, covered
from tests.machine.world import World, seconds


def law_line(world: World) -> None:
    """Line: a valid credential neither outlives nor exceeds the line from which it was made.

    Other credentials of the same identity do not matter.
    """
    for key, seen in world.seen.items():
        if not seen.valid:
            continue
        for other in _later(world, key):
            _within(world, key, other)
        for above in _sources(world, key):
            for head in [above, *_later(world, above)]:
                _within(world, key, head)


def _within(world: World, key: str, bound: str) -> None:
    """Check the actions of a token against the scopes and the expiry of another, as reported at issue."""
    if key not in world.seen or bound not in world.accepted:
        return
    if not covered(world.seen[key].actions, world.accepted[bound]["scopes"]):
        raise world.difference(
            None, f"law *line*: {key} may {sorted(world.seen[key].actions)}, beyond {bound}"
        )
    over = seconds(world.accepted[bound]["expires_at"]) <= world.model.now
    if over and bound in _sources(world, key) and not _later(world, bound):
        raise world.difference(None, f"law *line*: {key} is valid, and {bound} has expired")


def law_one_head(world: World) -> None:
    """One head: a line has at most one live head; a credential with a successor is invalid after the overlap."""
    successors: dict[str, list[str]] = {}
    for key, before in world.predecessor.items():
        if not _is_taken_back(world, key):
            successors.setdefault(before, []).append(key)
    for key, seen in world.seen.items():
        if not seen.valid:
            continue
        living = [after for after in successors.get(key, ()) if world.seen.get(after, seen).valid]
        if len([after for after in living if after in world.seen]) > 1:
            raise world.difference(None, f"law *one head*: {key} has two live successors {living}")
        for after in successors.get(key, ()):
            if world.model.now >= seconds(world.accepted[after]["issued_at"]) + OVERLAP:
                raise world.difference(None, f"law *one head*: {key} is alive after its overlap with {after}")


def law_reach(world: World) -> None:
    """Reach: scopes, audiences, kind, lifetime and delegator stay within the limits of the first issue."""
    for key, answer in world.accepted.items():
        before = world.predecessor.get(key)
        if before is not None:
            old = world.accepted[before]
            if answer["kind"] != old["kind"] or set(answer["audiences"]) != set(old["audiences"]):
                raise world.difference(None, f"law *reach*: the renewal {key} is of another kind or audience")
            if _lifetime(answer) > _lifetime(old):
                raise world.difference(None, f"law *reach*: the renewal {key} was given a longer life")
        for bound in filter(None, (before, world.made_from.get(key))):
            if bound not in world.accepted:
                continue
            above = world.accepted[bound]
            if not covered(answer["scopes"], above["scopes"]):
                raise world.difference(None, f"law *reach*: {key} holds more than {bound}")
            if answer["delegator"] != above["delegator"]:
                raise world.difference(None, f"law *reach*: {key} has another delegator than {bound}")


def _lifetime(answer: dict[str, object]) -> int:
    issued, expires = answer["issued_at"], answer["expires_at"]
    assert isinstance(issued, (str, int))
    assert isinstance(expires, (str, int))
    return seconds(expires) - seconds(issued)


def law_one_door(world: World) -> None:
    """One door: every entry point gives the same verdict about a token."""
    for key, seen in world.seen.items():
        if len(set(seen.doors.values())) > 1:
            raise world.difference(None, f"law *one door*: {key} is seen as {seen.doors}")
        if seen.actions and not seen.valid:
            raise world.difference(
                None, f"law *one door*: {key} is not valid, and may {sorted(seen.actions)}"
            )


LAWS: tuple[Callable[[World], None], ...] = (law_line, law_one_head, law_reach, law_one_door)


def without_strangers(world: World, backend: Backend) -> None:
    """Absence of strangers: without the steps of callers that lack permission or role, no other answer changes."""
    if not any(step.by_stranger for step in world.steps):
        return
    again = World(backend.new())
    try:
        for step in world.steps:
            if not step.by_stranger:
                again.do(step)
        for number, answer in again.answers.items():
            if world.answers[number] != answer:
                raise world.difference(
                    None, f"law *absence of strangers*: step {number} is {answer} without them"
                )
        for key, seen in again.seen.items():
            if world.seen.get(key, seen)[:2] != seen[:2]:
                raise world.difference(
                    None, f"law *absence of strangers*: {key} is seen as {seen} without them"
                )
    finally:
        again.driver.close()


def _later(world: World, key: str) -> list[str]:
    """Return the successors of a credential, the next one first, except successors that were taken back."""
    found: list[str] = []
    here = [key]
    while here:
        here = [
            after
            for after, before in world.predecessor.items()
            if before in here and not _is_taken_back(world, after)
        ]
        found += here
    return found


def _is_taken_back(world: World, key: str) -> bool:
    made = world.model.credentials.get(key)
    return made is not None and made.taken_back


def _sources(world: World, key: str) -> list[str]:
    """Return the credentials from which the lines of a credential and of its sources were made, up to the root."""
    return list(_walk(world, key))


def _walk(world: World, key: str) -> Iterator[str]:
    here: str | None = key
    while here is not None:
        while here in world.predecessor:
            here = world.predecessor[here]
        here = world.made_from.get(here)
        if here is not None:
            yield here
