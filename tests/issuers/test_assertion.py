"""Assertions for another authorization server: only by a template that the policy permits."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.crypto.signed import P256, jwk
from tests.real import Shell, permitting_kinds
from tests.server.asking import IDP, id_token

SERVER = "https://as.example"
RESOURCE = "https://mcp.example/mcp"
ISSUER = "https://agents.example"
TEMPLATES = f"""
issuer = "{ISSUER}"
[target.chat]
kind = "jwt"
[target.chat.template.client]
assertion = "client"
client_id = "my-client"
audience = "{SERVER}"
[target.chat.template.jag]
assertion = "id-jag"
client_id = "my-client"
audience = "{SERVER}"
resource = "{RESOURCE}"
"""
PERMITTED = """
@id("chat")
permit (principal, action == Action::"issue", resource)
when { context.kind == "jwt" && context.template like "chat/*" };
"""


def world(folder: Path, templates: str = TEMPLATES, permitted: str = PERMITTED) -> Shell:
    """Return a shell with templates, and a policy that permits them."""
    shell = Shell(folder)
    rules = permitting_kinds(folder / "rules")
    (rules / "chat.cedar").touch(0o600)
    (rules / "chat.cedar").write_text(permitted)
    shell.environment["JITID_POLICY"] = str(rules)
    path = folder / ".config/jitid/config.toml"
    path.parent.mkdir(parents=True)
    path.touch(0o600)
    keys = folder / "jwks.json"
    keys.write_text(json.dumps({"keys": [jwk(P256, kid="k", use="sig")]}))
    keys.chmod(0o644)
    path.write_text(f'{templates}[oidc."{IDP}"]\njwks = "{keys}"\naudience = "jitid"\n')
    return shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell with both templates."""
    return world(tmp_path)


def issue(shell: Shell, template: str, *more: str) -> Any:
    """Run `jitid issue` with an ID token that proves the delegator, unless `more` states a delegator."""
    line: list[str] = ["issue", "--task", "T1", "--kind", f"jwt:chat/{template}", "--audience", SERVER]
    line += ["--ttl", "5m"]
    if "--delegator" not in more:
        (shell.home / "login.jwt").write_text(id_token())
        line += ["--delegator-token-file", "login.jwt"]
    return shell.run(*line, *more)


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims, unverified."""
    decoded = [json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2]]
    return decoded[0], decoded[1]


def test_the_assertion_of_a_client_names_it_and_its_server_alone(shell: Shell) -> None:
    """RFC 7523, section 3: `iss` and `sub` are the client."""
    header, claims = parts(issue(shell, "client").stdout)
    assert header["typ"] == "client-authentication+jwt"
    assert claims.keys() == {"jti", "iss", "sub", "aud", "iat", "exp"}
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("my-client", "my-client", SERVER)
    assert claims["exp"] - claims["iat"] == 300
    assert parts(issue(shell, "client").stdout)[1]["jti"] != claims["jti"]


def test_an_id_jag_has_what_the_other_server_needs(shell: Shell) -> None:
    header, claims = parts(issue(shell, "jag", "--scope", "chat:read", "--scope", "chat:list").stdout)
    assert header["typ"] == "oauth-id-jag+jwt"
    assert claims.keys() == {"jti", "iss", "sub", "aud", "iat", "exp", "client_id", "scope", "resource"}
    assert (claims["iss"], claims["aud"], claims["client_id"]) == (ISSUER, SERVER, "my-client")
    assert claims["sub"] == "user:alice"
    assert (set(claims["scope"].split()), claims["resource"]) == ({"chat:read", "chat:list"}, RESOURCE)


@pytest.mark.parametrize(
    ("template", "more", "words"),
    [
        ("client", ("--scope", "a:b"), "has no scopes"),
        ("client", ("--ttl", "301s"), "is valid for 5m at most"),
        ("client", ("--audience", "https://other.example"), f"is for the audience `{SERVER}` alone"),
        ("client", ("--detail", '{"type":"payment"}'), "has no details"),
        ("client", ("--may-act", "system:gateway"), "has no details, and nothing is obtained with it"),
        ("jag", (), "needs scopes"),
        ("jag", ("--scope", "a:b", "--delegator", "somebody-else"), "is stated, not proved"),
    ],
)
def test_another_request_is_refused(shell: Shell, template: str, more: tuple[str, ...], words: str) -> None:
    done = issue(shell, template, *more)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert words in done.stderr
    assert shell.run("list", "--field", "id").stdout == ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ('assertion = "client"\naudience = "https://as.example"', "has no `client_id`"),
        ('assertion = "client"\nclient_id = "c"', "has no `audience`"),
        ('assertion = "id-jag"\nclient_id = "c"\naudience = "https://as.example"', "has no `resource`"),
        ('assertion = "saml"\nclient_id = "c"\naudience = "https://as.example"', "one of: client, id-jag"),
        ('client_id = "c"\naudience = "https://as.example"', "but no `assertion`"),
        (
            f'assertion = "client"\nclient_id = "{ISSUER}"\naudience = "https://as.example"',
            "this ledger's issuer",
        ),
        (f'assertion = "client"\nclient_id = "c"\naudience = "{ISSUER}"', "this ledger's issuer"),
    ],
)
def test_a_template_that_is_not_one_of_an_assertion_is_refused(
    tmp_path: Path, options: str, words: str
) -> None:
    templates = f'issuer = "{ISSUER}"\n[target.chat]\nkind = "jwt"\n[target.chat.template.t]\n{options}\n'
    done = issue(world(tmp_path, templates), "t")
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert words in done.stderr


def test_the_policy_must_name_the_template(tmp_path: Path) -> None:
    """A rule for the kind alone does not, and neither does one for another template."""
    for number, permitted in enumerate(("", PERMITTED.replace("chat/*", "chat/jag"))):
        folder = tmp_path / str(number)
        folder.mkdir()
        done = issue(world(folder, permitted=permitted), "client")
        assert (done.returncode, "no permitting rule names the kind `jwt:chat/client`" in done.stderr) == (
            4,
            True,
        )


def test_each_hop_of_a_delegation_needs_the_template(shell: Shell) -> None:
    """The kind `jwt` of a grant does not contain its templates."""
    parent = ("issue", "--task", "T2", "--delegator", "alice", "--may-audience", SERVER)
    shell.good(*parent, "--out", "plain.jwt")
    shell.good(*parent, "--may-kind", "jwt:chat/jag", "--out", "jag.jwt")
    shell.good(*parent, "--may-kind", "jwt:chat/client", "--out", "client.jwt")
    line = ("issue", "--kind", "jwt:chat/client", "--audience", SERVER, "--ttl", "5m", "--parent-file")
    assert [shell.run(*line, f"{name}.jwt").returncode for name in ("plain", "jag", "client")] == [4, 4, 0]


@pytest.mark.parametrize(("template", "more"), [("client", ()), ("jag", ("--scope", "chat:read"))])
def test_it_gives_no_right_here_and_is_known_all_the_same(
    shell: Shell, template: str, more: tuple[str, ...]
) -> None:
    token = issue(shell, template, *more).stdout
    (shell.home / "a.jwt").write_text(token)
    for line in (
        ("verify", "a.jwt", "--audience", SERVER),
        ("issue", "--parent-file", "a.jwt", "--audience", SERVER),
        ("renew", "--token-file", "a.jwt"),
        ("authorize", "--token-file", "a.jwt", "--action", "chat:read", "--audience", SERVER),
    ):
        assert shell.run(*line).returncode in (2, 8), line
    found = json.loads(shell.good("trace", "a.jwt", "--format", "json"))
    jti = parts(token)[1]["jti"]
    assert jti in json.dumps(found)
    assert shell.good("list", "--live", "--field", "jti").split() == [jti]
    shell.good("audit", "verify")
    shell.good("revoke", jti)
    assert shell.good("list", "--live", "--field", "jti") == ""


@pytest.mark.parametrize(("template", "more"), [("jag", ("--scope", "a:b")), ("client", ())])
def test_an_audience_whose_subject_is_fixed_gets_no_assertion(
    tmp_path: Path, template: str, more: tuple[str, ...]
) -> None:
    """Otherwise another `sub` would be signed for it, and the ledger would record a `sub` that was not signed."""
    table = (
        f'[federate.v]\nvendor = "openai"\naudience = "{SERVER}"\nsubject = "jitid/{{delegator}}/{{id}}/"\n'
    )
    shell = world(tmp_path, TEMPLATES + table)
    config = ("--config", str(tmp_path / ".config/jitid/config.toml"))
    (tmp_path / "login.jwt").write_text(id_token())
    line = ("issue", "--task", "T1", "--kind", f"jwt:chat/{template}", "--audience", SERVER, "--ttl", "5m")
    done = shell.run(*config, *line, "--delegator-token-file", "login.jwt", *more)
    assert (done.returncode, done.stdout) == (2, "")
    assert "the `sub` of an assertion cannot" in done.stderr
    (tmp_path / "login.jwt").write_text(id_token())
    done = shell.run(*config, *line[:4], "jwt", *line[5:], "--delegator-token-file", "login.jwt")
    assert parts(done.stdout)[1]["sub"].startswith("jitid/user_3Aalice/")
