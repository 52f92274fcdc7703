"""The nearest request that would pass, found by trying changed requests against the policy."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import combinations, islice, product
from shlex import quote as word
from typing import Any

from jitid.model.credential import USUAL_KINDS
from jitid.policy.policy_request import SENSITIVITIES, DirectoryFacts, PolicyRequest, has_purpose, local_time
from jitid.values.record import Record
from jitid.values.text import label, quote, safe
from jitid.values.times import format_duration, format_time

MOST_QUESTIONS = 1000
"""Number of questions to a policy of a hundred rules: they take about 50 ms, the longest that a denial waits."""

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

# The caller's login name is unknown here: a request that passes for an unknown user passes for the caller.
_UNKNOWN_USER = "user:?"

LIFETIMES = (86400, 28800, 14400, 3600, 1800, 900, 300, 60)


class _RequestChange(Record):
    phrase: str
    apply: Callable[[PolicyRequest], PolicyRequest]


def nearest_request(
    request: PolicyRequest,
    *,
    refused: Collection[str],
    passes: Callable[[PolicyRequest], bool],
    facts: Collection[str],
    numbers: Collection[int],
    fixed: Collection[str],
    most: int,
) -> str | None:
    """Return the changes with which the request would pass, or None; fewer changes first, then smaller ones.

    `refused` are the scopes refused on their own account, `facts` the facts that the policy reads, `numbers` the
    numbers that it compares with, `fixed` the fields of the request that must stay, and `most` the maximum number of
    requests to try.
    """
    changes = (
        ("purpose", {"purpose", "has_purpose"}, _purpose(request)),
        ("scopes", None, _scopes(request, refused)),
        ("lifetime", {"lifetime"}, _lifetime(request, numbers)),
        ("delegator_proof", {"delegator_proof"}, _proof(request)),
        ("standing", {"delegator_known", "delegator"}, _known(request)),
        ("audiences", {"audiences"}, _audiences(request)),
        ("kind", {"kind"}, _kind(request)),
        ("template", {"template"}, _template(request)),
        ("may_kind", None, _may_kind(request)),
        ("sensitivity", {"sensitivity"}, _sensitivity(request)),
        ("depth", {"depth"}, _depth(request)),
        ("now", {"now", "hour", "minute", "weekday"}, _later(request)),
    )
    # A field that no rule reads cannot matter.
    open_changes = [
        list(alternatives)
        for field, read_facts, alternatives in changes
        if field not in fixed and (read_facts is None or not read_facts.isdisjoint(facts))
    ]
    for chosen in islice(_sets(open_changes), most):
        other = request
        for change in chosen:
            other = change.apply(other)
        if passes(other):
            return "the same " + " and ".join(change.phrase for change in chosen)
    return None


def _sets(changes: list[list[_RequestChange]]) -> Iterator[tuple[_RequestChange, ...]]:
    for size in range(1, len(changes) + 1):
        for fields in combinations(changes, size):
            yield from product(*fields)


def _set(phrase: str, **fields: Any) -> _RequestChange:  # noqa: ANN401 - any field of the request
    return _RequestChange(phrase, lambda request: request._replace(**fields))


def _purpose(request: PolicyRequest) -> Iterator[_RequestChange]:
    if not has_purpose(request):
        yield _set("with --purpose TEXT", purpose="TEXT")


def _scopes(request: PolicyRequest, refused: Collection[str]) -> Iterator[_RequestChange]:
    wildcards = [scope for scope in request.scopes if "*" in scope]
    seen: list[set[str]] = [set()]
    for left_out in (set(refused), set(wildcards), {*refused, *wildcards}, set(request.scopes)):
        if left_out in seen:
            continue
        seen.append(left_out)
        kept = tuple(scope for scope in request.scopes if scope not in left_out)
        omitted = [scope for scope in dict.fromkeys(request.scopes) if scope in left_out]
        phrase = "without " + " ".join(f"--scope {quote(scope)}" for scope in omitted[:5])
        if len(omitted) > 5:
            phrase += f", {len(omitted) - 5} more" if kept else ", all others"
        yield _set(phrase, scopes=kept)


def _lifetime(request: PolicyRequest, numbers: Collection[int]) -> Iterator[_RequestChange]:
    candidates = {*LIFETIMES, *numbers, *(number - 1 for number in numbers)}
    for lifetime in sorted(candidates, reverse=True):
        if 0 < lifetime < request.lifetime:
            yield _set(f"with --ttl {format_duration(lifetime)}", lifetime=lifetime)


def _proof(request: PolicyRequest) -> Iterator[_RequestChange]:
    # Only the root delegator is proved; a request below it cannot change the proof.
    if request.delegator_proof != "asserted" or request.delegated:
        return
    if request.delegator.startswith("user:"):
        yield _set(
            "with your login name as --delegator",
            delegator=_UNKNOWN_USER,
            delegator_proof="os-user",
            standing=DirectoryFacts(registered=request.standing.registered, owner=request.standing.owner),
        )
    yield _set("with --delegator-token-file FILE", delegator_proof="oidc")


def _known(request: PolicyRequest) -> Iterator[_RequestChange]:
    # The directory has people and systems, but no agents: an agent delegates by its own credential.
    if request.delegator.startswith("agent:"):
        return

    def is_another(other: PolicyRequest) -> bool:
        # With the caller's own login as delegator, that user must be in the directory instead.
        return other.delegator == _UNKNOWN_USER

    def known(other: PolicyRequest) -> PolicyRequest:
        return other._replace(standing=other.standing._replace(known=True))

    yield _RequestChange(
        f"after {label(request.delegator)} is registered (jitid delegator add {word(safe(request.delegator))})",
        lambda other: other if is_another(other) else known(other),
    )
    yield _RequestChange(
        "after this name is registered (jitid delegator add)",
        lambda other: known(other) if is_another(other) else other,
    )


def _audiences(request: PolicyRequest) -> Iterator[_RequestChange]:
    if len(request.audiences) > 1:
        for audience in dict.fromkeys(request.audiences):
            kept = tuple(other for other in request.audiences if other != audience)
            yield _set(f"without --audience {quote(audience)}", audiences=kept)


def _kind(request: PolicyRequest) -> Iterator[_RequestChange]:
    for kind in USUAL_KINDS:
        if kind != request.kind:
            yield _set(f"with --kind {kind}", kind=kind, template="")


def _may_kind(request: PolicyRequest) -> Iterator[_RequestChange]:
    if request.may_kind:
        yield _set("without --may-kind", may_kind=())


def _template(request: PolicyRequest) -> Iterator[_RequestChange]:
    if request.template:
        yield _set("without a template", template="")


def _sensitivity(request: PolicyRequest) -> Iterator[_RequestChange]:
    if request.sensitivity in SENSITIVITIES:
        lower = SENSITIVITIES[: SENSITIVITIES.index(request.sensitivity)]
    else:
        lower = SENSITIVITIES
    for sensitivity in reversed(lower):
        yield _set(f"with --sensitivity {sensitivity}", sensitivity=sensitivity)


def _depth(request: PolicyRequest) -> Iterator[_RequestChange]:
    # Depth 0 has no parent: it would be another request, with another delegator.
    for depth in range(request.depth - 1, 0, -1):
        yield _set(f"from a parent of depth {depth - 1}", depth=depth)


def _later(request: PolicyRequest) -> Iterator[_RequestChange]:
    # The start of an hour in the zone; in some zones it is half past an hour of UTC.
    start = request.now - local_time(request) % 3600
    for hours in range(1, 7 * 24 + 1):
        moment = start + hours * 3600
        yield _set(f"at {format_time(moment)}{_zone_suffix(request, moment)}", now=moment)


def _zone_suffix(request: PolicyRequest, moment: int) -> str:
    """Return a time in words in the zone that the policy uses; empty for UTC."""
    if request.zone is None:
        return ""
    local = local_time(request._replace(now=moment))
    clock = f"{local // 3600 % 24:02}:{local // 60 % 60:02}"
    return f" ({_WEEKDAYS[(local // 86400 + 3) % 7]} {clock} in {request.zone})"
