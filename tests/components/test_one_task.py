"""One task that uses three real systems, and leaves no working credential there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests import moto
from tests.cli.transcripts import compare, replay
from tests.issuers.awsplace import SCOPES
from tests.issuers.postgresplace import TEMPLATES, roles_server
from tests.moto import Moto
from tests.postgres import Postgres, program
from tests.real import Shell, need
from tests.sshd import Sshd, sshd

WRITTEN = Path(__file__).parent / "one_task.txt"


def configuration(database: Postgres, cloud: Moto) -> str:
    """Return the user's configuration file with the targets."""
    (grant,) = TEMPLATES["reader"]["grants"]
    rights = SCOPES["iam:look"]
    return f"""\
[target.orders]
kind = "postgres-role"
dsn = "{database.url()}"

[target.orders.template.reader]
grants = ["{grant}"]

[target.hosts]
kind = "ssh-cert"

[target.hosts.template.incident]
principals = ["ops:incident"]

[target.account]
kind = "aws-sts"
region = "{moto.REGION}"
endpoint_url = "{cloud.url}"
credentials_file = "{cloud.credentials}"

[target.account.template.deploy]
role_arn = "{cloud.role("deploy")}"

[target.account.template.deploy.scopes."iam:look"]
actions = {rights["actions"]}
resources = {rights["resources"]}
"""


def tools(folder: Path, story: Path, database: Postgres, cloud: Moto, host: Sshd) -> None:
    """Write wrappers of the installed programs with the addresses of the servers."""
    folder.mkdir()
    within = " ".join(f"'{word}'" for word in host.command())
    key = ["-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-i", "key"]
    stolen = " ".join(f"'{word}'" for word in host.command(options=key))
    scripts = {
        "aws": f'#!/bin/sh\nexec {Path(sys.executable).parent}/aws "$@"\n',
        "psql": f'#!/bin/sh\nexec {program("psql")} "$@"\n',
        "on-host": f'#!/bin/sh\nexec {within} "$@"\n',
        "with-key": f'#!/bin/sh\nchmod 600 key\nexec {stolen} "$@"\n',
        "as-administrator": f'#!/bin/sh\nexec psql -XAtc "$1" "{database.url()}"\n',
        "with-session": f"#!{sys.executable}\n" + _WITH_SESSION.format(url=cloud.url, region=moto.REGION),
        "evidence": f"#!{sys.executable}\n{_EVIDENCE}",
        "denied": f"#!{sys.executable}\n" + _DENIED.format(url=cloud.url, key=cloud.key, region=moto.REGION),
    }
    for name, text in scripts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)


_WITH_SESSION = """\
import json, os, sys
keys = json.load(open("session.json"))
os.environ |= {{
    "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
    "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
    "AWS_SESSION_TOKEN": keys["SessionToken"],
    "AWS_ENDPOINT_URL": "{url}",
    "AWS_DEFAULT_REGION": "{region}",
}}
os.execvp(sys.argv[1], sys.argv[1:])
"""

_EVIDENCE = """\
import json, re, sys
told = json.load(sys.stdin)
print(told["kind"], told["state"], "by event", told["ended"]["event"], told["ended"]["reason"])
at = told["at_target"]
if at:
    proof = re.sub("jitid-denied-[^ ]+", "NAME", at["proof"])
    print(f"  at {at['target']}: {at['name']} {at['settlement']}: {proof}")
listed = told["revocation_list"]
if listed:
    print("  on the list of", listed["verb"], "by event", listed["event"])
"""

_DENIED = """\
import json, re, sys
from botocore.session import Session
client = Session().create_client("iam", region_name="{region}", endpoint_url="{url}",
    aws_access_key_id="{key[0]}", aws_secret_access_key="{key[1]}")
for name in client.list_role_policies(RoleName=sys.argv[1])["PolicyNames"]:
    for one in client.get_role_policy(RoleName=sys.argv[1], PolicyName=name)["PolicyDocument"]["Statement"]:
        if one["Effect"] == "Deny":
            told = re.sub("AROA[A-Z0-9]+", "AROA", json.dumps(one["Condition"]))
            print(one["Effect"], one["Action"], one["Resource"], told)
"""


def test_one_task_uses_three_systems_and_leaves_nothing_that_works(tmp_path: Path) -> None:
    """`JITID_UPDATE_TRANSCRIPTS=1` writes the current output into the file."""
    if not (Path(sys.executable).parent / "aws").exists():
        need("aws")
    story = tmp_path / "story"
    story.mkdir()
    (tmp_path / "cloud").mkdir()
    with (
        roles_server() as database,
        moto.running(tmp_path / "cloud") as cloud,
        sshd(tmp_path / "host") as host,
    ):
        tools(tmp_path / "tools", story, database, cloud, host)
        host.principals.write_text("ops:incident\n")
        settings = tmp_path / "settings.toml"
        settings.touch(0o600)
        settings.write_text(configuration(database, cloud))
        answered = replay(
            WRITTEN.read_text(),
            story,
            before=tmp_path / "tools",
            JITID_CONFIG=str(settings),
            HOST_REVOKED=str(host.revoked),
            HOST_AUTHORITIES=str(host.authorities),
        )
    compare(WRITTEN, answered)


def test_psql_follows_a_role_that_is_renewed(tmp_path: Path) -> None:
    """It connects as the successor, by the service file that the run updates. At the end neither role exists."""
    script = """
        first=$(psql -XAtc 'SELECT current_user')
        until next=$(psql -XAtc 'SELECT current_user') && [ "$next" != "$first" ]; do sleep 0.05; done
        psql -XAt service=db -c 'SELECT what FROM orders'
    """
    with roles_server() as database:
        shell = Shell(tmp_path)
        shell.permit_kinds()
        settings = tmp_path / "settings.toml"
        settings.touch(0o600)
        (grant,) = TEMPLATES["reader"]["grants"]
        settings.write_text(
            f'target.orders.kind = "postgres-role"\ntarget.orders.dsn = "{database.url()}"\n'
            f'target.orders.template.reader.grants = ["{grant}"]\n'
        )
        done = shell.run(
            "run",
            *("--task", "T1", "--delegator", "alice", "--ttl", "4s", "--secret", "db=postgres-role:reader"),
            *("--", "sh", "-c", script),
            more={
                "JITID_CONFIG": str(settings),
                "PATH": f"{Path(program('psql')).parent}:{os.environ['PATH']}",
                "PGUSER": "postgres",
                "PGPASSWORD": "x",
            },
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == "tea\n"
        assert not database.ask("SELECT 1 FROM pg_roles WHERE rolname LIKE 'jitid%'")
