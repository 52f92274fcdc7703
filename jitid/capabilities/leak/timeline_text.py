"""The timeline of a leak as Markdown, for an incident report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from jitid.formats.markdown import code
from jitid.model.credential import LEEWAY_TEXT, Kind, accepted_until, sentence
from jitid.model.target import BY_HAND
from jitid.values.text import number_of
from jitid.values.times import format_duration, format_time

if TYPE_CHECKING:
    from jitid.capabilities.leak.exposure import LeakDetails
    from jitid.capabilities.leak.timeline import Account, Step
    from jitid.model.leak import Aftermath


class Foreign(str):
    """A text from outside jitid, which is marked as such."""

    __slots__ = ()


Words = Sequence[str]
"""The pieces of a sentence; some are `Foreign`."""

_SHORT_REVISION = 12
_ENDED = {
    "revoked": "revoked",
    "retired": "retired with its task",
    "expired": "expired",
    "superseded": "superseded by its successor",
}


def words(step: Step) -> Words:
    """Return a sentence about a step, without its time and its event."""
    facts = step.facts
    match step.what:
        case "issued":
            verb = "adopted as " if facts["kind"] == Kind.ADOPTED else "issued as "
            return [verb, Foreign(facts["jti"]), *_by(step)]
        case "seen":
            spot = facts["place"] if facts["line"] is None else f"{facts['place']}:{facts['line']}"
            return ["seen in ", Foreign(spot), *_at_revision(facts), *_by(step)]
        case "made":
            how = ["delegated to ", Foreign(facts["agent"])] if facts["depth"] else ["renewed"]
            return [*how, f" as {facts['kind']} ", Foreign(facts["jti"])]
        case "used" | "refused":
            return _use(step)
        case "reported":
            return ["reported as leaked: ", Foreign(facts["source"]), *_by(step)]
        case "recorded" if "places" in facts:
            return [f"seen in {number_of(facts['places'], 'more place')}", *_by(step)]
        case "recorded":
            return ["recorded in the ledger", *_by(step)]
        case "ended":
            return _end(step)
        case "settled":
            if facts["target"] == BY_HAND:
                return [
                    f"{number_of(facts['credentials'], 'credential')} ended where kept: confirmed by an operator"
                ]
            subject = f"{number_of(facts['credentials'], 'credential')} at the target "
            return [subject, Foreign(facts["target"]), f": {facts['settlement'] or 'settled'}"]
        case "proved":
            return [
                "proved",
                *_by(step),
                ": the ledger refuses the credential and all credentials derived from it",
            ]
        case "lapsed":
            return [
                f"accepted by no verifier any more: {LEEWAY_TEXT} have passed since the last signed expiry"
            ]
        case "closed":
            return ["closed", *_by(step), *_reason(facts)]
        case _:
            return [step.what, *_by(step)]


def _use(step: Step) -> Words:
    facts = step.facts
    parts: list[str] = ["used: " if step.what == "used" else "refused: ", Foreign(facts["action"]), " on "]
    parts += [Foreign(facts["resource"]), *_by(step)]
    if facts["times"] > 1:
        parts.append(
            f", {facts['times']} times until {format_time(facts['last_at'])} (event {facts['last_event']})"
        )
    if facts["after"]:
        parts.append(", after the report")
    return parts


def _end(step: Step) -> Words:
    facts = step.facts
    how = _ENDED.get(facts["state"], facts["state"])
    others = facts["credentials"] - facts["own"]
    if facts["own"]:
        parts: list[str] = [how]
        if others:
            parts.append(f", with {number_of(others, 'other credential')} of its identity or below")
    else:
        parts = [f"{number_of(others, 'other credential')} of its identity or below: {how}"]
    return [*parts, *_by(step), *_reason(facts)]


def _by(step: Step) -> Words:
    return [] if step.by is None else [" by ", Foreign(step.by)]


def _reason(facts: Any) -> Words:  # noqa: ANN401 - facts are of any type
    return [": ", Foreign(facts["reason"])] if facts.get("reason") else []


def _at_revision(facts: Any) -> Words:  # noqa: ANN401 - as above
    return [" at ", Foreign(facts["revision"][:_SHORT_REVISION])] if facts["revision"] else []


def heading(account: Account) -> Words:
    """Return the title of a leak, in one line."""
    credential = account.details.leaked.credential
    return [
        f"Leak {account.leak.key}: {credential.kind} of ",
        Foreign(credential.agent),
        " on ",
        Foreign(credential.task),
    ]


def state_sentence(account: Account) -> str:
    """Return the current state of a leak, in a sentence."""
    leak, live = account.leak, account.aftermath.live
    if live:
        text = f"LIVE: {number_of(live, 'credential')} of its identity or below still work"
        return f"{text}s" if live == 1 else text
    proof = "not proved yet" if leak.proved_at is None else "proved"
    text = sentence(leak, account.details.leaked.now)
    return f"{text}; {proof}, {'open' if leak.closed_at is None else 'closed'}"


def exposures(account: Account) -> Iterator[tuple[str, str]]:
    """Yield the periods of exposure, each with its name and duration."""
    leaked = account.details.leaked
    leak, credential = account.leak, leaked.credential
    if leak.refused_since is None:
        until_now = max(leaked.now - leak.reported_at, 0)
        yield (
            "from the report until now, while the ledger accepts credentials of its identity or below",
            format_duration(until_now),
        )
    else:
        refused = max(leak.refused_since - leak.reported_at, 0)
        yield (
            "from the report until the ledger refused all credentials of its identity and below",
            format_duration(refused),
        )
        if leaked.exposure_verifiers is None:
            yield (
                "from the report until no verifier accepts any of them",
                "unknown: the target has not confirmed the revocation",
            )
        else:
            yield (
                "from the report until no verifier accepts any of them",
                format_duration(leaked.exposure_verifiers),
            )
    if leak.proved_at is not None:
        yield "from the report to the proof that the ledger refuses it", format_duration(account.exposure)
    for period, start in (
        ("from the report to the end of the credential", leak.reported_at),
        ("from the first sighting to the end of the credential", account.first_seen_at),
        ("from the issue to the end of the credential", credential.issued_at),
    ):
        seconds = between(start, leak.dead_at)
        if seconds is not None:
            yield period, format_duration(seconds)


def facts(account: Account) -> Iterator[tuple[str, Words]]:
    """Yield the facts of a leak for an incident report, each with its title."""
    details, aftermath = account.details, account.aftermath
    leak, credential = account.leak, details.leaked.credential
    yield "Credential", [Foreign(credential.jti), " of ", Foreign(credential.id)]
    chain: list[str] = []
    for hop in details.chain:
        chain += [" → " if chain else "", Foreign(hop)]
    yield "Delegated by", [*chain, f" (delegator {credential.delegator_proof})"]
    purpose = [", ", Foreign(credential.purpose)] if credential.purpose else []
    yield "For", ["task ", Foreign(credential.task), *purpose, f" ({credential.sensitivity})"]
    yield "Rights", list(_rights(account))
    yield "Uses", list(_used(aftermath))
    yield "Found", list(_found(details))
    reporter = details.event.get("by")
    by_reporter = [" by ", Foreign(reporter)] if reporter else []
    audit_event = f" (audit event {leak.event})"
    yield "Reported", [format_time(leak.reported_at), *by_reporter, ": ", Foreign(leak.source), audit_event]
    yield "Ended", list(_ended(details))
    credentials = number_of(aftermath.credentials - 1, "credential")
    identities = number_of(aftermath.identities, "identity", "identities")
    below = f"{credentials} of its identity and of {identities} below"
    yield (
        "Derived from it",
        [f"{below}, {aftermath.later} of them after the report; {aftermath.live} live now, itself included"],
    )
    if aftermath.at_targets:
        yield "At targets", list(_at_targets(aftermath))
    yield "Verifiers", list(_verifiers(details))
    if leak.kin is not None:
        yield "To revoke", [Foreign(f"jitid revoke {credential.jti}")]


def _ended(details: LeakDetails) -> Iterator[str]:
    leak, event = details.leaked.leak, details.ended_event
    if leak.dead_at is None:
        yield "not yet"
        return
    yield f"{format_time(leak.dead_at)}, {_ENDED.get(details.leaked.state, details.leaked.state)}"
    if event and details.leaked.state not in ("expired", "superseded"):
        yield " by "
        yield Foreign(event["by"])
        yield from _reason(event)
        yield f" (audit event {event['seq']})"


def _verifiers(details: LeakDetails) -> Iterator[str]:
    """Yield the facts about offline verifiers."""
    leak, now = details.leaked.leak, details.leaked.now
    until = leak.accepted_until
    if leak.refused_since is None:
        offline = details.leaked.offline_until
        yield "the ledger still accepts credentials of its identity or below"
        if offline is not None:
            yield f"; offline verifiers accept this credential until {format_time(accepted_until(offline))}"
    elif until is None:
        yield "unknown: the target has not confirmed the revocation"
    elif until > now:
        yield f"offline verifiers accept some until {format_time(until)}, {LEEWAY_TEXT} after the last signed expiry"
    else:
        yield f"accepted by no verifier since {format_time(until)}"


def _rights(account: Account) -> Iterator[str]:
    credential = account.details.leaked.credential
    yield from _listed(credential.scopes) if credential.scopes else ["no scopes: the identity alone"]
    if credential.details is not None:
        yield ", with details "
        yield Foreign(credential.details)
    yield "; for "
    yield from _listed(credential.audiences)
    yield f"; until {format_time(credential.expires_at)}"


def _listed(texts: Sequence[str]) -> Iterator[str]:
    for index, text in enumerate(texts):
        if index:
            yield " "
        yield Foreign(text)


def _used(aftermath: Aftermath) -> Iterator[str]:
    if not aftermath.acted:
        yield "no use was reported to the ledger"
        return
    for after_report, when in ((False, "before the report"), (True, "after the report")):
        uses = [use for use in aftermath.acted if use.after is after_report]
        allowed = sum(use.times for use in uses if use.allowed)
        refused = sum(use.times for use in uses if not use.allowed)
        if after_report:
            yield "; "
        yield f"{when} {number_of(allowed, 'action')}"
        if refused:
            yield f" and {refused} refused"


_SHOWN = 10


def _found(details: LeakDetails) -> Iterator[str]:
    leak_places = details.leaked.places
    if leak_places is None:
        yield "no exact place was reported"
        return
    yield number_of(leak_places.total, "place")
    for index, seen_place in enumerate(details.seen[:_SHOWN]):
        yield ", " if index else ": "
        yield Foreign(seen_place.sighting.spot)
        if seen_place.sighting.revision:
            yield " at "
            yield Foreign(seen_place.sighting.revision[:_SHORT_REVISION])
    if leak_places.total > _SHOWN:
        yield f" and {leak_places.total - _SHOWN} more"


def _at_targets(aftermath: Aftermath) -> Iterator[str]:
    for index, at_target in enumerate(aftermath.at_targets):
        if index:
            yield "; "
        yield Foreign(at_target.target)
        settled = (
            "not settled yet"
            if at_target.settled_at is None
            else f"settled {format_time(at_target.settled_at)}"
        )
        yield f": {number_of(at_target.credentials, 'credential')} {at_target.settlement or ''}, {settled}".replace(
            " ,", ","
        )


def written(pieces: Words, foreign: Callable[[str], str]) -> str:
    """Return a sentence, with `foreign` applied to its `Foreign` pieces."""
    return "".join(foreign(piece) if isinstance(piece, Foreign) else piece for piece in pieces)


def text(accounts: Sequence[Account], width: int | None = None) -> Iterator[str]:
    """Yield the Markdown of an incident: the facts of each leak, and its steps in the order of time.

    `width` is the number of columns of the lines; None for lines of any length.
    """
    now = max(account.details.leaked.now for account in accounts)
    if len(accounts) > 1:
        yield f"# {len(accounts)} leaks, as of {format_time(now)}\n\n"
        for account in accounts:
            yield _item([*heading(account), f": {state_sentence(account)}"], width)
        yield "\n"
    for index, account in enumerate(accounts):
        if index:
            yield "\n"
        yield from _account(account, "#" if len(accounts) == 1 else "##", width)


def _account(account: Account, mark: str, width: int | None) -> Iterator[str]:
    yield f"{mark} {written(heading(account), code)}\n\n"
    now = format_time(account.details.leaked.now)
    yield _broken([f"**{state_sentence(account)}**, as of {now}."], width) + "\n"
    for name, fact in facts(account):
        yield _item([f"**{name}:** ", *fact], width)
    for period, duration in exposures(account):
        yield _item([f"**Exposed** {period}: {duration}"], width)
    yield f"\n{mark}# Timeline\n\n"
    for step in account.steps:
        event = [] if step.event is None else [f" (audit event {step.event})"]
        yield _item([f"{format_time(step.at)} ", *words(step), *event], width)


_BREAK = "\0"
"""Mark of a possible line break: shown text never contains this character."""


def _item(words: Words, width: int | None) -> str:
    """Return an item of a list."""
    return _broken(words, width, "- ", "  ")


def _broken(words: Words, width: int | None, first_indent: str = "", indent: str = "") -> str:
    """Return text in lines, broken only between jitid's words: a break in a code span would be visible."""
    breakable = [piece if isinstance(piece, Foreign) else piece.replace(" ", _BREAK) for piece in words]
    lines: list[str] = []
    line = first_indent
    for word in written(breakable, code).split(_BREAK):
        if line in (first_indent, indent):
            line += word
        elif width is not None and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = indent + word
        else:
            line += f" {word}"
    return "".join(f"{text_line}\n" for text_line in [*lines, line])


def between(start: int | None, end: int | None) -> int | None:
    """Return the seconds between two times; None if either is unknown, and 0 if they are in the other order."""
    return None if start is None or end is None else max(end - start, 0)
