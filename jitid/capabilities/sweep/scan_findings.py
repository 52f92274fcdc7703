"""The findings of a scan: each place, with the ledger's facts about the string in that place."""

from __future__ import annotations

import marshal
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

from jitid.capabilities.leak.trace_result import Match, Stray, Traced, honour
from jitid.capabilities.scan.hits import MOST_PLACES, Hit
from jitid.capabilities.sweep.finding import Finding, Severity
from jitid.capabilities.sweep.findings_view import RuleInfo
from jitid.errors import StorageError
from jitid.model.access import AccessState
from jitid.model.credential import Credential, Kind, State
from jitid.model.leak import starred
from jitid.search.find import Finds, mark
from jitid.values.times import format_time

_SPARED = "cut or mistyped tokens, which are only counted; ids, which are not secret"

RULES = (
    RuleInfo(
        "secret-live",
        Severity.CRITICAL,
        ("NHI2:2025",),
        "jitid secrets of live credentials or identities",
        "a secret of a valid credential, of one with a live identity, or that its target may accept",
        "a secret that no longer works: see `secret-ended` and `secret-dead`",
        "each place of each string that the ledger knows",
    ),
    RuleInfo(
        "signing-key",
        Severity.CRITICAL,
        ("NHI2:2025",),
        "Exposed signing keys",
        "a private key that signs for the ledger, or a forged token: signed with such a key, but never issued",
        "public keys",
        "each token with the key id of a jitid key, and each private key",
    ),
    RuleInfo(
        "access-live",
        Severity.CRITICAL,
        ("NHI2:2025",),
        "Valid access tokens for an authority",
        "an access token that an authority accepts",
        "a revoked or expired access token: see `secret-dead`",
        "each place of each access token that the ledger knows",
    ),
    RuleInfo(
        "standing-secret",
        Severity.HIGH,
        ("NHI2:2025", "NHI7:2025"),
        "Live adopted secrets",
        "an adopted secret that has not ended",
        "an adopted secret that has ended: see `secret-dead`",
        "each place of each adopted secret",
    ),
    RuleInfo(
        "secret-unknown",
        Severity.MEDIUM,
        ("NHI2:2025",),
        "Secrets in jitid's form that this ledger does not know",
        "a token with jitid's form and checksum from another ledger, or from any ledger if none was queried",
        _SPARED,
        "each place of each string in jitid's form",
    ),
    RuleInfo(
        "secret-ended",
        Severity.MEDIUM,
        ("NHI2:2025",),
        "jitid secrets that are no longer valid, but not yet refused everywhere",
        "a secret of an ended credential and identity that offline verifiers may still accept",
        "one of a live credential or identity: see `secret-live`; one refused everywhere: see `secret-dead`",
        "each place of each string that the ledger knows",
    ),
    RuleInfo(
        "secret-dead",
        Severity.LOW,
        ("NHI2:2025",),
        "jitid secrets that are refused everywhere",
        "a token or other secret of a credential that has ended, with its identity and all descendants",
        "a secret that is still accepted anywhere: see `secret-live` and `secret-ended`",
        "each place of each string that the ledger knows",
    ),
)
ORDER = {rule.name: number for number, rule in enumerate(RULES)}
_SEVERITY = {rule.name: rule.severity for rule in RULES}

_FORMS = {
    "opaque": "an opaque token",
    "signed": "a signed token",
    "foreign": "a signed token",
    "cut": "a part of a signed token",
    "prints": "a certificate",
    "keys": "a private key",
    "locked": "a private key with a passphrase",
    "secrets": "a secret",
}
_MATCHES = {
    "opaque": ("opaque", "fingerprint"),
    "cut": ("truncated-jwt", None),
    "prints": ("certificate", "fingerprint"),
    "keys": ("private-key", "fingerprint"),
    "locked": ("private-key", None),
    "secrets": ("secret", "fingerprint"),
}
NO_LEDGER = "no ledger was queried"
_UNKNOWN = "this ledger does not know it"
_STILL_VALID = "still valid, revoke it first"
_JITID_FORMS = frozenset({"opaque", "signed", "cut"})
"""Types of strings in jitid's own form."""


def place_of(hit: Hit) -> str:
    """Return the place of a hit for people: `PATH:LINE`, with the member of an archive and the commit."""
    text = hit.place if hit.inside is None else f"{hit.place}!{hit.inside}"
    text = text if hit.line is None else f"{text}:{hit.line}"
    return text if hit.revision is None else f"{text}@{hit.revision[:12]}"


def reportable(hits: list[Hit], traced: Traced | None) -> list[Hit]:
    """Return the hits to report: without a ledger, only strings in jitid's form."""
    if traced is None:
        return [hit for hit in hits if hit.sort in _JITID_FORMS]
    marks = {mark for match in traced.matches for mark in match.marks}
    marks.update(mark for stray in traced.strays for mark in stray.marks)
    marks.update(traced.others)
    return [hit for hit in hits if hit.mark in marks]


def known(traced: Traced | None) -> frozenset[bytes]:
    """Return the marks of the strings that the ledger knows."""
    if traced is None:
        return frozenset()
    matches = (mark for match in traced.matches for mark in match.marks)
    return frozenset((*matches, *(mark for stray in traced.strays if stray.known for mark in stray.marks)))


def refused_marks(traced: Traced) -> frozenset[bytes]:
    """Return the marks of proved secrets that no verifier accepts any more."""
    refused = {
        mark
        for match in traced.matches
        if match.evidence.proof and _state(match, traced.now)[0] == "secret-dead"
        for mark in match.marks
    }
    refused.update(
        mark
        for stray in traced.strays
        if stray.access is not None and stray.state not in (None, AccessState.ACTIVE)
        for mark in stray.marks
    )
    # A string may prove two credentials: then both must be refused.
    return frozenset(
        refused.difference(
            mark
            for match in traced.matches
            if not (match.evidence.proof and _state(match, traced.now)[0] == "secret-dead")
            for mark in match.marks
        )
    )


def kept_marks(traced: Traced) -> dict[bytes, str]:
    """Return the marks of known secrets that a verifier may still accept, each with the reason to keep it."""
    refused = refused_marks(traced)
    kept = {
        mark: _reason_to_keep(match)
        for match in traced.matches
        if match.evidence.proof
        for mark in match.marks
        if mark not in refused
    }
    for stray in traced.strays:
        if stray.known:
            kept.update((mark, _STILL_VALID) for mark in stray.marks if mark not in refused)
    return kept


def _reason_to_keep(match: Match) -> str:
    honoured_by, until = honour(match)
    if match.credential.kind == Kind.ADOPTED and (match.reason is None or match.at_target):
        return "adopted and live, end it first: jitid adopt end"
    if match.reason is None or match.endable or until is None:
        return _STILL_VALID
    return f"{honoured_by} may accept it until {format_time(until)}; repeat then"


def offline(hits: list[Hit]) -> Iterator[Finding]:
    """Yield the findings of hits without a ledger."""
    for hit in hits:
        if hit.sort in _JITID_FORMS:
            yield _unknown(hit, NO_LEDGER)


def findings(hits: list[Hit], traced: Traced) -> Iterator[Finding]:
    """Yield the findings of hits, with the ledger's facts about the strings."""
    matches = {mark: match for match in traced.matches for mark in match.marks}
    strays = {mark: stray for stray in traced.strays for mark in stray.marks}
    others = frozenset(traced.others)
    for hit in hits:
        match = matches.get(hit.mark)
        if match is not None:
            yield of_match(hit, match, traced.now)
            continue
        stray = strays.get(hit.mark)
        if stray is not None:
            yield _stray(hit, stray)
        elif hit.mark in others:
            yield _unknown(hit, _UNKNOWN)


def of_match(hit: Hit, match: Match, now: int) -> Finding:
    """Return the finding of a place that contains a string of a credential."""
    hit, credential = _shown(hit), match.credential
    rule, condition = _state(match, now)
    name, proof = _MATCHES.get(hit.sort, (match.evidence.match, match.evidence.proof))
    if match.evidence.match == "id":
        # This part of a secret is not secret by itself, such as a user's name.
        name, proof = "id", None
    evidence = {
        **_where(hit),
        "match": name,
        "proof": proof,
        "jti": credential.jti,
        "id": credential.id,
        "kind": credential.kind,
        "state": match.state_at(now),
        "agent": credential.agent,
        "task": credential.task,
        "task_state": match.task.state_at(now),
        "purpose": credential.purpose,
        "delegator": credential.delegator,
        "chain": match.chain,
        "live_descendants": match.family.live_below,
        "issued_at": credential.issued_at,
        "expires_at": credential.expires_at,
        "ended_at": credential.ended_at,
    }
    form = "a forged token" if name == "forged-jwt" else _FORMS[hit.sort]
    return Finding(
        rule,
        _graded(rule, hit.sort, proof, alive=match.reason is None or match.endable),
        place_of(hit),
        f"{form} of {credential.agent} for task {credential.task}, by {credential.delegator}: "
        f"{condition}{_history_note(hit)}{_context_note(hit)}",
        None,
        1,
        evidence,
        f"jitid revoke {credential.jti}" if match.endable else None,
        revokes=match.family.live_below + 1 if match.endable else 0,
    )


def _state(match: Match, now: int) -> tuple[str, str]:
    """Return the rule for a found credential, and words about its state."""
    credential, (honoured_by, honoured_until) = match.credential, honour(match)
    if match.reason is None and credential.kind == "adopted":
        return "standing-secret", "it is live"
    if match.reason is None:
        return "secret-live", f"it is valid{_end(credential, honoured_until)}"
    invalid = _invalid(match.reason, match.state_at(now))
    if honoured_until is not None and credential.kind == "adopted" and not match.endable:
        return "standing-secret", f"{match.reason}, but may still work where it is kept"
    facts = [invalid]
    if match.endable:
        below = match.family.live_below
        facts.append(f"its identity and {below} below it are live" if below else "its identity is live")
    if honoured_until is not None:
        facts.append(f"{honoured_by} may accept it until {format_time(honoured_until)}")
    if match.endable or match.at_target:
        # A holder of the secret may have delegated from it: there is something to revoke.
        rule = "secret-live"
    else:
        rule = "secret-dead" if honoured_until is None else "secret-ended"
    return rule, "; ".join(facts)


def _invalid(reason: str, state: str) -> str:
    """Return in words that a credential is not valid, and why."""
    if state not in _ENDED:
        return f"not valid: {reason}"
    return f"no longer valid: {reason.removeprefix('the credential ').removeprefix('was ')}"


_ENDED = (State.EXPIRED, State.REVOKED, State.RETIRED, State.SUPERSEDED)


def _end(credential: Credential, honoured_until: int | None) -> str:
    """Return in words when a live credential expires, and until when offline verifiers accept it."""
    lead = ", and expires at" if credential.ends_at == credential.expires_at else " until"
    text = f"{lead} {format_time(credential.ends_at)}"
    if credential.claims_hash is None or honoured_until is None:
        return text
    return f"{text}; offline verifiers accept it until {format_time(honoured_until)}"


def _graded(rule: str, category: str, proof: str | None, *, alive: bool) -> Severity:
    severity = _SEVERITY[rule]
    if rule == "secret-live" and not alive:
        severity = Severity.HIGH
    if category == "prints":
        # A certificate is public.
        return Severity.INFO
    if proof is None:
        # Without proof, any user could have written the string.
        return min(severity, Severity.MEDIUM, key=lambda grade: grade.rank)
    return severity


def _stray(hit: Hit, stray: Stray) -> Finding:
    if stray.signed_by is not None:
        return _plain(hit, "signing-key", stray.reason, f"jitid keys revoke {stray.signed_by}")
    if stray.access is not None:
        alive = stray.state == AccessState.ACTIVE
        if alive:
            return _plain(hit, "access-live", stray.reason, f"jitid access revoke {stray.access}")
        return _plain(hit, "secret-dead", f"no longer valid: {stray.reason}", None)
    if hit.sort == "keys":
        return _plain(hit, "secret-dead", f"no longer valid: {stray.reason}", None)
    return _unknown(hit, stray.reason)


def _unknown(hit: Hit, reason: str) -> Finding:
    severity = Severity.LOW if hit.sort == "cut" else Severity.MEDIUM
    finding = _plain(hit, "secret-unknown", f"{_FORMS[hit.sort]}: {reason}", None)
    return finding._replace(severity=severity)


def _plain(hit: Hit, rule: str, summary: str, remedy: str | None) -> Finding:
    hit = _shown(hit)
    name = _MATCHES.get(hit.sort, ("jwt", None))[0]
    evidence = {**_where(hit), "match": name}
    return Finding(
        rule,
        _SEVERITY[rule],
        place_of(hit),
        f"{summary}{_history_note(hit)}{_context_note(hit)}",
        None,
        0,
        evidence,
        remedy,
    )


def _history_note(hit: Hit) -> str:
    """Return a note if the string is not in HEAD: the repository's current files do not show it."""
    if hit.origin is None or hit.origin.in_head is not False:
        return ""
    if hit.revision is None:
        return "; not found in any commit that a ref reaches"
    return "; in the history, but not in HEAD"


def _context_note(hit: Hit) -> str:
    """Return a note about the session and the command, according to the files of an agent."""
    context = hit.context
    if context is None or (context.session is None and context.tool is None):
        return ""
    session = "" if context.session is None else f" session {context.session}"
    tool = "" if context.tool is None else f", tool {context.tool}"
    command = "" if context.command is None else f": {context.command}"
    return f"; {context.client}{session}{tool}{command}"


def _shown(hit: Hit) -> Hit:
    """Return a hit whose place contains no token."""
    path, inside = starred(hit.place), hit.inside and starred(hit.inside)
    return hit if (path, inside) == (hit.place, hit.inside) else hit._replace(place=path, inside=inside)


def _where(hit: Hit) -> Mapping[str, Any]:
    where = {
        "path": hit.place,
        "line": hit.line,
        "commit": hit.revision,
        "inside": hit.inside,
        "offset": hit.offset,
    }
    if hit.context is not None:
        where |= hit.context._asdict()
    if hit.origin is None:
        return where
    return where | {
        "authored_at": hit.origin.time,
        "in_head": hit.origin.in_head,
        "other_paths": hit.origin.others,
        "versions": hit.origin.versions,
    }


_MOST = 10_000
"""Maximum number of strings that are counted across batches. Others are counted in each batch separately."""


class _Many:
    """The places of one string."""

    def __init__(self, category: str, key: bytes | str) -> None:
        self.category = category
        self.key = key
        self.count = 0
        self.batches = 0
        self.hits: list[Hit] = []


class Counted:
    """Counter of the places of strings with recorded leaks."""

    def __init__(self) -> None:
        self._many: dict[bytes, _Many] = {}

    def note(self, hits: Sequence[Hit], finds: Finds) -> None:
        """Count a batch: the first places of each string, and the number of its places."""
        hits_by_mark: dict[bytes, list[Hit]] = {}
        for hit in hits:
            hits_by_mark.setdefault(hit.mark, []).append(hit)
        for category, key, count in finds.strings():
            string_mark = mark(category, key)
            tally = self._many.get(string_mark)
            if tally is None:
                if string_mark not in hits_by_mark or len(self._many) >= _MOST:
                    continue
                tally = self._many[string_mark] = _Many(category, key)
            tally.count += count
            tally.batches += 1
            tally.hits += hits_by_mark.get(string_mark, ())[: MOST_PLACES - len(tally.hits)]

    def together(self) -> tuple[list[Hit], Finds]:
        """Return the strings to record again, because several batches together have more than `MOST_PLACES` places."""
        hits: list[Hit] = []
        finds = Finds()
        for tally in self._many.values():
            if tally.batches > 1 and tally.count > MOST_PLACES:
                hits += tally.hits
                getattr(finds, tally.category)[tally.key] = tally.count
        return hits, finds


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
                    f"cannot store the findings in a temporary file: {(error.strerror or 'error').lower()}",
                    "free some space, or set TMPDIR to a folder with more space",
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
