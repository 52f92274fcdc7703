"""`run --for`: the unmodified SDKs of vendors exchange the tokens of a run, again and again, until it is revoked."""

from __future__ import annotations

import getpass
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from jitid.model.vendor import VENDORS
from tests.openbao import OpenBaoServer
from tests.openbao import program as openbao_program
from tests.real import Shell, command, module, until
from tests.vendors import PROVIDER, Vendors, vendors

ISSUER = "https://jitid.example"
RUN = ("run", "--task", "T1", "--delegator", "alice")
SETTINGS = f"""
[federate.anthropic]
rule = "fdrl_01"
organization = "00000000-0000-0000-0000-000000000001"
service_account = "svac_01"
[federate.openai]
provider = "idp_01"
service_account = "sa_01"
[federate.google]
provider = "{PROVIDER}"
project = "p1"
[federate.azure]
tenant = "00000000-0000-0000-0000-000000000002"
client = "00000000-0000-0000-0000-000000000003"
[federate.aws]
role = "arn:aws:iam::123456789012:role/agent"
region = "eu-central-1"
"""
SDKS = {
    "anthropic": "import anthropic; anthropic.Anthropic(max_retries=0).models.list()",
    "openai": """
import os, openai
from openai.auth import k8s_service_account_token_provider as file
identity = {
    "identity_provider_id": os.environ["OPENAI_IDENTITY_PROVIDER_ID"],
    "service_account_id": os.environ["OPENAI_SERVICE_ACCOUNT_ID"],
    "provider": file(os.environ["OPENAI_IDENTITY_TOKEN_FILE"]),
}
openai.OpenAI(workload_identity=identity, max_retries=0).models.list()
""",
    "google": """
import google.auth
from google.auth.transport.requests import AuthorizedSession
credentials, project = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
assert project == "p1"
AuthorizedSession(credentials).get("https://storage.googleapis.com/storage/v1/b").raise_for_status()
""",
    "azure": """
import requests
from azure.identity import DefaultAzureCredential
token = DefaultAzureCredential().get_token("https://management.azure.com/.default").token
requests.get("https://management.azure.com/", headers={"Authorization": f"Bearer {token}"}).raise_for_status()
""",
    "aws": """
import boto3
boto3.client("sts").get_caller_identity()
""",
}
MODULES = {
    "anthropic": "anthropic",
    "openai": "openai",
    "google": "google.auth",
    "azure": "azure.identity",
    "aws": "boto3",
}
STATIC = {
    "ANTHROPIC_API_KEY": "sk-ant-static",
    "ANTHROPIC_AUTH_TOKEN": "static",
    "OPENAI_API_KEY": "sk-static",
    "GOOGLE_APPLICATION_CREDENTIALS": "/nowhere/key.json",
    "GEMINI_API_KEY": "static",
    "AZURE_CLIENT_SECRET": "static",
    "AWS_ACCESS_KEY_ID": "AKIASTATIC",
    "AWS_SECRET_ACCESS_KEY": "static",
    "AWS_PROFILE": "static",
}
"""Variables that a developer's shell may have; each of these would be used instead of the token."""


class Stranger(NamedTuple):
    """A server that no table names."""

    address: str
    seen: list[bytes]
    """The beginnings of its requests."""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell with a ledger, a key for services, and a table for each vendor."""
    made = Shell(tmp_path)
    settings = tmp_path / "settings.toml"
    settings.touch(0o600)
    settings.write_text(SETTINGS)
    made.environment |= {"JITID_CONFIG": str(settings), "JITID_ISSUER": ISSUER}
    made.good("issue", "--task", "FIRST", "--delegator", "alice", "--audience", "sts.amazonaws.com")
    return made


@pytest.fixture
def loopback(shell: Shell) -> Iterator[Vendors]:
    """Run the vendors; they know the published keys."""
    with vendors(shell.home, ISSUER, lambda: published(shell)) as running:
        yield running


def published(shell: Shell) -> list[Mapping[str, Any]]:
    """Return the keys that the ledger publishes now."""
    shell.good("publish", "out")
    keys: list[Mapping[str, Any]] = json.loads((shell.home / "out" / "jwks.json").read_text())["keys"]
    return keys


def run_sdk(
    shell: Shell, loopback: Vendors, vendor: str, *options: str, script: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a script with the SDK of a vendor in `run --for`, from a shell with static keys."""
    module(MODULES[vendor])
    return shell.run(
        *RUN, "--for", vendor, *options, "--", sys.executable, "-c", script or SDKS[vendor],
        more={**STATIC, **loopback.environment},
    )  # fmt: skip


@pytest.mark.parametrize("vendor", SDKS)
def test_an_unmodified_sdk_exchanges_the_token_in_spite_of_static_keys(
    shell: Shell, loopback: Vendors, vendor: str
) -> None:
    """The vendor accepts the token by its rule, and the API accepts the exchanged token."""
    done = run_sdk(shell, loopback, vendor)
    assert done.returncode == 0, done.stderr
    (exchange,) = loopback.exchanges
    assert (exchange.vendor, exchange.refusal) == (vendor, None)
    assert exchange.claims["sub"] == "user:alice"
    assert exchange.claims["aud"] == loopback.rules[vendor].audience
    assert len(loopback.calls) == 1
    rows = json.loads(shell.good("list", "--task", "T1", "--format", "json"))["items"]
    assert {row["state"] for row in rows} == {"revoked"}


def test_one_run_serves_all_of_them(shell: Shell, loopback: Vendors) -> None:
    """One identity, one token for each vendor, and no static key is left."""
    for name in MODULES.values():
        module(name)
    scripts = "\n".join(SDKS.values())
    names = [word for vendor in SDKS for word in ("--for", vendor)]
    script = f"{scripts}\nimport os\nassert not {STATIC!r}.items() & os.environ.items()"
    done = shell.run(
        *RUN, *names, "--", sys.executable, "-c", script, more={**STATIC, **loopback.environment}
    )
    assert done.returncode == 0, done.stderr
    assert [exchange.vendor for exchange in loopback.exchanges] == [*SDKS]
    assert len({exchange.claims["act"]["sub"] for exchange in loopback.exchanges}) == 1
    assert len({exchange.claims["jti"] for exchange in loopback.exchanges}) == len(SDKS)


def test_a_token_that_was_read_is_replaced_where_each_is_accepted_once(
    shell: Shell, loopback: Vendors
) -> None:
    """Two clients exchange one after the other: the second one finds a fresh `jti` in the file."""
    script = """
import os, time, anthropic
path = os.environ["ANTHROPIC_IDENTITY_TOKEN_FILE"]
anthropic.Anthropic(max_retries=0).models.list()
read = open(path).read()
end = time.monotonic() + 60
while open(path).read() == read and time.monotonic() < end:
    time.sleep(0.2)
anthropic.Anthropic(max_retries=0).models.list()
"""
    done = run_sdk(shell, loopback, "anthropic", script=script)
    assert done.returncode == 0, done.stderr
    assert [exchange.refusal for exchange in loopback.exchanges] == [None, None]


def test_a_token_that_was_read_is_replaced_until_the_run_ends(shell: Shell) -> None:
    """The first token already has the lifetime of the run, and still each reader finds a fresh `jti`."""
    script = """
import base64, json, os, time
path = os.environ["ANTHROPIC_IDENTITY_TOKEN_FILE"]
found, end = [], time.monotonic() + 60
while len(found) < 3 and time.monotonic() < end:
    claims = json.loads(base64.urlsafe_b64decode(open(path).read().split(".")[1] + "==="))
    if claims["jti"] not in [each["jti"] for each in found]:
        found.append(claims)
    time.sleep(0.2)
print(len(found), len({each["exp"] for each in found}))
"""
    done = shell.run(*RUN, "--deadline", "10m", "--for", "anthropic", "--", sys.executable, "-c", script)
    assert (done.returncode, done.stdout) == (0, "3 1\n"), done.stderr
    assert "warning" not in done.stderr


@pytest.mark.parametrize("vendor", SDKS)
def test_after_a_revocation_no_sdk_can_refresh(shell: Shell, loopback: Vendors, vendor: str) -> None:
    """The file keeps the last token until that expires; no new one is written, so that a new exchange is refused."""
    module(MODULES[vendor])
    script = """
import base64, json, os, subprocess, sys, time
exec(sys.argv[1])
print("first", flush=True)
sys.stdin.readline()
def expiry():
    payload = open(os.environ["JITID_TOKEN_FILE"]).read().split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "==="))["exp"]
while time.time() <= expiry():
    time.sleep(0.1)
# Another process: the SDK here may still have what it was given.
again = subprocess.run([sys.executable, "-c", sys.argv[1]], capture_output=True, text=True)
print("refused" if again.returncode and "Traceback" in again.stderr else "accepted")
"""
    process = subprocess.Popen(
        [
            *command(*RUN, "--for", vendor, "--ttl", "5s", "--"),
            *(sys.executable, "-c", script, SDKS[vendor]),
        ],
        env={**shell.environment, **loopback.environment},
        cwd=shell.home,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "first\n"
    shell.good("revoke", "--task", "T1", "--yes")
    output, errors = process.communicate("\n", timeout=120)
    assert output == "refused\n", errors
    accepted = [exchange for exchange in loopback.exchanges if exchange.refusal is None]
    assert len(accepted) == 1
    assert loopback.exchanges[-1].refusal == "Signature has expired"


@pytest.mark.parametrize("fault", ["down", "rubbish", "gone"])
@pytest.mark.parametrize("vendor", SDKS)
def test_a_vendor_that_fails_ends_in_the_error_of_its_sdk(
    shell: Shell, loopback: Vendors, vendor: str, fault: str
) -> None:
    """The SDK reports it; it falls back to no static key, and the run ends with its status."""
    loopback.fault[vendor] = fault
    done = run_sdk(shell, loopback, vendor)
    assert done.returncode == 1, done.stderr
    assert not loopback.calls
    assert "Traceback" in done.stderr


@pytest.mark.parametrize("vendor", SDKS)
def test_a_rule_for_another_audience_refuses_the_token(shell: Shell, loopback: Vendors, vendor: str) -> None:
    """A token for one vendor is of no use at another one."""
    loopback.rules[vendor] = loopback.rules[vendor]._replace(audience="https://other.example")
    done = run_sdk(shell, loopback, vendor)
    assert done.returncode == 1
    assert {exchange.refusal for exchange in loopback.exchanges} == {"Audience doesn't match"}
    assert not loopback.calls


def test_a_reader_in_the_middle_of_a_renewal_finds_a_whole_token(shell: Shell) -> None:
    """Renewals follow each other at once, since each read causes one."""
    script = """
import os, time
path = os.environ["ANTHROPIC_IDENTITY_TOKEN_FILE"]
seen, end = set(), time.monotonic() + 60
while len(seen) < 4 and time.monotonic() < end:
    text = open(path).read()
    assert text.count(".") == 2 and text == text.strip() and len(text) > 300, text
    seen.add(text)
print(len(seen))
"""
    done = shell.run(*RUN, "--for", "anthropic", "--", sys.executable, "-c", script)
    assert (done.returncode, done.stdout) == (0, "4\n"), done.stderr


def test_a_vault_logs_in_by_the_file(shell: Shell, tmp_path: Path, stranger: Stranger) -> None:
    """A real OpenBao verifies the token by its key, its audience and its subject; after a revocation it is the last."""
    folder = tmp_path / "bao"
    folder.mkdir()
    server = OpenBaoServer(folder)
    try:
        server.start()
        (key,) = [key for key in published(shell) if key["alg"] == "ES256"]
        public = (
            jwt.PyJWK(dict(key)).key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        )
        server.ask("POST", "sys/auth/jwt", {"type": "jwt"})
        server.ask("POST", "auth/jwt/config", {"jwt_validation_pubkeys": [public], "bound_issuer": ISSUER})
        role = {
            "role_type": "jwt",
            "user_claim": "sub",
            "bound_audiences": ["vault"],
            "bound_subject": "user:alice",
        }
        server.ask("POST", "auth/jwt/role/agent", {**role, "policies": ["default"]})
        with (shell.home / "settings.toml").open("a") as settings:
            settings.write(f'[federate.vault]\naddress = "{server.address}"\nrole = "agent"\n')
        login = "write -field=token auth/jwt/login role=$JITID_VAULT_ROLE jwt=@$JITID_VAULT_TOKEN_FILE"
        script = f'test -z "$VAULT_TOKEN" && {openbao_program()} {login}'
        misled = {
            f"{program}_{name}": stranger.address
            for program in ("VAULT", "BAO")
            for name in (
                "ADDR",
                "AGENT_ADDR",
                "PROXY_ADDR",
                "HTTP_PROXY",
                "TLS_SERVER_NAME",
                "CONFIG_PATH",
                "MFA",
            )
        }
        more = {**misled, "BAO_CACERT": str(server.ca_file), "VAULT_TOKEN": "static", "BAO_SRV_LOOKUP": "1"}
        done = shell.run(*RUN, "--for", "vault", "--", "sh", "-c", script, more=more)
        assert done.returncode == 0, done.stderr
        assert not stranger.seen
        found = server.ask("GET", "auth/token/lookup-self", token=done.stdout.strip())["data"]
        assert found["path"] == "auth/jwt/login"
        other = ("run", "--task", "T2", "--delegator", "bob", "--for", "vault", "--", "sh", "-c", script)
        refused = shell.run(*other, more=more)
        assert (refused.returncode, refused.stdout) == (2, ""), refused.stderr
    finally:
        server.stop()


def test_a_missing_setting_is_named_with_the_page_that_explains_it(shell: Shell) -> None:
    """Nothing is issued."""
    (shell.home / "settings.toml").write_text("[federate.anthropic]\nrule = 'fdrl_01'\n")
    done = shell.run(*RUN, "--for", "anthropic", "--", "true")
    assert done.returncode == 125
    assert "federate.anthropic.organization" in done.stderr
    assert "jitid federate anthropic" in done.stderr
    # The page needs no ledger, and the hint describes the value.
    assert "jitid-federation(7)" in done.stderr
    assert "organization" in done.stderr.partition("hint: ")[2]
    assert not shell.good("list", "--task", "T1")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--for", "github"), "GitHub accepts no token of another issuer"),
        (("--for", "git"), "git uses a credential helper"),
        (("--for", "nobody"), "there is no vendor `nobody`"),
        (("--for", "aws", "--env", "TOKEN"), "--for and --env exclude each other"),
        (("--for", "aws", "--on-exit", "keep"), "--for and --on-exit keep exclude each other"),
        (("--for", "aws", "--secret", "x=aws-sts"), "use the same variables"),
        (("--for", "../x"), "is not the name of a federation"),
        (("--for", "aws,anthropic"), "repeat the option: --for aws --for anthropic"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_issued(
    shell: Shell, options: tuple[str, ...], reason: str
) -> None:
    """The message says what to do instead."""
    done = shell.run(*RUN, *options, "--", "true")
    assert done.returncode == 125
    assert reason in done.stderr
    assert "hint" in done.stderr


def test_what_no_vendor_accepts_is_noted_as_by_federate(shell: Shell) -> None:
    """The issuer, the rule for `sub`, and a setting that one program of the vendor needs; --quiet hides the notes."""

    def noted(*words: str) -> str:
        done = shell.run("--config", "settings.toml", *words, "--", "true")
        assert done.returncode == 0, done.stderr
        return done.stderr

    me = ("run", "--task", "T2", "--delegator", getpass.getuser())
    assert "vendors require" not in noted(*RUN, "--for", "aws")
    assert "`delegator_proof` as shown" in noted(*RUN, "--for", "anthropic"), "the delegator is stated"
    assert "delegator_proof" not in noted(*me, "--for", "anthropic")
    assert "exactly" not in noted(*me, "--for", "azure")
    (shell.home / "settings.toml").write_text(
        SETTINGS.partition("[federate.openai]")[0]
        + "[federate.azure]\ntenant = 't'\nclient = 'c'\nsubject = 'jitid/{delegator}/{id}/'\n"
    )
    assert "jitid: note: Microsoft Entra compares `sub` exactly" in noted(*me, "--for", "azure")
    assert "federate.openai.rule (id of the federation rule, for Codex) or federate.openai.provider" in noted(
        *me, "--for", "openai"
    )
    shell.environment["JITID_ISSUER"] = "urn:jitid:x"
    shell.good("ledger", "issuer", "set", "urn:jitid:x", "--yes")
    told = noted(*me, "--for", "anthropic", "--for", "openai")
    assert told.count("jitid: note: vendors require an https issuer, not urn:jitid:x") == 1
    assert "vendors require" not in noted("-q", *me, "--for", "anthropic")


def test_a_template_that_does_not_count_opens_no_task(shell: Shell) -> None:
    """The name stays free for the run that follows the hint."""
    settings = shell.home / "settings.toml"
    settings.write_text(f"{SETTINGS}subject = 'jitid/{{id}}/'\n")
    done = shell.run(*RUN, "--for", "aws", "--", "true")
    assert done.returncode == 125
    assert f"is in {settings}, which JITID_CONFIG selects" in done.stderr
    assert f"hint: name the file: --config {settings}" in done.stderr
    assert "T1" not in shell.good("task", "list", "--field", "task").split()
    done = shell.run("--config", str(settings), *RUN, "--for", "aws", "--", "true")
    assert done.returncode == 0, done.stderr


def test_two_tables_of_one_vendor_are_two_runs(shell: Shell) -> None:
    """They would have the same variables."""
    with (shell.home / "settings.toml").open("a") as settings:
        settings.write('[federate.other]\nvendor = "aws"\nrole = "arn:aws:iam::210987654321:role/agent"\n')
    done = shell.run(*RUN, "--for", "other", "--", "printenv", "AWS_ROLE_ARN")
    assert (done.returncode, done.stdout) == (0, "arn:aws:iam::210987654321:role/agent\n")
    done = shell.run(*RUN, "--for", "other", "--for", "aws", "--", "true")
    assert done.returncode == 125
    assert "use one run for each" in done.stderr


def test_the_identity_token_is_in_no_variable_of_a_vendor(shell: Shell) -> None:
    """Only jitid's own variables lead to it; and no variable for services leads to the token of a vendor."""
    script = """
import base64, json, os
def typ(variable):
    header = open(os.environ[variable]).read().partition(".")[0]
    return json.loads(base64.urlsafe_b64decode(header + "==="))["typ"]
for name in ("AWS_WEB_IDENTITY_TOKEN_FILE", "AZURE_FEDERATED_TOKEN_FILE"):
    assert typ(name) == "at+jwt", name
for name in ("JITID_PARENT_FILE", "JITID_TOKEN_FILE"):
    assert typ(name) != "at+jwt", name
assert "JITID_TOKEN_FILE_2" not in os.environ
"""
    done = shell.run(*RUN, "--for", "aws", "--for", "azure", "--", sys.executable, "-c", script)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    assert "$JITID_TOKEN_FILE" not in done.stderr, "the tokens of the vendors are the purpose"


def test_a_service_gets_no_token_of_a_vendor(shell: Shell) -> None:
    """With the token of a vendor, a service would be the agent there."""
    script = """
import base64, json, os
def aud(variable):
    payload = open(os.environ[variable]).read().split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "==="))["aud"]
assert aud("JITID_TOKEN_FILE") == "https://a.example"
assert aud("JITID_TOKEN_FILE_2") == "https://b.example"
assert "JITID_TOKEN_FILE_3" not in os.environ
assert aud("ANTHROPIC_IDENTITY_TOKEN_FILE") == "https://api.anthropic.com"
"""
    services = ("--audience", "https://a.example", "--audience", "https://b.example")
    done = shell.run(*RUN, "--for", "anthropic", *services, "--", sys.executable, "-c", script)
    assert done.returncode == 0, done.stderr
    assert "is an identity token" not in done.stderr


def test_another_address_for_a_token_is_reported(shell: Shell) -> None:
    """The token gives the agent's rights to every program that has it: only the table names an address."""
    with (shell.home / "settings.toml").open("a") as settings:
        settings.write(
            '[federate.g]\nvendor = "google"\nprovider = "p/x"\ntoken_url = "https://other.example/t"\n'
        )
    more = {
        "ANTHROPIC_BASE_URL": "https://name:secret@gateway.example",
        "OPENAI_BASE_URL": "https://gateway.example",
        "AWS_ENDPOINT_URL_STS": "https://gateway.example",
        "CODEX_HOME": "/nowhere",
    }
    vendors_ = [word for name in ("anthropic", "openai", "aws", "g") for word in ("--for", name)]
    script = "import os; print(*[name for name in os.environ if name.endswith(('_URL', '_STS', '_HOME'))])"
    done = shell.run(*RUN, *vendors_, "--", sys.executable, "-c", script, more=more)
    assert (done.returncode, done.stdout) == (0, "CODEX_HOME\n"), done.stderr
    for name in ("ANTHROPIC_BASE_URL", "OPENAI_BASE_URL", "AWS_ENDPOINT_URL_STS"):
        assert f"hidden from the command: {name}; for settings: jitid federate " in done.stderr
    assert "OpenAI: CODEX_HOME is set; settings in that folder may name another address" in done.stderr
    assert "sent to `https://other.example/t` (federate.g.token_url)" in done.stderr
    assert "secret@" not in done.stderr
    done = shell.run(*RUN, *vendors_[:2], "--", "true", more={"ANTHROPIC_MODEL": "m"})
    assert "the token" not in done.stderr, done.stderr
    assert "hidden" not in done.stderr


def test_a_table_may_name_a_gateway(shell: Shell) -> None:
    """It is reported, and an inherited address does not take its place."""
    tables = shell.home / "settings.toml"
    text = tables.read_text()
    for name, key in (("anthropic", "base_url"), ("openai", "base_url"), ("aws", "endpoint")):
        text = text.replace(f"[federate.{name}]", f'[federate.{name}]\n{key} = "https://{name}.example/v1"')
    tables.write_text(text)
    inherited = dict.fromkeys(
        ("ANTHROPIC_BASE_URL", "OPENAI_BASE_URL", "AWS_ENDPOINT_URL_STS"), "https://e.example"
    )
    vendors_ = [word for name in ("anthropic", "openai", "aws") for word in ("--for", name)]
    done = shell.run(*RUN, *vendors_, "--", "printenv", *inherited, more=inherited)
    gateways = [f"https://{name}.example/v1" for name in ("anthropic", "openai", "aws")]
    assert (done.returncode, done.stdout.split()) == (0, gateways), done.stderr
    for gateway in gateways:
        assert f"the token is sent to `{gateway}`" in done.stderr
    assert "hidden" not in done.stderr


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    """Listen as a server that no table names."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Stranger(f"http://127.0.0.1:{listener.getsockname()[1]}", [])

        def answer() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    connection.settimeout(5)
                    with connection, suppress(OSError):
                        made.seen.append(connection.recv(65_536))
                        connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

        Thread(target=answer, daemon=True).start()
        yield made
        listener.shutdown(socket.SHUT_RDWR)


def misleading(vendor: str, stranger: Stranger, packages: list[str]) -> dict[str, str]:
    """Return all variables of a vendor that the sources of its packages have and that do not pass, each misleading."""
    starts = "|".join(VENDORS[vendor].families)
    pattern = re.compile(rf"""["']((?:{starts})[A-Z0-9_]*)["']""")
    found = {
        name
        for package in packages
        for path in Path(next(iter(module(package).__path__))).rglob("*.py")
        for name in pattern.findall(path.read_text(errors="ignore"))
    }
    return {name: stranger.address for name in found if VENDORS[vendor].hides(name)}


PACKAGES = {
    "anthropic": ["anthropic"],
    "openai": ["openai"],
    "google": ["google.auth"],
    "azure": ["azure.identity", "azure.core", "msal"],
    "aws": ["botocore", "boto3"],
}
RECEIVERS = {
    "anthropic": "ANTHROPIC_BASE_URL",
    "openai": "OPENAI_BASE_URL",
    "google": "GCE_METADATA_HOST",
    "azure": "AZURE_AUTHORITY_HOST",
    "aws": "AWS_ENDPOINT_URL",
}
"""For each vendor, one of the variables that must be found."""


@pytest.mark.parametrize("vendor", SDKS)
def test_no_inherited_variable_chooses_the_receiver_of_a_token(
    shell: Shell, loopback: Vendors, stranger: Stranger, vendor: str
) -> None:
    """All variables that the SDK reads are set, and the token reaches the vendor alone."""
    module(MODULES[vendor])
    more = misleading(vendor, stranger, PACKAGES[vendor])
    assert RECEIVERS[vendor] in more
    if vendor == "aws":
        more |= {"AWS_ENDPOINT_URL_STS": stranger.address, "AWS_DATA_PATH": str(other_data(shell.home))}
    done = shell.run(
        *RUN, "--for", vendor, "--", sys.executable, "-c", SDKS[vendor],
        more={**STATIC, **more, **loopback.environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not stranger.seen
    assert [(exchange.vendor, exchange.refusal) for exchange in loopback.exchanges] == [(vendor, None)]
    assert len(loopback.calls) == 1


def other_data(folder: Path) -> Path:
    """Return a folder with data of botocore by which AWS has another domain."""
    (made := folder / "data").mkdir()
    data = Path(module("botocore").__file__).parent / "data"
    for name in ("endpoints.json", "partitions.json"):
        (made / name).write_text((data / name).read_text().replace("amazonaws.com", "evil.example"))
    return made


@pytest.mark.parametrize("name", VENDORS)
def test_what_chooses_no_server_passes(name: str) -> None:
    """A closed list: an unknown variable of a family does not pass."""
    vendor = VENDORS[name]
    for passed in vendor.passed:
        assert not vendor.hides(passed), passed
        assert any(passed.startswith(family) for family in vendor.families), passed
    for family in vendor.families:
        assert vendor.hides(f"{family}UNKNOWN" if family.endswith("_") else family)
    for general in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PATH"):
        assert not vendor.hides(general)


def test_a_life_that_is_shorter_than_an_sdk_keeps_the_token_is_reported(shell: Shell) -> None:
    """azure-identity presents a token for ten minutes after reading it."""
    done = shell.run(*RUN, "--for", "azure", "--ttl", "10m", "--", "true")
    assert done.returncode == 0
    assert "may present it after it has expired; use --ttl 14m or more" in done.stderr


def test_a_command_that_holds_the_file_open_reads_the_next_token_by_its_path(shell: Shell) -> None:
    """A short life makes the run renew by itself."""
    script = """
import os, time
path = os.environ["AWS_WEB_IDENTITY_TOKEN_FILE"]
first, end = open(path).read(), time.monotonic() + 60
while open(path).read() == first and time.monotonic() < end:
    time.sleep(0.1)
assert open(path).read() != first
"""
    done = shell.run(*RUN, "--for", "aws", "--ttl", "3s", "--", sys.executable, "-c", script)
    assert done.returncode == 0, done.stderr


def test_nothing_of_a_run_is_left_in_its_folder(shell: Shell) -> None:
    """With `--file`, the tokens of vendors are files beside the identity token; they end with the run."""
    listing = "ls -A held; cat held/token-aws"
    done = shell.run(*RUN, "--for", "aws", "--file", "held", "--", "sh", "-c", listing)
    assert done.returncode == 0, done.stderr
    identity, token = done.stdout.split("\n")[:2]
    assert (identity, token) == ("identity", "token-aws")
    assert not list((shell.home / "held").iterdir())
    until(lambda: not list((shell.home / "held").iterdir()), "the folder has a file")


def test_the_tokens_of_a_killed_run_are_deleted_by_the_next_one(shell: Shell) -> None:
    """Also one with other names. Other files of the user's stay, and so does a token that a run kept."""
    process = subprocess.Popen(
        [*command(*RUN, "--for", "aws", "--file", "held", "--"), "sh", "-c", "echo started; exec sleep 600"],
        env=shell.environment,
        cwd=shell.home,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    process.kill()
    process.communicate()
    held = shell.home / "held"
    assert {path.name for path in held.iterdir()} == {"identity", "token-aws"}
    (held / "token-mine").write_text("a file of the user's\n")
    (held / "token-link").symlink_to(held / "token-aws")
    (held / "token-folder").mkdir()
    others = {"token-mine", "token-link", "token-folder"}
    shell.good(*RUN, "--file", "held", "--on-exit", "keep", "--audience", "https://a.example", "--", "true")
    assert {path.name for path in held.iterdir()} == {*others, "identity", "token"}
    shell.good(*RUN, "--file", "held", "--", "true")
    assert {path.name for path in held.iterdir()} == {*others, "identity"}
