"""`jitid federate`: the configuration to enter at a vendor, and the check of a token as the vendor would check it."""

from __future__ import annotations

import getpass
import json
import os
import pwd
import sys
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.real import Shell, module
from tests.vendors import PROVIDER, vendors

ISSUER = "https://jitid.example"
OPENAI = "https://api.openai.com/v1"
LOGIN = f"user:{getpass.getuser()}"
SETTINGS = f"""
issuer = "{ISSUER}"
[federate.openai]
subject = "jitid/{{delegator}}/{{id}}/"
lifetime = "10m"
[federate.google]
provider = "{PROVIDER}"
[federate.aws]
role = "arn:aws:iam::123456789012:role/agent"
"""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell with a ledger and a key for services; `--config` names its settings."""
    made = Shell(tmp_path)
    settings = tmp_path / "settings.toml"
    settings.touch(0o600)
    settings.write_text(SETTINGS)
    good(
        made, "-q", "issue", "--task", "FIRST", "--delegator", "alice", "--audience", "https://first.example"
    )
    return made


def good(shell: Shell, *words: str, stdin: str = "") -> str:
    """Run jitid with the settings, and return its output."""
    return shell.good("--config", "settings.toml", *words, stdin=stdin)


def shown(shell: Shell, *words: str) -> dict[str, Any]:
    """Return the configuration to enter."""
    found: dict[str, Any] = json.loads(good(shell, "federate", *words, "--format", "json"))
    return found


def token(shell: Shell, audience: str, delegator: str = LOGIN, *words: str) -> str:
    """Return a token for an audience."""
    return good(shell, "-q", "issue", "--task", "T1", "-d", delegator, "--audience", audience, *words)


def test_a_vendor_needs_nothing_else_to_verify_a_token(shell: Shell) -> None:
    """PyJWT verifies by the printed issuer, keys, audience and algorithm alone."""
    found = shown(shell, "openai")
    text = token(shell, OPENAI).strip()
    header = jwt.get_unverified_header(text)
    (key,) = [key for key in found["jwks"]["keys"] if key["kid"] == header["kid"]]
    claims = jwt.decode(
        text, jwt.PyJWK(key), [found["algorithm"]], audience=found["audience"], issuer=found["issuer"]
    )
    assert found["subject"] == "jitid/*"
    assert claims["sub"].startswith("jitid/user_3A")
    assert found["exchanged_lifetime"] == 600
    assert {key["alg"] for key in found["jwks"]["keys"]} == {found["algorithm"]}


def test_a_token_is_checked_as_the_vendor_would(shell: Shell) -> None:
    """By audience, by the rule for `sub`, by signature; without a look at the ledger."""
    text = token(shell, OPENAI)

    def status(*words: str, stdin: str = text) -> tuple[int, str]:
        done = shell.run("--config", "settings.toml", "federate", *words, "--check", "-", stdin=stdin)
        assert stdin.strip() not in done.stderr
        return done.returncode, done.stderr

    assert status("openai")[0] == 0
    assert status("openai", "--delegator", LOGIN)[0] == 0
    refused = status("openai", "--delegator", "bob")[1]
    assert "`sub` `jitid/user_3A" in refused
    assert "does not match the rule `jitid/user_3Abob/*`" in refused
    assert "hint: --delegator and --agent fill the rule" in refused
    # The beginning of a name is another name.
    assert status("openai", "--delegator", LOGIN[:-1])[0] == 8
    assert "for another audience" in status("anthropic")[1]
    assert "is signed by ES256; Microsoft Entra needs RS256" in status("azure")[1]
    assert status("openai", stdin=f"{text.strip()[:-8]}AAAAAAAA")[0] == 8
    identity = good(shell, "-q", "issue", "--task", "T1", "-d", LOGIN)
    assert "type is not accepted" in status("openai", stdin=identity)[1]
    good(shell, "revoke", "--task", "T1", "--yes")
    code, said = status("openai")
    assert (code, "would accept `sub`" in said, "expires at the latest at" in said) == (0, True, True)


def test_the_recommended_command_runs(shell: Shell) -> None:
    line = next(
        line for line in good(shell, "federate", "aws").splitlines() if "A command gets them by" in line
    )
    words = line.partition(" jitid ")[2].replace("TASK", "T1").replace("COMMAND", "env").split()
    assert "AWS_WEB_IDENTITY_TOKEN_FILE=" in good(shell, *words)


def test_without_a_template_the_rule_is_the_delegator(shell: Shell) -> None:
    """Exactly that one: `user:ali` does not match alice."""
    assert shown(shell, "aws", "--delegator", "alice")["subject"] == "user:alice"
    text = token(shell, "sts.amazonaws.com")
    for name, code in ((LOGIN, 0), (LOGIN[:-1], 8), (f"{LOGIN}-evil", 8)):
        words = ("--config", "settings.toml", "federate", "aws", "-d", name, "--check", "-")
        assert shell.run(*words, stdin=text).returncode == code
    found = shown(shell, "aws")
    assert found["subject"] == "*"
    assert any("every delegator" in warning for warning in found["warnings"])


def test_a_rule_without_a_template_requires_a_proved_delegator(shell: Shell) -> None:
    """Beside the ledger any user may state a name; the vendor learns by the claim that it is not proved."""
    found = shown(shell, "anthropic", "--delegator", "ceo")
    assert found["required"] == {"delegator_proof": ["os-user", "credential", "oidc"]}
    assert any("require the claim `delegator_proof`" in warning for warning in found["warnings"])
    assert "required   delegator_proof: one of os-user, credential, oidc" in good(
        shell, "federate", "anthropic"
    )
    words = ("--config", "settings.toml", "federate", "anthropic", "--check", "-", "-d")
    done = shell.run(*words, "ceo", stdin=token(shell, "https://api.anthropic.com", "ceo"))
    assert (done.returncode, "is stated, not proved" in done.stderr) == (8, True), done.stderr
    assert shell.run(*words, LOGIN, stdin=token(shell, "https://api.anthropic.com")).returncode == 0
    # A template has proved names only.
    assert shown(shell, "openai")["required"] == {}


@pytest.mark.parametrize("name", ["aws", "azure"])
def test_a_vendor_that_compares_sub_alone_is_not_told_of_claims(shell: Shell, name: str) -> None:
    """It could not enter them; a template protects it instead."""
    text = good(shell, "federate", name, "--delegator", "alice")
    assert "none besides `sub` can be matched" in text
    assert "required" not in text
    assert "may be matched" not in text
    assert f"jitid config set federate.{name}.subject jitid/{{delegator}}/" in text
    assert shown(shell, name)["claims"] == []
    with (shell.home / "settings.toml").open("a") as settings:
        settings.write(
            '[federate.other]\nvendor = "aws"\nrole = "arn:aws:iam::1:role/x"\nsubject = "x/{delegator}/"\n'
        )
        settings.write('audience = "https://other.example"\n')
    assert "merely stated" not in good(shell, "federate", "other", "--delegator", "alice")


@pytest.mark.parametrize("name", ["aws", "azure", "anthropic"])
def test_keys_are_not_shown_to_enter_where_the_vendor_fetches_them(shell: Shell, name: str) -> None:
    """Without an address of published keys, the vendor would find none."""
    fetches = name != "anthropic"
    settings = shell.home / "settings.toml"
    text = good(shell, "federate", name, "--delegator", "alice")
    assert ('"kty"' in text, "inline" in text) == (not fetches, not fetches)
    assert any("set `publish_url`" in warning for warning in shown(shell, name)["warnings"]) == fetches
    settings.write_text(f'publish_url = "{ISSUER}"\n{settings.read_text()}')
    assert f"{ISSUER}/jwks.json" in good(shell, "federate", name, "--delegator", "alice")
    assert not any("set `publish_url`" in warning for warning in shown(shell, name)["warnings"])


def test_a_rule_with_an_open_end_is_reported_where_subjects_are_compared_exactly(shell: Shell) -> None:
    with (shell.home / "settings.toml").open("a") as settings:
        settings.write('[federate.azure]\nsubject = "jitid/{agent}/"\n')
    found = shown(shell, "azure")
    assert any("compares `sub` exactly" in warning for warning in found["warnings"])
    found = shown(shell, "azure", "--agent", "deploy")
    assert found["subject"] == "jitid/deploy/"
    assert not any("compares `sub` exactly" in warning for warning in found["warnings"])


def test_the_algorithm_is_the_one_of_the_tokens(shell: Shell) -> None:
    """Also after a change of the ledger's own, for each vendor, without a table and with one."""

    def is_accepted(name: str, audience: str) -> str:
        found = shown(shell, name)
        text = token(shell, audience)
        assert jwt.get_unverified_header(text.strip())["alg"] == found["algorithm"]
        done = shell.run(
            "--config", "settings.toml", "federate", name, "--check", "-", "-d", LOGIN, stdin=text
        )
        assert done.returncode == 0, done.stderr
        return str(found["algorithm"])

    with (shell.home / "settings.toml").open("a") as settings:
        settings.write('[federate.vault]\naddress = "https://v.example"\nrole = "agent"\n')
    good(shell, "keys", "algorithm", "RS256")
    assert is_accepted("anthropic", "https://api.anthropic.com") == "RS256"
    assert is_accepted("vault", "vault") == "ES256"
    assert is_accepted("azure", "api://AzureADTokenExchange") == "RS256"
    (shell.home / "settings.toml").write_text(f'issuer = "{ISSUER}"\n')
    assert is_accepted("vault", "vault") == "RS256"


def test_both_names_of_a_provider_are_checked(shell: Shell) -> None:
    """By default, Google accepts the name of the provider with and without its scheme."""
    for scheme in ("https:", ""):
        text = token(shell, f"{scheme}//iam.googleapis.com/{PROVIDER}")
        words = ("--config", "settings.toml", "federate", "google", "-d", LOGIN, "--check", "-")
        done = shell.run(*words, stdin=text)
        assert done.returncode == 0, done.stderr


def test_a_check_fails_where_the_vendor_cannot_have_the_configuration(shell: Shell) -> None:
    """It names the obstacle and a way out."""
    words = ("--config", "settings.toml", "federate")
    with (shell.home / "settings.toml").open("a") as settings:
        settings.write('[federate.azure]\nsubject = "jitid/{delegator}/{id}/"\n')
    text = token(shell, "api://AzureADTokenExchange")
    done = shell.run(*words, "azure", "-d", LOGIN, "--check", "-", stdin=text)
    assert (done.returncode, "compares `sub` exactly" in done.stderr) == (8, True), done.stderr
    good(shell, "ledger", "issuer", "set", "urn:jitid:x", "--yes")
    (shell.home / "settings.toml").write_text("")
    text = token(shell, "https://api.anthropic.com")
    done = shell.run(*words, "anthropic", "-d", LOGIN, "--check", "-", stdin=text)
    assert (done.returncode, "vendors require an https issuer" in done.stderr) == (8, True), done.stderr
    assert "ledger issuer set URL" in done.stderr


def test_a_vendor_sees_no_svid(shell: Shell) -> None:
    """Its `sub` is a SPIFFE id, which follows no template and may have an unproved name."""
    with (shell.home / "settings.toml").open("a") as settings:
        settings.write('subject = "jitid/{delegator}/"\n')
    text = token(shell, "https://api.anthropic.com", LOGIN, "--kind", "jwt-svid")
    done = shell.run("--config", "settings.toml", "federate", "anthropic", "--check", "-", stdin=text)
    assert (done.returncode, "type is not accepted" in done.stderr) == (8, True), done.stderr
    words = ("--config", "settings.toml", "issue", "--task", "T1", "-d", LOGIN, "--kind", "jwt-svid")
    done = shell.run(*words, "--audience", "sts.amazonaws.com")
    assert (done.returncode, done.stdout) == (2, "")
    assert "the `sub` of a JWT-SVID cannot" in done.stderr


@pytest.mark.parametrize("template", ["jitid/", "jitid/{trust_domain}/"])
def test_a_template_without_a_name_is_for_proved_delegators(shell: Shell, template: str) -> None:
    """All identities have one `sub` then."""
    with (shell.home / "settings.toml").open("a") as settings:
        settings.write(f'subject = "{template}"\n')
    words = ("--config", "settings.toml", "issue", "--task", "T1", "--audience", "sts.amazonaws.com")
    done = shell.run(*words, "-d", "alice")
    assert (done.returncode, "stated, not proved" in done.stderr) == (4, True), done.stderr
    assert shell.run(*words, "-d", LOGIN).returncode == 0
    assert shown(shell, "aws")["required"] == {"delegator_proof": ["os-user", "credential", "oidc"]}


def test_what_is_missing_is_named(shell: Shell) -> None:
    assert shown(shell, "anthropic")["missing"] == [
        "federate.anthropic.rule",
        "federate.anthropic.organization",
    ]
    text = good(shell, "federate", "anthropic")
    assert "rule" in text
    assert "missing" in text
    (shell.home / "settings.toml").write_text(f'issuer = "{ISSUER}"\n')
    done = shell.run("--config", "settings.toml", "federate", "google")
    assert (done.returncode, "federate.google.provider" in done.stderr) == (2, True)


def test_one_of_two_settings_is_missing(shell: Shell) -> None:
    """Programs of OpenAI need the id of a rule or of a provider; which one depends on the program."""
    assert shown(shell, "openai")["missing"] == ["federate.openai.rule", "federate.openai.provider"]
    assert "Note: programs of OpenAI need the setting federate.openai.rule (" in good(
        shell, "federate", "openai"
    )
    rows = json.loads(good(shell, "federate", "--format", "json"))["items"]
    assert {row["name"]: row["missing"] for row in rows}["openai"] == ["rule", "provider"]
    (shell.home / "settings.toml").write_text(
        SETTINGS.replace("[federate.openai]", "[federate.openai]\nrule = 'r'")
    )
    assert shown(shell, "openai")["missing"] == []
    assert "programs of OpenAI need" not in good(shell, "federate", "openai")


def test_an_open_rule_is_no_rule_where_subjects_are_compared_exactly(shell: Shell) -> None:
    """A `*` cannot be entered there."""
    text = good(shell, "federate", "azure")
    assert "  subject    * (compared exactly there: name one, see the note; template:" in text
    assert "Microsoft Entra compares `sub` exactly: make one rule for each name, with --delegator" in text
    assert "as a prefix" not in text
    assert "every delegator" not in text
    assert "user:alice (compared exactly; template:" in good(shell, "federate", "azure", "-d", "alice")
    assert "* (compared as a prefix; template:" in good(shell, "federate", "aws")
    done = shell.run(
        *("--config", "settings.toml", "federate", "azure", "--check", "-"),
        stdin=token(shell, "api://AzureADTokenExchange"),
    )
    assert done.returncode == 8, done.stderr


def test_a_vendor_that_accepts_two_names_has_one_template_for_both(shell: Shell) -> None:
    """Google accepts the provider's name with and without `https:`."""
    text = (shell.home / "settings.toml").read_text()
    (shell.home / "settings.toml").write_text(
        text.replace(f'provider = "{PROVIDER}"', f'provider = "{PROVIDER}"\nsubject = "jitid/{{delegator}}/"')
    )
    for scheme in ("https:", ""):
        found = jwt.decode(
            token(shell, f"{scheme}//iam.googleapis.com/{PROVIDER}").strip(),
            options={"verify_signature": False},
        )
        assert found["sub"].startswith("jitid/user_3A")
    done = shell.run(
        *("--config", "settings.toml", "issue", "--task", "T1", "-d", "alice"),
        *("--audience", f"//iam.googleapis.com/{PROVIDER}"),
    )
    assert (done.returncode, "stated, not proved" in done.stderr) == (4, True)


def test_the_list_names_all_vendors_and_tables(shell: Shell) -> None:
    with (shell.home / "settings.toml").open("a") as settings:
        settings.write('[federate.prod]\nvendor = "aws"\nrole = "arn:aws:iam::1:role/x"\n')
    rows = json.loads(good(shell, "federate", "--format", "json"))["items"]
    assert {row["name"]: row["configured"] for row in rows} == {
        "anthropic": False,
        "openai": True,
        "google": True,
        "azure": False,
        "aws": True,
        "vault": False,
        "prod": True,
    }


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ('[federate.x]\nrole = "a"', "there is no vendor `x`"),
        ('[federate.aws]\nrolle = "a"', "there is no setting `rolle`"),
        ('[federate.aws]\nrole = ""', "must be a string"),
        ("[federate.aws]\nrole = 1", "must be a string"),
        ('[federate.aws]\nsubject = "{agent}"', "must follow"),
        ('[federate.aws]\nlifetime = "soon"', "duration"),
        ('[federate.aws]\naudience = "a b"', "is not an audience"),
        ('[federate."a.b"]\nvendor = "aws"', "the name of a federation"),
        ('[federate.aws]\nrole = "\\u001b[31m"', "printable ASCII"),
    ],
)
def test_a_table_that_is_wrong_is_refused_at_once(shell: Shell, table: str, reason: str) -> None:
    """And named with its file, without its escape sequences."""
    (shell.home / "settings.toml").write_text(f"{table}\n")
    done = shell.run("--config", "settings.toml", "federate")
    assert (done.returncode, reason in done.stderr, "\x1b" in done.stderr) == (2, True, False), done.stderr


def test_a_project_may_not_federate(shell: Shell) -> None:
    """Its authors would choose the vendor and the subject."""
    (shell.home / ".jitid.toml").write_text('[federate.openai]\nsubject = "evil/"\n')
    done = shell.run("--config", "settings.toml", "federate", "openai", "--format", "json")
    assert "may not have `federate`" in done.stderr
    assert json.loads(done.stdout)["template"] == "jitid/{delegator}/{id}/"


def test_a_project_may_not_choose_a_registered_agent(shell: Shell) -> None:
    """Its authors would choose whose rights at the vendor the tokens of a run give."""
    with (shell.home / "settings.toml").open("a") as settings:
        settings.write('subject = "jitid/{agent}/"\n')
    for name in (LOGIN, "bob"):
        good(shell, "delegator", "add", name)
    deploy = ("--purpose", "deploys", "--audience", "sts.amazonaws.com")
    good(shell, "agent", "register", "prod", "--owner", LOGIN, *deploy)
    good(shell, "agent", "register", "bobs", "--owner", "bob", *deploy)
    words = ("--config", "settings.toml", "-q", "issue", "--task", "T1", "-d", LOGIN)
    aws = ("--audience", "sts.amazonaws.com")
    (shell.home / ".jitid.toml").write_text('agent = "prod"\n')
    for more in (aws, ()):
        done = shell.run(*words, *more)
        assert (done.returncode, "`.jitid.toml` states its name" in done.stderr) == (4, True), done.stderr
    # The user's own choice counts, for the records that name the user.
    assert shell.good(*words, *aws, "--agent", "prod")
    assert shell.run(*words, *aws, more={"JITID_AGENT": "prod"}).returncode == 0
    done = shell.run(*words, *aws, "--agent", "bobs")
    assert (done.returncode, "may use its record" in done.stderr) == (4, True), done.stderr
    (shell.home / ".jitid.toml").write_text('agent = "unknown"\n')
    assert shell.good(*words)


def test_a_file_that_the_environment_selects_has_no_template(shell: Shell) -> None:
    """Nothing is issued for that audience then, rather than under another subject."""
    words = ("issue", "--task", "T1", "-d", LOGIN, "--audience", OPENAI)
    done = shell.run(*words, more={"JITID_CONFIG": str(shell.home / "settings.toml")})
    assert (done.returncode, done.stdout) == (2, "")
    assert "a file that the environment selects" in done.stderr
    done = shell.run("federate", "openai", more={"JITID_CONFIG": str(shell.home / "settings.toml")})
    assert done.returncode == 2
    assert f"in {shell.home / 'settings.toml'}, which JITID_CONFIG selects" in done.stderr
    assert f"hint: name the file: --config {shell.home / 'settings.toml'}" in done.stderr
    # A file that the command line names takes precedence over the environment.
    assert good(shell, "-q", *words)


def test_a_template_in_another_home_is_reported_with_the_file_that_counts(shell: Shell) -> None:
    """The home folder of a container or of sudo is often not that of the password database."""
    counted = f"{pwd.getpwuid(os.geteuid()).pw_dir.rstrip('/')}/.config/jitid/config.toml"
    path = shell.home / ".config" / "jitid" / "config.toml"
    done = shell.run("config", "set", "federate.aws.subject", "jitid/{delegator}/")
    assert done.returncode == 0
    assert f"is in {path}, which HOME selects: there it does not count" in done.stderr
    assert f"--config {path}; or set it in {counted}" in done.stderr
    done = shell.run("federate", "aws")
    assert (done.returncode, f"{path}, which HOME selects" in done.stderr) == (2, True), done.stderr
    assert f"or set it in {counted}" in done.stderr
    # Other settings count there, and so does this one in a file that the command line names.
    for field, value in (("jwks", "keys.json"), ("audience", "jitid"), ("names", "ci-*")):
        assert not shell.run("config", "set", f"oidc.https://id.example.{field}", value).stderr
    for field, value in (("client_id", "jitid-login"), ("audience", "other")):
        done = shell.run("config", "set", f"oidc.https://id.example.{field}", value)
        assert f"is in {path}, which HOME selects: there it does not count for logins; name" in done.stderr
    assert not shell.run("config", "set", "federate.aws.role", "arn:aws:iam::123456789012:role/a").stderr
    words = ("config", "set", "federate.openai.subject", "x/{id}/")
    assert not shell.run("--config", "settings.toml", *words).stderr


def test_a_file_that_the_environment_selects_shortens_no_lifetime(shell: Shell) -> None:
    """Otherwise a revocation would promise an end that a vendor's token outlives."""

    def life(audience: str, *words: str, table: str) -> int:
        path = shell.home / "chosen.toml"
        path.touch(0o600)
        path.write_text(table)
        more = {} if words else {"JITID_CONFIG": str(path)}
        line = ("--format", "json", "issue", "--task", "T1", "-d", LOGIN, "--audience", audience)
        done = shell.run(*words, *line, more=more)
        assert done.returncode == 0, done.stderr
        events = shell.good("audit", "log", "--operation", "issue", "--format", "jsonl").splitlines()
        return max(map(json.loads, events), key=lambda event: event["seq"])["exchange_life"]  # type: ignore[no-any-return]

    own = "https://own.example"
    anthropic, azure = "https://api.anthropic.com", "api://AzureADTokenExchange"
    short = '[federate.anthropic]\nlifetime = "1s"\n'
    as_another = f'[federate.x]\nvendor = "openai"\naudience = "{azure}"\nlifetime = "1s"\n'
    mine = f'[federate.x]\nvendor = "openai"\naudience = "{own}"\nlifetime = "1s"\n'
    assert life(anthropic, table=short) == 3_600
    assert life(azure, table=as_another) == 28 * 3_600
    assert life(own, table=mine) == 3_600
    # Longer counts from any file, shorter from a file that the command line names.
    assert life(anthropic, table='[federate.anthropic]\nlifetime = "2h"\n') == 7_200
    assert life(anthropic, "--config", "chosen.toml", table=short) == 1


def test_a_profile_keeps_the_template(shell: Shell) -> None:
    """It replaces the table, and would drop the template unnoticed."""
    with (shell.home / "settings.toml").open("a") as settings:
        settings.write('[profile.p.federate.openai]\nprovider = "idp_02"\n')
    words = ("--profile", "p", "federate", "openai", "--format", "json")
    found = json.loads(good(shell, *words))
    assert (found["template"], found["settings"]["provider"]) == ("jitid/{delegator}/{id}/", "idp_02")
    origins = json.loads(good(shell, "--profile", "p", "config", "show", "--origin", "--format", "json"))
    of = {row["key"]: row["origin"] for row in origins["items"]}
    assert of["federate.openai.provider"].endswith("settings.toml [profile.p]")
    assert of["federate.openai.subject"].endswith("settings.toml")
    text = good(shell, "--profile", "p", "-q", "issue", "--task", "T1", "-d", LOGIN, "--audience", OPENAI)
    assert jwt.decode(text.strip(), options={"verify_signature": False})["sub"].startswith("jitid/user_3A")
    with (shell.home / "settings.toml").open("a") as settings:
        settings.write('subject = "other/{id}/"\n')
    assert json.loads(good(shell, *words))["template"] == "other/{id}/"


def test_a_profile_keeps_no_template_for_another_vendor(shell: Shell) -> None:
    """The person stated it for the other one alone."""
    with (shell.home / "settings.toml").open("a") as settings:
        settings.write('[profile.p.federate.openai]\nvendor = "anthropic"\n')
    words = ("--profile", "p", "-q", "issue", "--task", "T1", "-d", LOGIN, "--audience")
    text = good(shell, *words, "https://api.anthropic.com")
    assert jwt.decode(text.strip(), options={"verify_signature": False})["sub"] == LOGIN
    origins = json.loads(good(shell, "--profile", "p", "config", "show", "--origin", "--format", "json"))
    assert "federate.openai.subject" not in {row["key"] for row in origins["items"]}


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("google", "token_url"),
        ("vault", "address"),
        ("azure", "authority"),
    ],
)
def test_a_token_is_sent_to_no_address_in_clear(shell: Shell, table: str, key: str) -> None:
    for address in ("http://evil.example/steal", "evil.example", "urn:x:y", "ftp://evil.example"):
        (shell.home / "settings.toml").write_text(f'[federate.{table}]\n{key} = "{address}"\n')
        done = shell.run("--config", "settings.toml", "federate")
        assert (done.returncode, "is not an https address" in done.stderr) == (2, True), done.stderr
    for address in ("https://other.example/v1/token", "http://127.0.0.1:8200", "http://localhost:1"):
        (shell.home / "settings.toml").write_text(f'[federate.{table}]\n{key} = "{address}"\n')
        assert good(shell, "federate")


def test_a_region_is_no_other_host(shell: Shell) -> None:
    """Some programs put it into the host name without a check."""
    for region, status in (("eu-central-1", 0), ("evil.example/", 2), ("x@evil", 2), ("a.b", 2), ("-", 2)):
        (shell.home / "settings.toml").write_text(f'[federate.aws]\nregion = "{region}"\n')
        done = shell.run("--config", "settings.toml", "federate")
        assert (done.returncode, "a part of the host name" in done.stderr) == (status, status == 2), (
            done.stderr
        )


def test_settings_are_set_one_by_one(shell: Shell) -> None:
    """`config set` checks each of them."""
    good(shell, "config", "set", "federate.azure.tenant", "t-1")
    good(shell, "config", "set", "federate.azure.client", "c-1")
    assert shown(shell, "azure")["missing"] == []
    assert "t-1" in good(shell, "config", "show")
    done = shell.run("--config", "settings.toml", "config", "set", "federate.azure.subject", "{task}/")
    assert (done.returncode, "unknown field `task`" in done.stderr) == (2, True)
    good(shell, "config", "unset", "federate.azure.tenant")
    assert shown(shell, "azure")["missing"] == ["federate.azure.tenant"]


def test_a_vendor_matches_the_subject_of_a_run(shell: Shell, tmp_path: Path) -> None:
    """The printed rule, at a vendor that compares by it."""
    module("boto3")
    with (shell.home / "settings.toml").open("a") as settings:
        settings.write('subject = "jitid/{delegator}/"\n')
    found = shown(shell, "aws", "--delegator", LOGIN)
    with vendors(tmp_path, ISSUER, lambda: found["jwks"]["keys"]) as running:
        rule = running.rules["aws"]
        running.rules["aws"] = rule._replace(subject=lambda sub: sub == found["subject"])
        words = ("--config", "settings.toml", "run", "--task", "T1", "-d", LOGIN, "--for", "aws")
        script = "import boto3; boto3.client('sts', region_name='eu-central-1').get_caller_identity()"
        command = ("--", sys.executable, "-c", script)
        done = shell.run(*words, *command, more=running.environment)
        assert done.returncode == 0, done.stderr
        running.rules["aws"] = rule._replace(subject=lambda sub: sub.startswith("jitid/user_3Aother/"))
        assert shell.run(*words, *command, more=running.environment).returncode == 1
