"""Sessions of AWS roles against moto: the requests for them, how they are revoked, and errors of AWS."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path
from typing import Any

import jwt
import pytest

from jitid.crypto.jws import public_jwk
from jitid.errors import (
    ConfigurationError,
    IntegrityError,
    JitidError,
    RefusedError,
    StorageError,
    UsageError,
)
from jitid.issuers.aws.api import AwsError, hermetic_session
from jitid.issuers.aws.session_policy import delegator_of, denied_in
from jitid.issuers.aws.sts import AwsStsIssuer
from jitid.keys.keyring import Keyring
from jitid.model.target import Life, MadeCredential, Settlement, TargetRecord
from jitid.values.secret import Secret
from jitid.values.times import parse_time
from tests.issuers.awsplace import AwsPlace, private
from tests.issuers.between import Between, Said, between, refused
from tests.issuers.places import ISSUER, make
from tests.moto import ACCOUNT, policy
from tests.real import module


@pytest.fixture
def issuer(aws_account: AwsPlace) -> Iterator[AwsStsIssuer]:
    """Return an issuer of the account."""
    issuer = aws_account.open()
    yield issuer
    issuer.close()


@pytest.fixture
def asked(aws_account: AwsPlace) -> Iterator[Between]:
    """Return a server in front of moto."""
    with between(aws_account.moto.url) as state:
        yield state


@pytest.fixture
def through(aws_account: AwsPlace, asked: Between) -> Iterator[AwsStsIssuer]:
    """Return an issuer whose requests go through that server."""
    issuer = aws_account.open(endpoint_url=asked.url)
    yield issuer
    issuer.close()


def client(place: AwsPlace, service: str, secret: Secret) -> Any:
    """Return a botocore client with a session's keys."""
    return place.moto.client(service, *(secret.reveal(name) for name in secret.names))


def denied_sessions(place: AwsPlace, role: str) -> list[str]:
    """Return all sessions that the policies of a role deny; a session denied twice is listed twice."""
    return [
        session
        for name, text in place.moto.policies(role).items()
        if name.startswith("jitid-denied-")
        for session in denied_in(text)
    ]


def test_the_role_is_assumed_in_the_name_of_the_task(
    aws_account: AwsPlace, through: AwsStsIssuer, asked: Between
) -> None:
    record, made = make(through, aws_account.record(agent="build-bot", task="INC-4821"))
    (call,) = asked.calls("AssumeRole")
    assert call["RoleSessionName"] == record.jti
    assert call["SourceIdentity"] == "user=alice@example.com"
    assert delegator_of(call["SourceIdentity"]) == record.delegator
    tags = {call[f"Tags.member.{n}.Key"]: call[f"Tags.member.{n}.Value"] for n in (1, 2)}
    assert tags == {
        "jitid:agent": "ephemeral/build-bot",
        "jitid:task": "user:alice@example.com/INC-4821",
    }
    assert json.loads(call["Policy"]) == made.facts["session_policy"]
    allowed, expired = made.facts["session_policy"]["Statement"]
    assert allowed["Resource"] == "arn:aws:s3:::reports/*"
    for statement, operator in ((allowed, "DateLessThan"), (expired, "DateGreaterThanEquals")):
        assert parse_time(statement["Condition"][operator]["aws:CurrentTime"]) == record.expires_at
    assert made.reference == f"arn:aws:sts::{ACCOUNT}:assumed-role/{record.template}/{record.jti}"
    assert made.secret.names == ("access_key_id", "secret_access_key", "session_token")


@pytest.mark.parametrize(
    ("lifetime", "duration", "seconds"), [(60, "1h", 900), (3600, "1h", 3600), (1800, "30m", 1800)]
)
def test_a_session_is_as_long_as_aws_lets_it_be(
    aws_account: AwsPlace, asked: Between, lifetime: int, duration: str, seconds: int
) -> None:
    record = aws_account.record()
    templates = {"it": {**aws_account.templates[str(record.template)], "duration": duration}}
    issuer = aws_account.open(
        templates=templates, endpoint_url=asked.url, more={"clock": lambda: record.issued_at}
    )
    made = issuer.mint(record._replace(template="it", expires_at=record.issued_at + lifetime), print)
    issuer.close()
    assert int(asked.calls("AssumeRole")[0]["DurationSeconds"]) == seconds
    assert made.facts["session_ends_at"] >= record.issued_at + lifetime


def test_a_credential_does_not_outlive_its_session(aws_account: AwsPlace, issuer: AwsStsIssuer) -> None:
    record = aws_account.record()
    with pytest.raises(UsageError, match="permits 1h at most") as refusal:
        issuer.mint(record._replace(expires_at=record.issued_at + 7200), print)
    assert "--ttl 1h" in str(refusal.value.hint)


def test_scopes_without_rights_are_told(aws_account: AwsPlace, issuer: AwsStsIssuer) -> None:
    _, made = make(issuer, aws_account.record(scopes=("repo:acme:write", "s3:reports:read")))
    assert made.facts["scopes_without_rights"] == ["repo:acme:write"]


def test_without_a_template_there_is_a_session_that_may_do_nothing(
    aws_account: AwsPlace, asked: Between
) -> None:
    record = aws_account.record(scopes=())
    known = aws_account.templates[str(record.template)]
    always = {**known, "policy_arns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"]}
    issuer = aws_account.open(endpoint_url=asked.url, templates={"it": always})
    made = issuer.mint(record._replace(template=None), print)
    (call,) = asked.calls("AssumeRole")
    assert call["RoleArn"] == known["role_arn"]
    assert "PolicyArns.member.1.arn" not in call
    allowed = [one["Action"] for one in made.facts["session_policy"]["Statement"] if one["Effect"] == "Allow"]
    assert allowed == ["sts:GetCallerIdentity"]
    with pytest.raises(ConfigurationError, match="no template"):
        issuer.mint(record._replace(template=None, scopes=("s3:reports:read",)), print)
    issuer.close()


def test_a_denied_session_is_refused_and_still_told_who_it_is(
    aws_account: AwsPlace, issuer: AwsStsIssuer
) -> None:
    record, made = make(issuer, aws_account.record())
    assert client(aws_account, "iam", made.secret).list_account_aliases()["AccountAliases"] == []
    issuer.revoke([record])
    denied = module("botocore.exceptions").ClientError
    with pytest.raises(denied, match="AccessDenied"):
        client(aws_account, "iam", made.secret).list_account_aliases()
    # A denied session may still call GetCallerIdentity, so the probe calls another action.
    assert client(aws_account, "sts", made.secret).get_caller_identity()["Arn"] == made.reference


def test_its_siblings_are_left_alone(aws_account: AwsPlace, issuer: AwsStsIssuer) -> None:
    first, _ = make(issuer, aws_account.record())
    second, _ = make(issuer, aws_account.record(template=first.template))
    issuer.revoke([first])
    assert denied_sessions(aws_account, str(first.template)) == [first.jti]
    assert issuer.probe(first).life is Life.DEAD
    assert issuer.probe(second).life is Life.LIVE


def test_many_at_once_deny_all_of_theirs(aws_account: AwsPlace, issuer: AwsStsIssuer) -> None:
    role = aws_account.role()
    records = [aws_account.known()._replace(template=role) for _ in range(2)]
    records += [records[0]._replace(jti=aws_account.record(template=role).jti) for _ in range(40)]
    reference = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/"
    records = [one._replace(reference=reference + one.jti) for one in records]
    parts = [records[start::8] for start in range(8)]

    def end(part: list[TargetRecord]) -> list[Settlement]:
        mine = aws_account.open()
        try:
            # Two at a time, so that small policies are merged while other threads write theirs.
            halves = [part[: len(part) // 2], part[len(part) // 2 :]]
            return [outcome.settlement for half in halves for outcome in mine.revoke(half)]
        finally:
            mine.close()

    with ThreadPoolExecutor(8) as pool:
        settled = [one for part in pool.map(end, parts) for one in part]
    assert set(settled) == {Settlement.DONE}
    assert set(denied_sessions(aws_account, role)) == {one.jti for one in records}
    # A merged policy replaces its parts after AWS has had time to distribute it.
    before = aws_account.moto.policies(role)
    later = aws_account.open(more={"clock": lambda: time.time() + 300})
    last = records[0]._replace(jti=aws_account.record(template=role).jti)
    later.revoke([last])
    later.close()
    assert set(denied_sessions(aws_account, role)) == {one.jti for one in (*records, last)}
    assert len(aws_account.moto.policies(role)) < len(before)


def test_denials_of_the_past_go(aws_account: AwsPlace, issuer: AwsStsIssuer) -> None:
    old, _ = make(issuer, aws_account.record())
    issuer.revoke([old])
    later = aws_account.open(more={"clock": lambda: time.time() + 7200})
    new, _ = make(
        later,
        aws_account.record(
            template=old.template, issued_at=old.issued_at + 7200, expires_at=old.expires_at + 7200
        ),
    )
    assert later.probe(old).seen.startswith("its session policy denies all requests since")
    later.revoke([new])
    later.close()
    assert denied_sessions(aws_account, str(old.template)) == [new.jti]


def test_one_that_is_over_is_done_and_aws_is_not_asked(aws_account: AwsPlace, asked: Between) -> None:
    record = aws_account.known()
    issuer = aws_account.open(endpoint_url=asked.url, more={"clock": lambda: record.expires_at})
    (outcome,) = issuer.revoke([record])
    issuer.close()
    assert (outcome.settlement, asked.asked) == (Settlement.DONE, [])
    assert "denies all requests since" in outcome.proof


def test_the_denials_of_another_ledger_stay(aws_account: AwsPlace, issuer: AwsStsIssuer) -> None:
    record, _ = make(issuer, aws_account.record())
    issuer.revoke([record])
    other = aws_account.open(issuer="urn:jitid:other", more={"clock": lambda: time.time() + 86_400})
    assert other.probe(record._replace(expires_at=record.expires_at + 90_000)).life is Life.LIVE
    mine = record._replace(
        jti=aws_account.record(template=record.template).jti,
        issued_at=record.issued_at + 86_400,
        expires_at=record.expires_at + 86_400,
    )
    other.revoke([mine])
    other.close()
    assert set(denied_sessions(aws_account, str(record.template))) == {record.jti, mine.jti}


def limited(place: AwsPlace, folder: Path, name: str, *actions: str) -> str:
    """Make a user who may call only these actions, and return the file with its key."""
    iam = place.moto.client("iam")
    iam.create_user(UserName=name)
    allowed = policy({"Effect": "Allow", "Action": list(actions), "Resource": "*"})
    iam.put_user_policy(UserName=name, PolicyName="some", PolicyDocument=allowed)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return private(
        folder / name,
        f"[it]\naws_access_key_id={key['AccessKeyId']}\naws_secret_access_key={key['SecretAccessKey']}\n",
    )


def test_without_leave_to_write_policies_a_session_is_stuck_until_somebody_gives_it(
    aws_account: AwsPlace, tmp_path: Path
) -> None:
    file = limited(aws_account, tmp_path, "reader", "sts:*", "iam:ListRolePolicies")
    issuer = aws_account.open(credentials_file=file, profile="it")
    record = aws_account.known()
    (outcome,) = issuer.revoke([record])
    assert outcome.settlement is Settlement.STUCK
    assert outcome.honoured_until == record.expires_at
    assert "AccessDenied" in outcome.proof
    issuer.close()


def test_without_leave_to_assume_the_role_the_hint_is_about_its_trust(
    aws_account: AwsPlace, tmp_path: Path
) -> None:
    file = limited(aws_account, tmp_path, "nobody", "iam:*")
    issuer = aws_account.open(credentials_file=file, profile="it")
    with pytest.raises(RefusedError) as refusal:
        issuer.mint(aws_account.record(), print)
    assert "sts:SetSourceIdentity" in str(refusal.value.hint)
    issuer.close()


def test_a_role_of_another_account_is_not_mistaken_for_one_of_the_same_name_here(
    aws_account: AwsPlace, issuer: AwsStsIssuer
) -> None:
    record = aws_account.known()
    foreign = record._replace(reference=str(record.reference).replace(ACCOUNT, "999999999999"))
    (outcome,) = issuer.revoke([foreign])
    assert outcome.settlement is Settlement.STUCK
    assert "999999999999" in outcome.proof
    assert denied_sessions(aws_account, str(record.template)) == []
    assert issuer.probe(foreign).life is Life.UNKNOWN


def test_another_role_may_be_taken_to_write_policies(
    aws_account: AwsPlace, asked: Between, tmp_path: Path
) -> None:
    administrator = aws_account.moto.role("administrator", ["iam:*", "sts:*"])
    issuer = aws_account.open(endpoint_url=asked.url, iam_role_arn=administrator)
    record = aws_account.known()
    assert issuer.revoke([record])[0].settlement is Settlement.DONE
    issuer.close()
    assert [call["RoleArn"] for call in asked.calls("AssumeRole")] == [administrator]
    assert denied_sessions(aws_account, str(record.template)) == [record.jti]


@pytest.mark.parametrize(
    ("code", "settlement"),
    [
        ("LimitExceeded", Settlement.STUCK),
        ("UnmodifiableEntity", Settlement.UNSUPPORTED),
        ("NoSuchEntity", Settlement.DONE),
        ("InvalidClientTokenId", Settlement.STUCK),
        ("MalformedPolicyDocument", Settlement.STUCK),
        ("ServiceUnavailable", Settlement.UNAVAILABLE),
    ],
)
def test_what_aws_says_to_a_denial_settles_it(
    aws_account: AwsPlace, asked: Between, code: str, settlement: Settlement
) -> None:
    issuer = aws_account.open(1.0, endpoint_url=asked.url)
    status = 503 if code == "ServiceUnavailable" else 400
    asked.always["PutRolePolicy"] = refused(code, status=status)
    record = aws_account.known()
    (outcome,) = issuer.revoke([record])
    issuer.close()
    assert outcome.settlement is settlement
    assert (outcome.honoured_until is None) is (settlement is Settlement.DONE)


def test_as_many_are_denied_as_there_is_room_for(
    aws_account: AwsPlace, through: AwsStsIssuer, asked: Between
) -> None:
    record = aws_account.known()
    role = str(record.template)
    records = [
        record._replace(jti=jti, reference=str(record.reference).replace(record.jti, jti))
        for jti in (aws_account.record(template=role).jti for _ in range(8))
    ]
    full = refused("LimitExceeded", "Maximum policy size of 10240 bytes exceeded", 409)
    # The issuer tries all eight, then four, then two of the other four, then one of the last two.
    asked.answers["PutRolePolicy"] = [full, None, full, None, full, full]
    settled = [(one.settlement, one.honoured_until is None) for one in through.revoke(records)]
    assert len(denied_sessions(aws_account, role)) == 6
    assert settled.count((Settlement.DONE, True)) == 6
    assert settled.count((Settlement.STUCK, False)) == 2
    left = [
        one for one, (settlement, _) in zip(records, settled, strict=True) if settlement is Settlement.STUCK
    ]
    assert not {one.jti for one in left} & set(denied_sessions(aws_account, role))


def test_a_denial_that_cannot_be_read_as_a_whole_is_never_replaced(
    aws_account: AwsPlace, asked: Between
) -> None:
    """AWS may not show yet a policy that another process wrote."""
    issuer = aws_account.open(endpoint_url=asked.url)
    record, _ = make(issuer, aws_account.record())
    role = str(record.template)
    records = [record._replace(jti=aws_account.record(template=role).jti) for _ in range(6)]
    for one in records:
        assert issuer.revoke([one])[0].settlement is Settlement.DONE
    hidden = next(
        name for name, text in aws_account.moto.policies(role).items() if records[0].jti in str(text)
    )
    asked.hidden.add(hidden)
    later = aws_account.open(endpoint_url=asked.url, more={"clock": lambda: time.time() + 300})
    assert later.revoke([record])[0].settlement is Settlement.DONE
    left = aws_account.moto.policies(role)
    assert hidden in left
    assert set(denied_sessions(aws_account, role)) == {one.jti for one in (record, *records)}
    assert len(left) < 8
    issuer.close()
    later.close()


def test_a_denial_that_is_not_there_afterwards_is_not_done(aws_account: AwsPlace, asked: Between) -> None:
    through = aws_account.open(1.0, endpoint_url=asked.url)
    asked.always["PutRolePolicy"] = Said(
        200, "<PutRolePolicyResponse><ResponseMetadata/></PutRolePolicyResponse>"
    )
    (outcome,) = through.revoke([aws_account.known()])
    assert outcome.settlement is Settlement.UNAVAILABLE


@pytest.mark.parametrize("code", ["Throttling", "RequestLimitExceeded", "ServiceUnavailable"])
def test_throttling_is_waited_for_within_the_time(
    aws_account: AwsPlace, through: AwsStsIssuer, asked: Between, code: str
) -> None:
    status = 503 if code == "ServiceUnavailable" else 400
    asked.answers["AssumeRole"] = [refused(code, status=status)] * 2
    through.mint(aws_account.record(), print)
    assert len(asked.calls("AssumeRole")) == 3


def test_throttling_without_end_is_told(aws_account: AwsPlace, asked: Between) -> None:
    issuer = aws_account.open(1.0, endpoint_url=asked.url)
    asked.always["AssumeRole"] = refused("Throttling", "Rate exceeded")
    with pytest.raises(StorageError, match="Rate exceeded"):
        issuer.mint(aws_account.record(), print)
    issuer.close()


@pytest.mark.parametrize("code", ["SignatureDoesNotMatch", "RequestTimeTooSkewed", "RequestExpired"])
@pytest.mark.parametrize(("ahead", "words"), [(600, "ahead"), (-600, "behind"), (0, "secret key")])
def test_clocks_that_differ_are_told(
    aws_account: AwsPlace, through: AwsStsIssuer, asked: Between, code: str, ahead: int, words: str
) -> None:
    asked.always["AssumeRole"] = refused(code, status=403, Date=formatdate(time.time() + ahead, usegmt=True))
    with pytest.raises(AwsError, match=code) as refusal:
        through.mint(aws_account.record(), print)
    assert words in str(refusal.value.hint)


@pytest.mark.parametrize(
    ("code", "message", "sort"),
    [
        ("PackedPolicyTooLarge", "Packed size of session tags consumes 105%", UsageError),
        (
            "ValidationError",
            "DurationSeconds exceeds the MaxSessionDuration set for this role",
            ConfigurationError,
        ),
        ("MalformedPolicyDocument", "Syntax errors in policy.", ConfigurationError),
        ("InvalidClientTokenId", "The security token included in the request is invalid", RefusedError),
        ("RegionDisabledException", "STS is not activated in this region", RefusedError),
    ],
)
def test_what_aws_says_to_the_assuming_is_told_with_what_to_do(
    aws_account: AwsPlace,
    through: AwsStsIssuer,
    asked: Between,
    code: str,
    message: str,
    sort: type[JitidError],
) -> None:
    asked.always["AssumeRole"] = refused(code, message)
    with pytest.raises(sort, match=code):
        through.mint(aws_account.record(), print)


@pytest.mark.parametrize(
    "said",
    [
        Said(200, "<html><body>Welcome</body></html>", {"Content-Type": "text/html"}),
        Said(200, ""),
        Said(200, "{}", {"Content-Type": "application/json"}),
        Said(404, "<html>not found</html>", {"Content-Type": "text/html"}),
        Said(200, "<AssumeRoleResponse><AssumeRoleResult></AssumeRoleResult></AssumeRoleResponse>"),
        Said(200, "\x1b[2J" * 100),
    ],
)
def test_what_is_not_aws_is_not_believed(
    aws_account: AwsPlace, through: AwsStsIssuer, asked: Between, said: Said
) -> None:
    asked.always["AssumeRole"] = said
    with pytest.raises(StorageError) as refusal:
        through.mint(aws_account.record(), print)
    assert str(refusal.value).isprintable()


def test_nothing_is_followed(aws_account: AwsPlace, through: AwsStsIssuer, asked: Between) -> None:
    asked.always["AssumeRole"] = Said(302, "", {"Location": aws_account.moto.url})
    with pytest.raises(ConfigurationError, match="redirections are never followed"):
        through.mint(aws_account.record(), print)


def test_a_session_of_another_name_is_no_answer(
    aws_account: AwsPlace, through: AwsStsIssuer, asked: Between
) -> None:
    record = aws_account.record()
    asked.replaced.append((record.jti, "somebody"))
    with pytest.raises(StorageError, match="does not have the requested name"):
        through.mint(record, print)


def test_a_reason_of_aws_tells_whether_anything_was_denied(
    aws_account: AwsPlace, through: AwsStsIssuer, asked: Between
) -> None:
    record, made = make(through, aws_account.record())
    answers = {
        "is not authorized to perform: iam:ListAccountAliases on resource: * with an explicit deny in a "
        "session policy": Life.DEAD,
        # The role's owner or the organisation may have denied this one action.
        "is not authorized to perform: iam:ListAccountAliases on resource: * with an explicit deny in an "
        "identity-based policy": Life.UNKNOWN,
        "is not authorized to perform: iam:ListAccountAliases with an explicit deny in a service control "
        "policy": Life.UNKNOWN,
        "is not authorized to perform: iam:ListAccountAliases on resource: * because no session policy allows "
        "the iam:ListAccountAliases action": Life.LIVE,
        "Access Denied": Life.UNKNOWN,
    }
    for message, life in answers.items():
        asked.answers["ListAccountAliases"] = [refused("AccessDenied", message, 403)]
        assert through.probe(record, made.secret).life is life, message
    asked.answers["ListAccountAliases"] = [refused("ExpiredToken", "it is over", 403)]
    assert through.probe(record, made.secret).life is Life.DEAD
    through.revoke([record])
    denied = "is not authorized to perform it with an explicit deny in an identity-based policy"
    asked.answers["ListAccountAliases"] = [refused("AccessDenied", denied, 403)]
    assert through.probe(record, made.secret).life is Life.DEAD


def test_standing_keys_are_found_with_their_last_use(
    aws_account: AwsPlace, issuer: AwsStsIssuer, tmp_path: Path
) -> None:
    limited(aws_account, tmp_path, "forgotten", "iam:*")
    iam = aws_account.moto.client("iam")
    (key,) = iam.list_access_keys(UserName="forgotten")["AccessKeyMetadata"]
    iam.update_access_key(UserName="forgotten", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    record, _ = make(issuer, aws_account.record())
    issuer.revoke([record])
    found = {one.name: one for one in issuer.inventory()}
    own = found[aws_account.moto.key[0]]
    assert (own.jti, own.live) == (None, True)
    assert own.used_at is not None
    assert own.created_at is not None
    assert "the target's own key" in own.detail
    assert not found[key["AccessKeyId"]].live
    assert "forgotten" in found[key["AccessKeyId"]].detail
    assert (found[record.jti].jti, found[record.jti].live) == (record.jti, False)


def test_a_key_that_was_there_before_is_made_inactive(
    aws_account: AwsPlace, issuer: AwsStsIssuer, tmp_path: Path
) -> None:
    limited(aws_account, tmp_path, "adopted", "iam:*")
    iam = aws_account.moto.client("iam")
    (key,) = iam.list_access_keys(UserName="adopted")["AccessKeyMetadata"]
    name = key["AccessKeyId"]
    record = aws_account.record()._replace(name=name, reference=name, kind="adopted", template=None)
    assert issuer.probe(record).life is Life.LIVE
    (outcome,) = issuer.revoke([record])
    assert (outcome.settlement, issuer.probe(record).life) == (Settlement.DONE, Life.DEAD)
    (key,) = iam.list_access_keys(UserName="adopted")["AccessKeyMetadata"]
    assert key["Status"] == "Inactive"
    iam.delete_access_key(UserName="adopted", AccessKeyId=name)
    assert issuer.revoke([record])[0].settlement is Settlement.DONE
    own = aws_account.moto.key[0]
    list(issuer.inventory())
    (outcome,) = issuer.revoke([record._replace(name=own, reference=own)])
    assert (outcome.settlement, "it was not changed" in outcome.proof) == (Settlement.STUCK, True)


def test_what_aws_does_not_say_of_a_key_is_no_end_of_it(
    aws_account: AwsPlace, through: AwsStsIssuer, asked: Between
) -> None:
    own = aws_account.moto.key[0]
    record = aws_account.record()._replace(name=own, reference=own, kind="adopted", template=None)
    for status, settlement in ((403, Settlement.STUCK), (503, Settlement.UNAVAILABLE)):
        asked.always["GetAccessKeyLastUsed"] = refused(
            "AccessDenied" if status == 403 else "Unavailable", status=status
        )
        assert through.probe(record).life is Life.UNKNOWN
        assert through.revoke([record])[0].settlement is settlement


def test_a_user_who_is_deleted_meanwhile_is_no_failure(
    aws_account: AwsPlace, through: AwsStsIssuer, asked: Between, tmp_path: Path
) -> None:
    for number in range(12):
        limited(aws_account, tmp_path, f"one-of-many-{number}", "iam:*")
    there = {one.detail for one in through.inventory()}
    asked.answers["ListAccessKeys"] = [refused("NoSuchEntity", status=404)]
    left = {one.detail for one in through.inventory()}
    assert len(there - left) == 1
    asked.always["ListAccessKeys"] = refused("AccessDenied", status=403)
    with pytest.raises(AwsError, match="AccessDenied"):
        list(through.inventory())


def test_nothing_comes_from_the_environment(
    aws_account: AwsPlace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    misleading = {
        "AWS_ACCESS_KEY_ID": "AKIAOTHER",
        "AWS_SECRET_ACCESS_KEY": "other",
        "AWS_SESSION_TOKEN": "other",
        "AWS_PROFILE": "nowhere",
        "AWS_CONFIG_FILE": private(tmp_path / "config", "not a configuration"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:1",
        "AWS_CA_BUNDLE": str(tmp_path / "none"),
        "AWS_REGION": "nowhere-1",
        "AWS_DEFAULT_REGION": "nowhere-1",
        "AWS_RETRY_MODE": "nonsense",
        "AWS_MAX_ATTEMPTS": "99",
        "AWS_CSM_ENABLED": "true",
        "HTTP_PROXY": "http://127.0.0.1:1",
        "http_proxy": "http://127.0.0.1:1",
    }
    new = aws_account.record()
    hermetic_session.cache_clear()
    for name, value in misleading.items():
        monkeypatch.setenv(name, value)
    issuer = aws_account.open()
    record, _ = make(issuer, new)
    assert issuer.revoke([record])[0].settlement is Settlement.DONE
    issuer.close()
    with pytest.raises(ConfigurationError) as refusal:
        aws_account.open(without=("credentials_file",))
    assert "the environment and ~/.aws are not used" in str(refusal.value.hint)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[other]\naws_access_key_id=a\naws_secret_access_key=b\n", "no profile"),
        ("[default]\naws_access_key_id=a\n", "no profile"),
        ("[default]\naws_access_key_id=\naws_secret_access_key=b\n", "empty key"),
        ("aws_secret_access_key=verysecret\n", "not in the format"),
        ("[default]\nverysecret\n", "not in the format"),
    ],
)
def test_a_credentials_file_that_is_none_is_not_repeated(
    aws_account: AwsPlace, tmp_path: Path, text: str, words: str
) -> None:
    issuer = aws_account.open(credentials_file=private(tmp_path / "file", text))
    with pytest.raises(ConfigurationError, match=words) as refusal:
        issuer.mint(aws_account.record(), print)
    assert "verysecret" not in str(refusal.value)
    issuer.close()


def test_a_credentials_file_that_others_may_read_is_refused(aws_account: AwsPlace, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(aws_account.moto.credentials.read_bytes())
    (tmp_path / "file").chmod(0o640)
    issuer = aws_account.open(credentials_file=str(tmp_path / "file"))
    with pytest.raises(IntegrityError, match="open to others"):
        issuer.mint(aws_account.record(), print)
    # The record of a credential that jitid must revoke is kept all the same.
    assert issuer.revoke([aws_account.known()])[0].settlement is Settlement.STUCK
    issuer.close()


@pytest.fixture
def _lenient(aws_account: AwsPlace) -> Iterator[None]:
    with aws_account.moto.lenient():
        yield


def federated(place: AwsPlace, folder: Path, asked: Between, **options: Any) -> tuple[AwsStsIssuer, Any]:
    """Return an issuer that authenticates with a key of the ledger instead of AWS keys, and the public key."""
    folder.chmod(0o700)
    signer = Keyring(str(folder)).create("ES256")
    issuer = place.open(
        issuer="https://id.example.com/jitid",
        without=("credentials_file",),
        endpoint_url=asked.url,
        web_identity=True,
        more={"signer": lambda: signer, "trust_domain": "example.com"},
        **options,
    )
    return issuer, jwt.PyJWK(public_jwk("ES256", signer.public, signer.kid))


@pytest.mark.usefixtures("_lenient")
def test_a_role_is_assumed_with_a_token_of_our_own(
    aws_account: AwsPlace, asked: Between, tmp_path: Path
) -> None:
    issuer, key = federated(aws_account, tmp_path, asked)
    record = aws_account.record(agent="build-bot", task="INC-4821")
    made: MadeCredential = issuer.mint(record, print)
    (call,) = asked.calls("AssumeRoleWithWebIdentity")
    token = call["WebIdentityToken"]
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": key.key_id, "typ": "JWT"}
    claims = jwt.decode(
        token, key, ["ES256"], audience="sts.amazonaws.com", issuer="https://id.example.com/jitid"
    )
    assert claims["sub"] == f"spiffe://example.com/ephemeral/build-bot/INC-4821/{record.id}"
    assert claims["jti"] == record.jti
    assert claims["https://aws.amazon.com/source_identity"] == "user=alice@example.com"
    assert claims["https://aws.amazon.com/tags"] == {
        "principal_tags": {
            "jitid:agent": ["ephemeral/build-bot"],
            "jitid:task": ["user:alice@example.com/INC-4821"],
        },
        "transitive_tag_keys": ["jitid:agent", "jitid:task"],
    }
    assert claims["exp"] - claims["iat"] <= 300
    assert json.loads(call["Policy"]) == made.facts["session_policy"]
    assert token not in str(dict(made.facts))
    issuer.close()


def test_tokens_are_for_agents_and_nobody_ends_sessions_with_them(
    aws_account: AwsPlace, asked: Between, tmp_path: Path
) -> None:
    issuer, _ = federated(aws_account, tmp_path, asked)
    record = aws_account.known()
    (outcome,) = issuer.revoke([record])
    assert (outcome.settlement, outcome.honoured_until) == (Settlement.UNSUPPORTED, record.expires_at)
    assert issuer.probe(record).life is Life.UNKNOWN
    with pytest.raises(RefusedError, match="no credentials for IAM"):
        list(issuer.inventory())
    issuer.close()


@pytest.mark.usefixtures("_lenient")
def test_the_ledger_itself_may_take_a_role_with_a_token(
    aws_account: AwsPlace, asked: Between, tmp_path: Path
) -> None:
    administrator = aws_account.moto.role("federated-administrator", ["iam:*", "sts:*"])
    issuer, key = federated(aws_account, tmp_path, asked, iam_role_arn=administrator)
    record = aws_account.known()
    assert issuer.revoke([record])[0].settlement is Settlement.DONE
    (call,) = asked.calls("AssumeRoleWithWebIdentity")
    claims = jwt.decode(call["WebIdentityToken"], key, ["ES256"], audience="sts.amazonaws.com")
    assert claims["sub"] == claims["iss"] == "https://id.example.com/jitid"
    issuer.close()


def test_keys_that_aws_does_not_find_are_to_be_published(
    aws_account: AwsPlace, asked: Between, tmp_path: Path
) -> None:
    issuer, _ = federated(aws_account, tmp_path, asked)
    asked.always["AssumeRoleWithWebIdentity"] = refused(
        "InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider"
    )
    with pytest.raises(RefusedError, match="verification key") as refusal:
        issuer.mint(aws_account.record(), print)
    assert "jitid publish" in str(refusal.value.hint)
    issuer.close()


def test_names_that_aws_takes_no_subject_of_are_refused(
    aws_account: AwsPlace, asked: Between, tmp_path: Path
) -> None:
    issuer, _ = federated(aws_account, tmp_path, asked)
    with pytest.raises(UsageError, match="AWS accepts 255"):
        issuer.mint(aws_account.record(agent="a" * 128, task="t" * 128), print)
    assert asked.asked == []
    issuer.close()


@pytest.mark.parametrize("address", ["http://aws.example.com", "https://user@aws.example.com", "nonsense"])
def test_an_address_at_which_keys_would_be_seen_is_refused(aws_account: AwsPlace, address: str) -> None:
    issuer = aws_account.open(endpoint_url=address)
    with pytest.raises(ConfigurationError):
        issuer.mint(aws_account.record(), print)
    issuer.close()


def test_a_file_of_the_users_own_changes_no_call(
    aws_account: AwsPlace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By default, botocore prefers the service models in `~/.aws/models` to its own."""
    place = tmp_path / ".aws/models/sts/2011-06-15"
    place.mkdir(parents=True)
    (place / "service-2.json").write_text("nonsense")
    record = aws_account.record()
    monkeypatch.setenv("HOME", str(tmp_path))
    hermetic_session.cache_clear()
    monkeypatch.setattr(
        module("botocore.loaders").Loader, "CUSTOMER_DATA_PATH", str(tmp_path / ".aws/models")
    )
    issuer = aws_account.open()
    assert issuer.mint(record, print).reference
    issuer.close()


def test_aws_cannot_look_up_an_issuer_that_is_no_address(aws_account: AwsPlace) -> None:
    with pytest.raises(ConfigurationError, match="requires an https issuer"):
        aws_account.open(issuer=ISSUER, without=("credentials_file",), web_identity=True)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ({"role_arn": "deploy"}, "not the ARN of a role"),
        ({"role_arn": "arn:aws:iam::1:role/x"}, "not the ARN of a role"),
        ({"role_arn": f"arn:aws:iam::{ACCOUNT}:role/x", "duration": 600}, "from 15m to 12h"),
        ({"role_arn": f"arn:aws:iam::{ACCOUNT}:role/x", "scopes": {"a:b": {}}}, "grants no rights"),
    ],
)
def test_a_template_that_cannot_be_meant_is_refused(
    aws_account: AwsPlace, template: dict[str, Any], words: str
) -> None:
    issuer = aws_account.open(templates={"it": template})
    with pytest.raises(ConfigurationError, match=words):
        issuer.mint(aws_account.record()._replace(template="it"), print)
    with pytest.raises(ConfigurationError, match="no template"):
        issuer.mint(aws_account.record()._replace(template="other"), print)
    issuer.close()


def test_without_botocore_the_extra_is_named(aws_account: AwsPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    record = aws_account.known()
    for name in [name for name in sys.modules if name == "botocore" or name.startswith("botocore.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "botocore", None)
    issuer = aws_account.open()
    with pytest.raises(ConfigurationError) as refusal:
        issuer.mint(record, print)
    assert str(refusal.value.hint).startswith(f"{sys.executable} -m pip install 'botocore>=")
    assert issuer.revoke([record])[0].settlement is Settlement.STUCK
    issuer.close()
