"""A target that authenticates to AWS with the role of its EC2 instance."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from jitid.errors import ConfigurationError, StorageError
from jitid.issuers.aws import admin_access
from jitid.issuers.aws.api import Keys
from jitid.model.target import Settlement
from jitid.system.authority_address import Address
from tests.issuers.awsplace import AwsPlace
from tests.issuers.places import make, troubled_port

ROLES = "/latest/meta-data/iam/security-credentials/"


class Machine:
    """The instance metadata service (version 2), which refuses a request without its token."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, str]] = {}
        """By path: status and body."""
        self.port = 0

    def has(self, keys: Keys) -> None:
        """Give the machine a role with these keys."""
        given = {
            "Code": "Success",
            "AccessKeyId": keys.access_key_id,
            "SecretAccessKey": keys.secret_access_key,
            "Token": keys.session_token,
            "Expiration": "2026-11-24T12:00:00Z",
        }
        self.answers = {ROLES: (200, "web-server\n"), f"{ROLES}web-server": (200, json.dumps(given))}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Return the metadata service of this machine."""
    state = Machine()

    class Serving(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            lasting = self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
            if self.path == "/latest/api/token" and lasting:
                self.say(200, "a-token==")
            else:
                self.say(400, "")

        def do_GET(self) -> None:
            if self.headers["X-aws-ec2-metadata-token"] == "a-token==":
                self.say(*state.answers.get(self.path, (404, "not found")))
            else:
                self.say(401, "")

        def say(self, status: int, text: str) -> None:
            self.send_response_only(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Serving)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    state.port = server.server_address[1]
    monkeypatch.setattr(admin_access, "METADATA", Address("http", "127.0.0.1", state.port, ""))
    yield state
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_roles_are_assumed_and_denied_with_the_role_of_the_machine(
    aws_account: AwsPlace, machine: Machine
) -> None:
    role = aws_account.moto.role("web-server")
    given = aws_account.moto.client("sts").assume_role(RoleArn=role, RoleSessionName="i-1")["Credentials"]
    keys = Keys(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    machine.has(keys)
    assert admin_access.machine_keys(10.0) == keys
    record = aws_account.record()
    # moto does not let one role assume another.
    with aws_account.moto.lenient():
        issuer = aws_account.open(without=("credentials_file",), instance_role=True)
        record, _ = make(issuer, record)
        assert issuer.revoke([record])[0].settlement is Settlement.DONE
        issuer.close()
    assert not aws_account.exists(record)


def test_a_machine_without_a_role_is_told(machine: Machine) -> None:
    with pytest.raises(ConfigurationError, match="no IAM role"):
        admin_access.machine_keys(10.0)
    machine.answers = {ROLES: (200, "")}
    with pytest.raises(ConfigurationError, match="no IAM role"):
        admin_access.machine_keys(10.0)


@pytest.mark.parametrize(
    "answers",
    [
        {ROLES: (500, "")},
        {ROLES: (200, "../../../other")},
        {ROLES: (200, "a role")},
        {ROLES: (200, "<html>"), f"{ROLES}<html>": (200, "<html>")},
        {ROLES: (200, "r"), f"{ROLES}r": (200, "<html>")},
        {ROLES: (200, "r"), f"{ROLES}r": (200, "[]")},
        {
            ROLES: (200, "r"),
            f"{ROLES}r": (200, '{"AccessKeyId": "a", "SecretAccessKey": null, "Token": "c"}'),
        },
        {ROLES: (200, "r"), f"{ROLES}r": (200, '{"Code": "AssumeRoleUnauthorizedAccess", "Message": "no"}')},
    ],
)
def test_what_is_no_metadata_service_gives_no_keys(
    machine: Machine, answers: dict[str, tuple[int, str]]
) -> None:
    machine.answers = answers
    with pytest.raises(StorageError):
        admin_access.machine_keys(10.0)


@pytest.mark.parametrize("trouble", ["away", "silent", "nonsense"])
def test_elsewhere_than_in_the_cloud_nobody_answers(monkeypatch: pytest.MonkeyPatch, trouble: str) -> None:
    with troubled_port(trouble) as port:
        monkeypatch.setattr(admin_access, "METADATA", Address("http", "127.0.0.1", port, ""))
        with pytest.raises(StorageError):
            admin_access.machine_keys(0.5)


def test_a_target_has_one_sort_of_keys(aws_account: AwsPlace) -> None:
    with pytest.raises(ConfigurationError, match="both"):
        aws_account.open(instance_role=True)
