"""Traced strings: the credential and its state. Only a fingerprint or a signature is a proof."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jitid.capabilities.integrity import operations as integrity_operations
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.leak import operations as leak_operations
from jitid.capabilities.leak.trace_result import Match, Traced, honour, together
from jitid.capabilities.trust import operations as trust_operations
from jitid.ledger.sqlite.ledger import SqliteLedger
from jitid.model.credential import LEEWAY
from jitid.model.request import RenewRequest
from jitid.redaction.token_format import checksum
from jitid.search.find import Finds, mark
from jitid.search.pasted import search_pasted
from jitid.search.strings import search
from jitid.values import strict_json
from jitid.values.ids import credential_id, identity_id
from jitid.values.secret import Secret, fingerprint
from tests.builders import NOW, World, edit
from tests.capabilities.identity.test_validity import P256_ORDER, parts, signed, stolen
from tests.crypto.signed import encode

UNKNOWN_JTI = credential_id(bytes(16))
UNKNOWN_JID = identity_id(bytes(16))


def traced(world: World, *texts: str) -> Traced:
    """Trace each of these texts, and combine the results."""
    return together(
        [world.authority.perform(leak_operations.Trace(finds=search_pasted(text.encode()))) for text in texts]
    )


def one(world: World, text: str) -> Match:
    """Return the only match of a text, and check that the text contains no unknown string."""
    found = traced(world, text)
    assert (found.strays, found.unknown, found.words) == ([], 0, [])
    (match,) = found.matches
    return match


def evidence(world: World, text: str) -> tuple[str, str | None, int, int]:
    """Return the match type, the proof, and the numbers of strings and occurrences of a text."""
    found = one(world, text).evidence
    return found.match, found.proof, found.strings, found.occurrences


@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_a_token_is_proved_by_its_fingerprint(world: World, kind: str) -> None:
    made = world.issue(kind=kind)
    match = one(world, f"Authorization: Bearer {made.token}")
    assert tuple(match.evidence) == (kind, "fingerprint", 1, 1)
    assert (match.credential.jti, match.credential.id, match.reason) == (made.jti, made.id, None)


@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_a_fingerprint_proves_itself(world: World, kind: str) -> None:
    made = world.issue(kind=kind)
    text = fingerprint(made.token).hex()
    assert evidence(world, text) == ("fingerprint", "fingerprint", 1, 1)
    assert evidence(world, text.upper()) == ("fingerprint", "fingerprint", 1, 1)


@pytest.mark.parametrize(
    "cut", [slice(0, -1), slice(0, 250), slice(1, None), slice(113, None), slice(200, 420)]
)
def test_a_part_of_a_signed_token_proves_nothing(world: World, cut: slice) -> None:
    made = world.issue()
    match = one(world, made.token[cut])
    assert match.evidence.match == "truncated-jwt"
    assert match.evidence.proof is None
    assert match.credential.jti == made.jti


def test_an_id_proves_nothing(world: World) -> None:
    made = world.issue()
    for text in (made.jti, made.id):
        assert evidence(world, text) == ("id", None, 1, 1)
        assert one(world, text).credential.jti == made.jti


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256"])
@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_signed_token_that_was_changed_proves_nothing(world: World, part: int, algorithm: str) -> None:
    """An attacker that knows an id can write such a token."""
    world.terms = world.terms._replace(algorithms={"urn:outside": algorithm})
    made = world.issue(audiences=("urn:outside",))
    assert evidence(world, f"<{made.token}>") == ("jwt", "fingerprint", 1, 1)
    pieces = made.token.split(".")
    at = len(pieces[part]) - 3
    pieces[part] = pieces[part][:at] + ("A" if pieces[part][at] != "A" else "B") + pieces[part][at + 1 :]
    match = one(world, ".".join(pieces))
    assert (match.evidence.match, match.evidence.proof) == ("forged-jwt", None)
    assert match.credential.jti == made.jti


def test_the_other_signature_of_an_es256_token_proves_it(world: World) -> None:
    """Only a holder of the token or of the key can make this signature."""
    world.terms = world.terms._replace(algorithms={"urn:outside": "ES256"})
    made = world.issue(audiences=("urn:outside",))
    body, _, signature = made.token.rpartition(".")
    raw = strict_json.b64url_decode(signature)
    other = raw[:32] + (P256_ORDER - int.from_bytes(raw[32:])).to_bytes(32)
    assert evidence(world, f"{body}.{encode(other)}") == ("jwt", "signature", 1, 1)


def test_all_of_one_credential_is_one_match_with_the_best_proof(world: World) -> None:
    made = world.issue()
    text = " ".join(
        [made.jti, made.id, made.token[:200], made.token, made.jti, fingerprint(made.token).hex()]
    )
    assert evidence(world, text) == ("jwt", "fingerprint", 5, 6)
    found = traced(world, made.jti, made.token, made.id)
    assert [tuple(match.evidence) for match in found.matches] == [("jwt", "fingerprint", 3, 3)]


def test_an_identity_means_the_credential_that_stands_beside_it(world: World) -> None:
    """Without such a credential, the identity's latest one is matched."""
    first = world.issue(kind="opaque")
    (second,) = world.authority.perform(
        issue_operations.Renew(request=RenewRequest(Secret.single(first.token)))
    ).credentials
    assert one(world, first.id).credential.jti == second.jti
    beside = one(world, f"{first.token} {first.id}")
    assert (beside.credential.jti, beside.evidence.strings) == (first.jti, 2)


def test_both_credentials_of_an_identity_are_told(world: World) -> None:
    first = world.issue(kind="opaque")
    world.authority.perform(issue_operations.Renew(request=RenewRequest(Secret.single(first.token))))
    world.clock.now += 60
    match = one(world, first.token)
    assert match.reason is not None
    assert "superseded" in match.reason
    # Its successor is live, and so is the identity.
    assert match.endable


def test_a_match_tells_its_chain_and_what_hangs_below(world: World) -> None:
    root, middle, _ = world.chain(3)
    world.issue(parent=middle.token, agent="leaf", task="T1/2")
    match = one(world, middle.jti)
    assert [hop.id for hop in match.lineage] == [root.id]
    assert tuple(match.family) == (True, 2, 2)
    assert match.task.name == "T1"


def test_what_is_dead_tells_why_and_by_whom(world: World) -> None:
    parent, child = world.chain(2)
    world.revoke(parent.jti, reason="went astray")
    match = one(world, child.token)
    assert match.reason is not None
    assert "revoked" in match.reason
    assert match.ended_event is not None
    assert (match.ended_event["by"], match.ended_event["reason"]) == ("tester", "went astray")
    assert not match.endable


def test_a_dead_one_with_something_alive_below_can_be_ended(world: World) -> None:
    parent, _ = world.chain(2)
    edit(world.path, "UPDATE credential SET ended_at = 1, ended_as = 'revoked', ended_event = 1 WHERE id = 1")
    match = one(world, parent.token)
    assert tuple(match.family) == (False, 1, 1)
    assert match.endable


@pytest.mark.parametrize(
    ("kind", "change", "who", "until"),
    [
        ("jwt", "", "verifiers of its audiences", NOW + 900 + LEEWAY),
        ("opaque", "", "verifiers that query this ledger", NOW + 900),
        ("jwt", "revoke", "verifiers that do not query this ledger", NOW + 900 + LEEWAY),
        ("opaque", "revoke", "no verifier", None),
        ("jwt", "expire", "verifiers that do not query this ledger", NOW + 900 + LEEWAY),
        ("jwt", "leeway", "no verifier", None),
    ],
)
def test_who_still_honours_it_and_until_when(
    world: World, kind: str, change: str, who: str, until: int | None
) -> None:
    made = world.issue(kind=kind)
    if change == "revoke":
        world.revoke(made.jti)
    elif change in ("expire", "leeway"):
        world.clock.now += 900 + LEEWAY * (change == "leeway")
    assert honour(one(world, made.token)) == (who, until)


@pytest.mark.parametrize("revoked", [False, True])
@pytest.mark.parametrize("later", [0, 120, 900, 899 + LEEWAY, 900 + LEEWAY])
def test_offline_verifiers_honour_a_predecessor_that_lasts_longer(
    world: World, later: int, revoked: bool
) -> None:
    """Offline verifiers do not learn that the token was superseded."""
    first = world.issue()
    renewal = RenewRequest(Secret.single(first.token), ttl=60)
    (second,) = world.authority.perform(issue_operations.Renew(request=renewal)).credentials
    if revoked:
        world.revoke(second.jti)
    world.clock.now += later
    for text in (first.token, second.jti, first.id):
        assert honour(one(world, text))[1] == (NOW + 900 + LEEWAY if later < 900 + LEEWAY else None)


def test_what_is_unknown_is_told_without_a_secret(
    world: World, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with World(tmp_path_factory.mktemp("other") / "ledger") as other:
        opaque, token = other.issue(kind="opaque").token, other.issue().token
    found = traced(world, f"{opaque} {token} {token[:200]} {UNKNOWN_JTI} {UNKNOWN_JID} {opaque[:-1]}")
    assert found.matches == []
    assert found.unknown == 6
    assert {stray.match for stray in found.strays} == {"opaque", "jwt", "truncated-jwt", "id"}
    assert {UNKNOWN_JTI, UNKNOWN_JID} < {stray.name for stray in found.strays}
    assert not any(stray.signed_by for stray in found.strays)
    shown = repr(found)
    assert token[:100] not in shown
    assert opaque[6:] not in shown
    assert token.rpartition(".")[2] not in shown


def test_what_could_be_a_fingerprint_of_anything_is_not_counted(world: World) -> None:
    """Logs contain many digests."""
    made = world.issue()
    digest = fingerprint("of something else").hex()
    found = traced(world, f"{made.jti} {digest}")
    assert (len(found.matches), found.unknown, found.strays) == (1, 0, [])
    assert [digest in word.reason for word in found.words] == [True]


@pytest.mark.parametrize("claims", [{"jti": UNKNOWN_JTI}, {"scope": "db:*"}])
def test_what_our_key_signed_and_we_did_not_says_that_the_key_is_stolen(
    world: World, claims: dict[str, Any]
) -> None:
    made = world.issue()
    header, issued = parts(made.token)
    forged = signed(stolen(world), header, json.dumps({**issued, **claims}, separators=(",", ":")))
    found = traced(world, f"{UNKNOWN_JID} {forged}")
    assert found.matches == []
    assert (found.strays[0].signed_by, found.strays[0].match) == (header["kid"], "jwt")
    assert "another party has that key" in found.strays[0].reason
    world.authority.perform(trust_operations.RevokeKey(kid=header["kid"], most=None))
    # A revoked key needs no further action.
    assert all(stray.signed_by is None for stray in traced(world, forged).strays)


def reordered(claims: dict[str, Any]) -> dict[str, Any]:
    """Return the claims with an unknown `jti` as the last one."""
    return {**{name: value for name, value in claims.items() if name != "jti"}, "jti": UNKNOWN_JTI}


@pytest.mark.parametrize("layout", ["compact", "spaces", "header too"])
def test_a_stolen_key_is_told_in_whatever_order_the_claims_stand(world: World, layout: str) -> None:
    made = world.issue()
    header, issued = parts(made.token)
    claims: dict[str, Any] | str = reordered(issued)
    if layout == "compact":
        claims = json.dumps(claims, separators=(",", ":"))
    if layout == "header too":
        header = {"typ": "JWT", **{name: header[name] for name in ("kid", "alg")}}
        claims = json.dumps({**issued, "jti": UNKNOWN_JTI}, separators=(",", ":"))
    found = traced(world, f"Bearer {signed(stolen(world), header, claims)}")
    assert [(stray.match, stray.signed_by, stray.name) for stray in found.strays] == [
        ("jwt", header["kid"], UNKNOWN_JTI)
    ]


def test_a_stolen_key_is_told_in_a_long_text_whose_headers_are_ours(world: World) -> None:
    made = world.issue()
    head = made.token.partition(".")[0]
    body = f"{head}.{encode(json.dumps(reordered(parts(made.token)[1])).encode())}"
    text = f"{body}.{encode(stolen(world).sign(body.encode()))}".encode()
    finds = Finds()
    search(text, 0, len(text), finds)
    (stray,) = world.authority.perform(leak_operations.Trace(finds=finds)).strays
    assert stray.signed_by == parts(made.token)[0]["kid"]


def test_what_names_our_key_or_issuer_and_is_not_signed_by_us_is_no_alarm(world: World) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    header, issued = parts(world.issue().token)
    stranger = Ed25519PrivateKey.generate()
    found = traced(
        world,
        signed(stranger, header, reordered(issued)),
        signed(stranger, {**header, "kid": "x"}, reordered(issued)),
        signed(stranger, {**header, "kid": "x"}, {"iss": "https://elsewhere", "jti": "x"}),
        f"eyJhbGciOiJFZERTQSJ9.W10.{'A' * 86}",
    )
    assert [stray.signed_by for stray in found.strays] == [None, None]
    assert {stray.reason for stray in found.strays} == {
        "the token's signature is invalid",
        "the token is signed by a key that the ledger does not know",
    }


def test_a_head_of_the_audit_log_is_no_alarm(world: World) -> None:
    """The same key signs audit heads."""
    world.issue()
    head = world.authority.perform(integrity_operations.SignHead())
    assert traced(world, str(head)).strays == []


def test_a_stranger_s_signature_under_our_key_s_name_is_no_alarm(world: World) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    header, issued = parts(world.issue().token)
    claims = json.dumps({**issued, "jti": UNKNOWN_JTI}, separators=(",", ":"))
    forged = signed(Ed25519PrivateKey.generate(), header, claims)
    (stray,) = traced(world, forged).strays
    assert (stray.signed_by, stray.name) == (None, UNKNOWN_JTI)


def test_of_many_unknown_strings_the_first_are_told_and_all_are_counted(world: World) -> None:
    text = " ".join(credential_id(number.to_bytes(16)) for number in range(1_000))
    found = traced(world, text)
    assert (len(found.strays), found.unknown) == (20, 1_000)


def test_a_guess_that_is_nothing_is_not_told(world: World) -> None:
    made = world.issue()
    broken = f"{made.jti[:12]}\n{made.jti[12:]}"
    assert one(world, broken).credential.jti == made.jti
    found = traced(world, f"{UNKNOWN_JTI[:12]}\n{UNKNOWN_JTI[12:]}")
    assert (found.matches, found.strays, found.unknown) == ([], [], 0)


def test_many_are_looked_up_with_no_more_questions_than_few(world: World) -> None:
    """The ledger looks up all strings together, whether it knows them or not."""
    made = [world.issue(kind="opaque") for _ in range(60)]
    unknown = [credential_id(number.to_bytes(16)) for number in range(60)]

    def questions(count: int) -> int:
        finds = Finds()
        finds.opaque.update({fingerprint(each.token): 1 for each in made[:count]})
        finds.ids.update(dict.fromkeys(unknown[:count], 1))
        asked: list[str] = []
        assert isinstance(world.ledger, SqliteLedger)
        world.ledger._db.set_trace_callback(asked.append)
        found = world.authority.perform(leak_operations.Trace(finds=finds))
        world.ledger._db.set_trace_callback(None)
        assert (len(found.matches), found.unknown) == (count, count)
        return sum(not statement.startswith("INSERT OR IGNORE") for statement in asked)

    assert questions(2) == questions(60)


def test_the_operation_does_not_show_what_was_found(world: World) -> None:
    made = world.issue()
    assert made.token[-40:] not in repr(leak_operations.Trace(finds=search_pasted(made.token.encode())))


def test_what_was_found_knows_its_strings_again(world: World) -> None:
    """A caller that noted the place of each string can report where a credential or unknown string was seen."""
    made = world.issue(kind="opaque")
    other = "jitid_" + "0" * 32 + checksum(b"0" * 32)
    finds = search_pasted(f"{made.token} {made.jti} {other}".encode())
    found = world.authority.perform(leak_operations.Trace(finds=finds))
    assert set(found.matches[0].marks) == {mark("opaque", fingerprint(made.token)), mark("ids", made.jti)}
    assert [stray.marks for stray in found.strays] == [(mark("opaque", fingerprint(other)),)]


def test_strays_that_are_not_told_one_by_one_are_told_by_their_marks(world: World) -> None:
    finds = Finds()
    finds.ids.update((credential_id(number.to_bytes(16, "big")), 1) for number in range(50))
    found = world.authority.perform(leak_operations.Trace(finds=finds))
    told = {one for stray in found.strays for one in stray.marks} | set(found.others)
    assert len(found.strays) == 20
    assert told == {mark("ids", text) for text in finds.ids}
