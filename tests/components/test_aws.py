"""AWS's own command line, with jitid as the `credential_process` of a profile."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from jitid.issuers.aws.session_policy import denied_in
from jitid.values.times import parse_time
from tests.issuers.between import between, refused
from tests.moto import ACCOUNT, REGION, Moto
from tests.real import Shell, command, module

_roles = count(1)


class User(Shell):
    """A user with an AWS target in jitid, and an AWS profile that calls jitid."""

    def __init__(self, home: Path, moto: Moto) -> None:
        super().__init__(home)
        module("awscli")
        self.moto = moto
        self.role = f"deploy-{next(_roles)}"
        arn = moto.role(self.role)
        scopes = {"s3:*:read": {"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::{2}/*"]}}
        self._target = {
            "kind": "aws-sts",
            "region": REGION,
            "endpoint_url": moto.url,
            "credentials_file": str(moto.credentials),
            "template": {"deploy": {"role_arn": arn, "scopes": scopes}},
        }
        self.target()
        self.environment["JITID_CONFIG"] = str(home / "jitid.toml")
        self.permit_kinds()
        self.environment["AWS_CONFIG_FILE"] = str(home / "aws")
        self.environment["AWS_EC2_METADATA_DISABLED"] = "true"

    def target(self, **changed: object) -> None:
        """Write the target with changed options; None omits an option."""
        table = {name: value for name, value in {**self._target, **changed}.items() if value is not None}
        self._write("jitid.toml", tomli_w.dumps({"target": {"cloud": table}}))

    def denied(self) -> list[str]:
        """Return the sessions that the role denies."""
        texts = self.moto.policies(self.role).items()
        return [one for name, text in texts if name.startswith("jitid-") for one in denied_in(text)]

    def profile(self, *arguments: str) -> None:
        """Let the profile `deploy` call jitid with these arguments."""
        line = " ".join([*command("helper", "aws", "--template", "deploy"), *arguments])
        self._write(
            "aws",
            f"[profile deploy]\nregion = {REGION}\nendpoint_url = {self.moto.url}\ncredential_process = {line}\n",
        )

    def aws(self, *arguments: str, run: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Run AWS's command line with that profile."""
        words = [sys.executable, "-m", "awscli", *arguments, "--profile", "deploy", "--output", "json"]
        return subprocess.run(
            [*run, *words], capture_output=True, text=True, env=self.environment, cwd=self.home, timeout=120
        )

    def _write(self, name: str, text: str) -> None:
        path = self.home / name
        path.touch(0o600)
        path.write_text(text)


@pytest.fixture
def user(tmp_path: Path, moto_server: Moto) -> User:
    """Return a user with a role that no other test uses."""
    return User(tmp_path, moto_server)


def test_the_command_line_of_aws_takes_what_it_is_given(user: User) -> None:
    user.profile("--task", "INC-4821", "--delegator", "alice", "--agent", "deployer")
    done = user.aws("sts", "get-caller-identity")
    assert done.returncode == 0, done.stderr
    arn = json.loads(done.stdout)["Arn"]
    beginning = f"arn:aws:sts::{ACCOUNT}:assumed-role/{user.role}/"
    assert arn.startswith(beginning)
    (listed,) = json.loads(user.good("list", "--format", "json"))["items"]
    assert (listed["jti"], listed["agent"]) == (arn.removeprefix(beginning), "deployer")
    # The session has the rights of its role.
    assert json.loads(user.aws("iam", "list-account-aliases").stdout) == {"AccountAliases": []}


def test_the_end_that_is_told_is_ours_and_not_that_of_aws(user: User) -> None:
    told: dict[str, Any] = json.loads(
        user.good(
            "helper", "aws", "--template", "deploy", "--task", "INC-1", "--delegator", "alice", "--ttl", "5m"
        )
    )
    assert told.pop("Version") == 1
    (listed,) = json.loads(user.good("list", "--format", "json"))["items"]
    assert told.pop("Expiration") == listed["expires_at"]
    assert parse_time(listed["expires_at"]) - parse_time(listed["issued_at"]) == 300
    assert set(told) == {"AccessKeyId", "SecretAccessKey", "SessionToken"}


def test_what_is_refused_reaches_whoever_asked_aws(user: User) -> None:
    user.profile("--task", "INC-1")
    done = user.aws("sts", "get-caller-identity")
    assert done.returncode != 0
    assert "jitid: error:" in done.stderr
    # Neither a ledger nor a session was made.
    assert not user.ledger.exists()


def test_within_a_run_nothing_more_is_said_and_all_of_it_ends_with_the_run(user: User) -> None:
    user.profile()
    run = command("run", "--task", "INC-4821", "--delegator", "alice", "--scope", "s3:reports:read")
    may = ("--ttl", "1h", "--may-kind", "aws-sts:cloud/deploy", "--")
    done = user.aws("sts", "get-caller-identity", run=(*run, *may))
    assert done.returncode == 0, done.stderr
    session = json.loads(done.stdout)["Arn"].rpartition("/")[2]
    assert json.loads(user.good("list", "--format", "json", "--state", "active"))["items"] == []
    assert session in user.denied()


def test_a_session_for_a_command_is_there_as_a_profile_and_denied_afterwards(user: User) -> None:
    line = ["run", "--task", "INC-4822", "--delegator", "alice", "--secret", "cloud=aws-sts:deploy"]
    words = [sys.executable, "-m", "awscli", "sts", "get-caller-identity", "--profile", "cloud"]
    told = json.loads(user.good(*line, "--", *words, "--output", "json"))
    session = told["Arn"].rpartition("/")[2]
    assert user.denied() == [session]
    evidence = json.loads(user.good("inspect", session, "--format", "json"))["at_target"]
    assert "jitid-denied-" in str(evidence)


def test_what_aws_does_not_confirm_is_said_and_may_be_waited_for(user: User) -> None:
    with between(user.moto.url) as asked:
        user.target(endpoint_url=asked.url, timeout="1s")
        line = ("helper", "aws", "--template", "deploy", "--delegator", "alice", "--task")
        user.good(*line, "INC-4823")
        user.good(*line, "INC-4824")
        later, once = user.good("list", "--field", "jti").split()
        busy = refused("ServiceUnavailable", status=503)
        asked.always["PutRolePolicy"] = busy
        done = user.run("revoke", once)
        assert (done.returncode, user.denied()) == (9, [])
        assert "ServiceUnavailable" in done.stderr
        asked.always.clear()
        # More failures than one attempt has time for.
        asked.answers["PutRolePolicy"] = [busy] * 6
        user.good("revoke", later, "--wait", "60s")
        assert user.denied() == [later]


def test_a_canary_shows_that_sessions_end(user: User) -> None:
    user.good("issue", "--task", "INC-1", "--delegator", "alice")
    told = user.good("sweep", "--canary", "--rule", "canary", "-v")
    assert "cloud refused after" in told
    (session,) = user.denied()
    assert session in user.good("list", "--delegator", "system:jitid", "--field", "jti").split()


def test_a_sweep_finds_the_keys_that_never_end_and_no_session_of_ours(user: User) -> None:
    line = ("--template", "deploy", "--delegator", "alice", "--task")
    user.good("helper", "aws", *line, "INC-1")
    user.good("helper", "aws", *line, "INC-2")
    user.good("revoke", "--task", "INC-2", "--yes")
    swept = json.loads(user.good("sweep", "--target", "cloud", "--format", "json"))
    found = {each["subject"]: each for each in swept["findings"]}
    # AWS lists no sessions, neither denied nor live ones, so their absence is not evidence.
    assert not [subject for subject in found if "jti_" in subject]
    own = found[f"cloud/{user.moto.key[0]}"]
    assert (own["rule"], own["evidence"]["jti"]) == ("orphaned-untracked", None)
    assert "the target's own key" in own["evidence"]["detail"]
    # The administrator who made the key must delete it.
    assert own["remedy"] is None
    assert "AWS cannot list sessions" in json.dumps(swept)


def test_without_any_key_of_aws(user: User) -> None:
    administrator = user.moto.role(f"administrator-of-{user.role}", ["iam:*", "sts:*"])
    user.environment["JITID_ISSUER"] = "https://id.example.com"
    user.target(credentials_file=None, web_identity=True, iam_role_arn=administrator)
    with user.moto.lenient():
        user.good("helper", "aws", "--template", "deploy", "--task", "INC-1", "--delegator", "alice")
        (jti,) = user.good("list", "--field", "jti").split()
        user.good("revoke", jti)
        # The target works in a thread, which has no ledger with the key.
        assert "orphaned-untracked" in user.good("sweep", "--target", "cloud", "--rule", "orphaned-untracked")
    assert user.denied() == [jti]
    # The published key set has the key that AWS requires.
    assert "ES256" in user.good("keys", "jwks")
