"""Several authorities over one database: after some fail, the others know every acknowledged change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from jitid.model.access import ROLES
from tests.ledger.test_lost import check, shell_over, writing
from tests.node import Node
from tests.postgres import Cluster
from tests.real import Shell
from tests.server.asking import grant
from tests.serving import Served, serving

API = "https://api.example"

CLIENT = """
const insecure = { [oauth.allowInsecureRequests]: true };
const issuer = new URL(given.at);
const found = await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...insecure });
// One of several authorities: it serves under the address of them all.
const as = await oauth.processDiscoveryResponse(new URL(given.issuer), found);
const here = path => new URL(new URL(path).pathname, given.at);
const keys = jose.createRemoteJWKSet(here(as.jwks_uri));
const { payload } = await jose.jwtVerify(given.token, keys, { issuer: as.issuer, audience: given.api, typ: "at+jwt" });
const client = { client_id: "system:api" };
const auth = (as, client, body, headers) => { headers.set("authorization", `Bearer ${given.bearer}`); };
const asked = await oauth.introspectionRequest(
    { ...as, introspection_endpoint: here(as.introspection_endpoint).href }, client, auth, given.token, insecure);
answer([payload, await oauth.processIntrospectionResponse(as, client, asked)]);
"""


class Fleet:
    """Two authorities with separate homes, as on two machines, and a remote shell that can use either."""

    def __init__(self, homes: list[Shell], served: list[Served], outside: Shell) -> None:
        self.homes = homes
        self.served = served
        self.outside = outside

    def through(self, number: int) -> dict[str, str]:
        """Return the environment in which the remote shell uses one of them."""
        return {"JITID_REMOTE": self.served[number].url}


ISSUER = "http://127.0.0.1:8477"


@pytest.fixture
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    """Return the authorities over one PostgreSQL, or over three replicating servers if the test requires them."""
    if "postgres_cluster" in request.fixturenames:
        address = request.getfixturevalue("postgres_cluster").url()
    else:
        address = request.getfixturevalue("postgres_url")
    homes = [shell_over(tmp_path / name, address, JITID_ISSUER=ISSUER) for name in ("one", "two")]
    homes[0].good("issue", "--task", "FIRST-1", "--delegator", "alice")
    homes[1].good("keys", "rotate")
    outside = Shell(tmp_path / "outside")
    outside.home.mkdir()
    del outside.environment["JITID_LEDGER"]
    credential = outside.home / "credential"
    credential.write_text(grant(homes[0], "user:alice", *ROLES))
    credential.chmod(0o600)
    outside.environment["JITID_REMOTE_CREDENTIAL_FILE"] = str(credential)
    with ExitStack() as stack:
        more = {"JITID_ISSUER": ISSUER}
        served = [stack.enter_context(serving(shell.home, ledger=address, more=more)) for shell in homes]
        yield Fleet(homes, served, outside)


def test_one_authority_is_killed_and_the_other_goes_on(fleet: Fleet, node: Node) -> None:
    """Tokens of both authorities are revoked through the remaining one, and every later check refuses them."""
    line = (
        "issue",
        "--task",
        "INC-4821",
        "--agent",
        "fixer",
        "--audience",
        API,
        "--scope",
        "repo:acme/web:read",
    )
    tokens = []
    for number in (0, 1):
        done = fleet.outside.run(*line, more=fleet.through(number))
        assert done.returncode == 0, done.stderr
        tokens.append(done.stdout.strip())
    bearer = grant(fleet.homes[0], "system:api", "verifier")

    def asked(token: str, number: int) -> tuple[dict[str, object], dict[str, object]]:
        place = fleet.served[number].url
        payload, told = node.run(CLIENT, at=place, issuer=ISSUER, token=token, bearer=bearer, api=API)
        return payload, told

    for token in tokens:
        payload, told = asked(token, 1)
        assert told["active"] is True
        assert (payload["sub"], told["sub"], told["jti"]) == ("user:alice", "user:alice", payload["jti"])
    fleet.served[0].kill()
    gone = fleet.outside.run(*line, more={**fleet.through(0), "JITID_TIMEOUT": "1s"})
    assert (gone.returncode, gone.stdout) == (5, "")
    ended = fleet.outside.run("revoke", "--task", "INC-4821", more=fleet.through(1))
    assert ended.returncode == 0, ended.stderr
    for token in tokens:
        assert asked(token, 1)[1] == {"active": False}
        refused = fleet.outside.run("verify", "--audience", API, stdin=token, more=fleet.through(1))
        assert refused.returncode == 8
    fleet.homes[1].good("audit", "verify")


def test_nothing_acknowledged_by_an_authority_is_lost_with_the_primary(
    postgres_cluster: Cluster, fleet: Fleet, tmp_path: Path
) -> None:
    clients: list[Shell] = []
    for number in (0, 1, 0):
        shell = Shell(tmp_path / f"client-{len(clients)}")
        shell.home.mkdir()
        shell.environment = {**fleet.outside.environment, **fleet.through(number), "HOME": str(shell.home)}
        clients.append(shell)
    with writing(tmp_path, clients) as writers:
        writers.go_on(20)
        postgres_cluster.fail_over()
        writers.go_on(20)
    check(fleet.homes[0], writers)
