"""Statements about offline verifiers, compared with real verifiers that have the published keys and no ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import SSHCertificate, load_ssh_public_identity

from jitid.authority import settle_at_targets
from jitid.capabilities.identity import revocation_result
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue.issue_result import Issued
from jitid.capabilities.issue.operations import Attach
from jitid.capabilities.issue.token_operations import Exchange
from jitid.capabilities.leak import operations as leak_operations
from jitid.capabilities.leak import timeline_text, trace_result
from jitid.capabilities.leak.exposure import Leaked
from jitid.capabilities.leak.leak_rows import exposures
from jitid.capabilities.leak.leaks import LeakReport
from jitid.capabilities.leak.operations import LEAKS
from jitid.capabilities.report import operations as report_operations
from jitid.capabilities.scan.hits import Hit
from jitid.capabilities.sweep.finding import Thresholds
from jitid.capabilities.sweep.scan_findings import of_match
from jitid.capabilities.targets.operations import Settle
from jitid.capabilities.trust import offline, rotation
from jitid.capabilities.trust.operations import MakePublication
from jitid.capabilities.trust.publication import Document
from jitid.cli.identity import inspect as inspecting
from jitid.cli.identity.revoke import row, sentence
from jitid.errors import InvalidCredentialError
from jitid.model import credential
from jitid.model.credential import LEEWAY
from jitid.model.ledger_rows import Radius, Selection
from jitid.model.request import AttachRequest, RenewRequest
from jitid.search.pasted import search_pasted
from jitid.values.secret import Secret
from jitid.values.times import format_time
from tests.builders import NOW, PERMIT_ALL, Made, World, request
from tests.capabilities.sweep.asking import found
from tests.programs import Shop

URL = "https://tokens.example"
API = "https://api.example"
SIGNED = ("jwt", "jwt-svid", "x509-svid", "ssh-cert")
TTL = 600

Verifier = Callable[[str], bool]
_WITHOUT_TIME: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}


class Offline:
    """A verifier with the published key set, and a second verifier that reads the status lists too."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.lists: list[str] = []
        """The status lists that it has fetched."""
        self.keys: offline.Keys = {}

    def fetch(self) -> None:
        """Fetch the key set and the status lists."""
        found: Iterator[Document] = self.world.authority.perform(MakePublication())
        for one in found:
            if one.name == "jwks.json":
                self.keys = offline.read_keys(one.data)
            elif one.name.startswith("status/"):
                self.lists.append(one.data.decode())

    def accepts(self, text: str) -> bool:
        """Return whether it accepts a token, a certificate or an SSH certificate now."""
        now = int(self.world.clock.now)
        if text.startswith("-----BEGIN CERTIFICATE"):
            until = x509.load_pem_x509_certificate(text.encode()).not_valid_after_utc.timestamp()
            # The last second is part of the validity (RFC 5280, section 4.1.2.5).
            return now <= until + LEEWAY
        if text.startswith("ssh-"):
            certificate = load_ssh_public_identity(text.encode())
            assert isinstance(certificate, SSHCertificate)
            return now < certificate.valid_before + LEEWAY
        try:
            claims = jwt.decode(text, self._key(text), ["EdDSA", "ES256"], _WITHOUT_TIME)
        except jwt.InvalidTokenError:
            return False
        # The expiry is compared with the clock of the test (RFC 7519, section 4.1.4).
        return bool(now < claims["exp"] + LEEWAY)

    def _key(self, text: str) -> jwt.PyJWK:
        with self.world.ledger.read() as snapshot:
            keys = jwt.PyJWKSet.from_dict(rotation.published(snapshot))
        kid = jwt.get_unverified_header(text).get("kid")
        return next((key for key in keys.keys if key.key_id == kid), keys.keys[0])

    def accepts_by_list(self, text: str) -> bool:
        """Return whether it accepts a token according to its status lists."""
        issuer, now = self.world.ledger.names.issuer, int(self.world.clock.now)
        try:
            offline.verify(text, self.keys, issuer, (API, issuer), self.lists, now)
        except InvalidCredentialError:
            return False
        return True


class Incident(NamedTuple):
    """A leaked credential, and all strings that its holder could obtain."""

    world: World
    leaked: Made
    strings: list[str]


def shown(issued: Issued) -> list[str]:
    """Return the strings that a verifier gets of issued credentials: of several parts the public one."""
    return [
        one.secret.reveal("certificate" if "certificate" in one.secret.names else one.secret.names[0])
        for one in issued.credentials
    ]


def renew(incident: Incident, token: str, ttl: int | None = None) -> str:
    """Renew a token, by default for as long as before."""
    wanted = RenewRequest(Secret.single(token), ttl)
    issued = incident.world.authority.perform(issue_operations.Renew(request=wanted))
    incident.strings.extend(shown(issued))
    return incident.strings[-1]


def make(incident: Incident, what: str) -> None:
    """Make another credential, as the holder of the leaked credential could."""
    world, token = incident.world, incident.leaked.token
    match what:
        case "nothing":
            pass
        case "renewed":
            world.clock.now += 100
            renew(incident, token)
        case "renewed for less":
            # The predecessor expires last, although the ledger refuses it after its overlap.
            renew(incident, token, 60)
        case "attached":
            held = AttachRequest(Secret.single(token), "jwt", audiences=(API,))
            incident.strings.extend(shown(world.authority.perform(Attach(request=held))))
        case "delegated" | "delegated and renewed":
            child = world.issue(parent=token, agent="coder", kind="jwt", ttl=TTL // 2, may_audience=(API,))
            incident.strings.append(child.token)
            if what == "delegated and renewed":
                world.clock.now += 100
                renew(incident, child.token)
        case "exchanged":
            wanted = request(agent="fetcher", task=None, delegator=None, audiences=(API,), kind="jwt")
            sort: Any = "access_token" if token.startswith("jitid_") else "jwt"
            exchange = Exchange(request=wanted, subject=Secret.single(token), subject_sort=sort)
            incident.strings.extend(shown(world.authority.perform(exchange)))
        case _:
            raise AssertionError(what)


def report(world: World, *texts: str) -> None:
    """Report strings as leaked."""
    finds = search_pasted("\n".join(texts).encode())
    world.authority.perform(leak_operations.AddLeaks(finds=finds, report=LeakReport("wiki", None)))


def leaked(world: World) -> Leaked:
    """Return the only leak."""
    (one,) = world.authority.perform(leak_operations.ShowLeaks(numbers=(1,)))
    return one.leaked


def ledger_accepts(world: World, text: str) -> bool:
    """Return whether a verifier that queries the ledger accepts a token."""
    if text.startswith(("-----", "ssh-")):
        return False
    try:
        world.verify(text, API, world.ledger.names.issuer)
    except InvalidCredentialError:
        return False
    return True


def check(incident: Incident, verifier: Verifier) -> Leaked:
    """Check all statements about an incident against the ledger and against a verifier."""
    world, now = incident.world, int(incident.world.clock.now)
    one = leaked(world)
    since, until = one.leak.refused_since, one.leak.accepted_until
    accepted = [text for text in incident.strings if verifier(text)]
    (account,) = world.authority.perform(leak_operations.RecountLeaks(numbers=(1,)))
    text = "".join(timeline_text.text([account]))
    told = LEAKS.row(one, exposures(one))
    again = world.authority.perform(
        inventory_operations.Revoke(selection=one_selection(incident.leaked.id), most=None, dry_run=True)
    )
    counts = world.authority.perform(report_operations.MakeReport(days=1, limits=Thresholds())).survey.leaks
    if since is not None:
        assert since <= now
        assert not [each for each in incident.strings if ledger_accepts(world, each)]
        assert (told["refused_since"], again.refused_since) == (format_time(since), since)
        assert counts.accepted == (until is None or until > now)
    else:
        assert (until, told["accepted_until"], counts.accepted) == (None, None, 0)
    if accepted:
        # No text may state that no verifier accepts it.
        assert until is None or until > now
        assert "accepted by no verifier" not in text
        assert "accepted by no" not in sentence(again, dry_run=False)
        assert again.accepted_until is None or again.accepted_until > now
    elif since is not None and until is not None and until <= now:
        assert f"accepted by no verifier since {format_time(until)}" in text
    if since is not None and until is not None and until > now:
        assert f"offline verifiers accept it until {format_time(until)}" in text
        assert f"offline verifiers accept some until {format_time(until)}" in sentence(again, dry_run=False)
    for string in accepted:
        found = world.authority.perform(leak_operations.Trace(finds=search_pasted(string.encode())))
        assert [match for match in found.matches if trace_result.honour(match)[0] == "no verifier"] == []
    return one


def one_selection(id_: str) -> Any:
    """Return the selection of one identity."""
    return Selection(ids=(id_,))


def end(world: World, made: Made, how: str) -> None:
    """End a leaked credential with all credentials made from it, or wait for their expiry."""
    match how:
        case "revoked":
            world.revoke(made.jti)
        case "retired":
            world.retire("T1")
        case "expired":
            world.clock.now = NOW + 2 * TTL
        case _:
            raise AssertionError(how)


MADE = (
    "nothing",
    "renewed",
    "renewed for less",
    "attached",
    "delegated",
    "delegated and renewed",
    "exchanged",
)


def go_through(world: World, kind: str, what: str, how: str) -> tuple[Incident, Offline]:
    """Let a credential leak, make another credential with it, and end both; check each step."""
    made = world.issue(kind=kind, ttl=TTL, may_audience=(API,))
    incident, verifier = Incident(world, made, [made.token]), Offline(world)
    report(world, made.token)
    make(incident, what)
    assert check(incident, verifier.accepts).leak.refused_since is None
    world.clock.now += 10
    end(world, made, how)
    return incident, verifier


@pytest.mark.deep
@pytest.mark.usefixtures("kept_in")
@pytest.mark.parametrize("how", ["revoked", "retired", "expired"])
@pytest.mark.parametrize("what", MADE)
@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_no_verifier_accepts_what_is_said_to_be_accepted_by_none(
    tmp_path: Path, kind: str, what: str, how: str
) -> None:
    """This holds for each kind of credential made from it, and for each kind of end."""
    with World(tmp_path / "ledger", policy=PERMIT_ALL) as world:
        incident, verifier = go_through(world, kind, what, how)
        one = check(incident, verifier.accepts)
        since, until = one.leak.refused_since, one.leak.accepted_until
        assert since is not None
        assert until is not None
        signed = [text for text in incident.strings if not text.startswith("jitid_")]
        if not signed:
            assert until == since
        for at in (until - LEEWAY, until - 1, until):
            world.clock.now = at = max(at, int(world.clock.now))
            again = check(incident, verifier.accepts)
            assert (again.leak.refused_since, again.leak.accepted_until) == (since, until)
            # The bound is exact: the signed string that expires last is accepted until then.
            assert any(map(verifier.accepts, signed)) is (bool(signed) and at < until)
        world.check()


@pytest.mark.parametrize("fresh", [True, False])
def test_a_status_list_makes_no_verifier_read_it(tmp_path: Path, fresh: bool) -> None:
    """A verifier with a fresh list refuses the token at once. Other verifiers accept it until it expires."""
    with World(tmp_path / "ledger", policy=PERMIT_ALL, publish_url=URL) as world:
        made = world.issue(ttl=TTL, audiences=(API,))
        incident, verifier = Incident(world, made, [made.token]), Offline(world)
        report(world, made.token)
        if not fresh:
            verifier.fetch()
        world.clock.now += 10
        world.revoke(made.jti)
        if fresh:
            verifier.fetch()
        assert verifier.accepts_by_list(made.token) is not fresh
        for at in (NOW + 10, NOW + TTL, NOW + TTL + LEEWAY - 1, NOW + TTL + LEEWAY):
            world.clock.now = at
            one = check(incident, lambda text: verifier.accepts(text) or verifier.accepts_by_list(text))
            assert one.leak.accepted_until == NOW + TTL + LEEWAY


@pytest.mark.parametrize("kind", SIGNED)
def test_certificates_are_accepted_until_they_expire(tmp_path: Path, kind: str) -> None:
    """A certificate has no jitid scope, and its verifiers have no list unless they fetch one."""
    with World(tmp_path / "ledger", policy=PERMIT_ALL) as world:
        made = world.issue(kind=kind, ttl=TTL, audiences=(API,) if "jwt" in kind else ())
        incident, verifier = Incident(world, made, shown(made.issued)), Offline(world)
        (one,) = made.issued.credentials
        report(world, *(one.secret.reveal(name) for name in one.secret.names))
        world.clock.now += 10
        world.revoke(made.jti)
        for at in (NOW + 10, NOW + TTL, NOW + TTL + LEEWAY - 1):
            world.clock.now = at
            assert check(incident, verifier.accepts).leak.accepted_until == NOW + TTL + LEEWAY
            assert verifier.accepts(incident.strings[0])
        world.clock.now += 1
        check(incident, verifier.accepts)
        assert not verifier.accepts(incident.strings[0])


@pytest.mark.usefixtures("kept_in")
def test_what_a_target_has_not_confirmed_has_no_end(tmp_path: Path) -> None:
    """Until the target confirms the revocation, there is no limit to the time for which it may accept the secret."""
    shop = Shop(tmp_path / "shop")
    with World(tmp_path / "ledger", policy=PERMIT_ALL, targets=[shop.target()]) as world:
        made = world.issue(kind="opaque", may_kind=("opaque", "exec:shop"), may_audience=(API,), ttl=TTL)
        world.authority.perform(Attach(request=AttachRequest(Secret.single(made.token), "exec:shop")))
        report(world, made.token)
        world.clock.now += 10
        ended = world.revoke(made.jti)
        one = leaked(world)
        assert (one.leak.refused_since, one.leak.accepted_until, one.exposure_verifiers) == (
            NOW + 10,
            None,
            None,
        )
        assert (ended.refused_since, ended.accepted_until) == (NOW + 10, None)
        assert "accepted by no" not in sentence(ended, dry_run=False)
        counts = world.authority.perform(
            report_operations.MakeReport(days=1, limits=Thresholds())
        ).survey.leaks
        assert (counts.accepted, counts.unsettled, counts.exposure_verifiers.number) == (1, 1, 0)
        (account,) = world.authority.perform(leak_operations.RecountLeaks(numbers=(1,)))
        assert "the target has not confirmed the end" in timeline_text.state_sentence(account)
        world.clock.now += 200
        world.authority.perform(Settle(event=ended.event, waiting=True))
        assert shop.made == {}
        one = leaked(world)
        assert (one.leak.refused_since, one.leak.accepted_until) == (NOW + 10, NOW + 210)
        counts = world.authority.perform(
            report_operations.MakeReport(days=1, limits=Thresholds())
        ).survey.leaks
        assert (counts.accepted, counts.exposure.p50, counts.exposure_verifiers.p50) == (0, 10, 210)


def test_revoking_twice_still_says_until_when_verifiers_accept_it(tmp_path: Path) -> None:
    """The second revocation ends no credential, but still reports until when verifiers accept the ended credential."""
    with World(tmp_path / "ledger", policy=PERMIT_ALL) as world:
        made = world.issue(ttl=TTL)
        world.revoke(made.jti)
        world.clock.now += 60
        again = world.revoke(made.jti)
        assert (again.credentials, again.radius.offline_until) == (0, None)
        told = row(again, dry_run=False)
        assert told["refused_since"] == format_time(NOW)
        assert told["accepted_until"] == format_time(NOW + TTL + LEEWAY)
        said = f"refused by the ledger since {format_time(NOW)}; offline verifiers accept some until"
        assert said in sentence(again, dry_run=False)
        world.clock.now = NOW + TTL + LEEWAY
        assert "accepted by no verifier since" in sentence(world.revoke(made.jti), dry_run=False)


def scanned(world: World, string: str) -> list[str]:
    """Return the summaries of a scan for a string."""
    found = world.authority.perform(leak_operations.Trace(finds=search_pasted(string.encode())))
    hit = Hit(b"", "signed", "notes.txt", 1, None, 0, None)
    return [of_match(hit, match, found.now).summary for match in found.matches]


@pytest.mark.parametrize("kind", SIGNED)
def test_every_verb_says_the_same_of_a_revoked_credential(tmp_path: Path, kind: str) -> None:
    """All commands report the same time until which offline verifiers accept it: the expiry and the leeway."""
    with World(tmp_path / "ledger", policy=PERMIT_ALL) as world:
        made = world.issue(kind=kind, ttl=TTL, audiences=(API,) if "jwt" in kind else ())
        string = shown(made.issued)[0]
        (one,) = made.issued.credentials
        report(world, *(one.secret.reveal(name) for name in one.secret.names))
        (live,) = scanned(world, string)
        assert f"it is valid, and expires at {format_time(NOW + TTL)}" in live
        assert f"offline verifiers accept it until {format_time(NOW + TTL + LEEWAY)}" in live
        world.clock.now += 10
        ended = world.revoke(made.jti)
        for at in (NOW + 10, NOW + TTL + LEEWAY - 1, NOW + TTL + LEEWAY):
            world.clock.now = at
            until = None if at == NOW + TTL + LEEWAY else NOW + TTL + LEEWAY
            words = [
                sentence(world.revoke(made.jti), dry_run=False),
                *(each.summary for each in found(world, "offline-valid")),
            ]
            honoured = [each.evidence["honoured_until"] for each in found(world, "offline-valid")]
            assert honoured == [until] * (until is not None)
            traces = world.authority.perform(leak_operations.Trace(finds=search_pasted(string.encode())))
            assert [trace_result.honour(match)[1] for match in traces.matches] == [until]
            words += scanned(world, string) if until is not None else []
            if until is not None:
                assert len(words) == 3
            # The same time is also reported as the time from which no verifier accepts it.
            assert [text for text in words if format_time(NOW + TTL + LEEWAY) not in text] == []
            assert [text for text in words if format_time(NOW + TTL) in text] == []
        assert ended.accepted_until == leaked(world).leak.accepted_until == NOW + TTL + LEEWAY
        seen = inspecting._computed(world.authority.perform(inventory_operations.Inspect(id=made.jti)))[
            "revocation_list"
        ]
        assert (seen is None) is ("jwt" in kind)
        if seen is not None:
            assert seen["honoured_until"] == format_time(NOW + TTL + LEEWAY)


TARGETS = {
    "confirms at once": (None, None),
    "confirms an hour later": ("down", 3600),
    "cannot end it": ("unsupported", None),
    "cannot end it, and says so later": ("unsupported", 100),
}
"""The target's answer, and the seconds until the revocation is settled again; None for no further attempt."""


@pytest.mark.parametrize("kind", ["opaque", "jwt"])
@pytest.mark.parametrize("case", TARGETS)
def test_revoke_says_of_what_a_target_has_made_what_the_leak_says(
    tmp_path: Path, case: str, kind: str
) -> None:
    """This holds for each repetition at any time, and no future event is reported as past."""
    answer, later = TARGETS[case]
    shop = Shop(tmp_path / "shop")
    with World(tmp_path / "ledger", policy=PERMIT_ALL, targets=[shop.target()]) as world:
        made = world.issue(kind=kind, may_kind=(kind, "exec:shop"), may_audience=(API,), ttl=TTL)
        world.authority.perform(Attach(request=AttachRequest(Secret.single(made.token), "exec:shop")))
        report(world, made.token)
        world.clock.now += 10
        if answer is not None:
            shop.fail(answer, "revoke")
        first = world.revoke(made.jti)
        if later is None:
            first = settle_at_targets.confirm(world.authority, first)
        _agree(world, first)
        if later is not None:
            world.clock.now += later
            if answer == "down":
                shop.fail("")
            world.authority.perform(Settle(event=first.event, waiting=True))
        for at in (NOW + 20, NOW + TTL + 10, NOW + TTL + LEEWAY, NOW + 4000, NOW + 5000):
            world.clock.now = max(at, world.clock.now)
            _agree(world, settle_at_targets.confirm(world.authority, world.revoke(made.jti)))


def _agree(world: World, ended: revocation_result.Ended) -> None:
    leak = leaked(world).leak
    assert ended.accepted_until == leak.accepted_until
    told, now = sentence(ended, dry_run=False), int(world.clock.now)
    over = leak.accepted_until is not None and leak.accepted_until <= now
    assert ("accepted by no verifier since" in told) == over, told
    if leak.accepted_until is not None and not over:
        assert f"accept some until {format_time(leak.accepted_until)}" in told


def test_the_facts_read_as_sentences() -> None:
    class Facts(NamedTuple):
        refused_since: int | None
        accepted_until: int | None

    assert credential.sentence(Facts(None, None), NOW) == "not refused by the ledger yet"
    assert credential.sentence(Facts(NOW, NOW + 60), NOW) == (
        f"refused by the ledger since {format_time(NOW)}; offline verifiers accept it until {format_time(NOW + 60)}"
    )
    assert credential.sentence(Facts(NOW, NOW + 60), NOW + 60).endswith(
        f"accepted by no verifier since {format_time(NOW + 60)}"
    )
    assert "has not confirmed the end" in credential.sentence(Facts(NOW, None), NOW)
    empty = revocation_result.facts(Radius(0, 0, 0, 0, 0, None, 0))
    assert empty == ""


def test_the_leeway_is_that_of_the_pages() -> None:
    """The largest default of a widely used library is five minutes."""
    assert LEEWAY == 300
