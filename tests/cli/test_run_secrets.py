"""`run --secret`: the command starts only with all secrets; they are renewed in time and revoked at the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs import Shop
from tests.real import Shell, command, need, until
from tests.serving import serving

RUN = ("run", "--task", "T1", "--delegator", "alice")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Return a program that makes credentials."""
    return Shop(tmp_path / "shop")


@pytest.fixture
def shell(tmp_path: Path, shop: Shop) -> Shell:
    """Return a shell with a ledger, and the program as a target in its configuration."""
    made = Shell(tmp_path)
    settings = tmp_path / "settings.toml"
    settings.touch(0o600)
    settings.write_text(
        f"""[target.shop]
kind = "exec"
program = "{shop.program}"
timeout = 20
options = {{ shop = "{shop.folder}" }}
[target.shop.template.parts]
options = {{ parts = "yes" }}
[target.shop.template.other]
"""
    )
    made.environment["JITID_CONFIG"] = str(settings)
    made.permit_kinds()
    made.good("issue", "--task", "FIRST", "--delegator", "alice")
    program = tmp_path / "bin" / "jitid"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m jitid "$@"\n')
    program.chmod(0o755)
    made.environment["PATH"] = f"{program.parent}:{os.environ['PATH']}"
    return made


def states(shell: Shell) -> set[str]:
    """Return the states of the task's credentials."""
    return set(shell.good("list", "--task", "T1", "--field", "state").split())


def test_the_command_reads_each_from_a_file_and_nothing_is_left(shell: Shell, shop: Shop) -> None:
    """The whole secret is in a file, each part in a separate file; the target has no secret at the end."""
    script = 'cat "$JITID_SECRET_KEY" "$JITID_SECRET_BOTH" "$JITID_SECRET_BOTH_PASSWORD"; ls shop'
    done = shell.run(
        *RUN, "--secret", "key=exec:shop", "--secret", "both=exec:shop:parts", "--", "sh", "-c", script
    )
    assert done.returncode == 0, done.stderr
    key, both, password, *listed = done.stdout.split("\n")
    assert key.startswith("shop-")
    assert json.loads(both)["password"] == password
    assert len([name for name in listed if name.endswith(".made")]) == 2
    assert not shop.made
    assert states(shell) == {"revoked"}
    (identity,) = set(shell.good("list", "--task", "T1", "--field", "id").split())
    assert identity.startswith("jid_")


def test_a_certificate_comes_with_those_that_its_peers_are_checked_by(shell: Shell) -> None:
    """The bundle verifies the certificate in openssl; the bundle is not a secret."""
    need("openssl")
    script = 'openssl verify -CAfile "$JITID_SECRET_WEB_BUNDLE" "$JITID_SECRET_WEB_CERTIFICATE"'
    done = shell.run(*RUN, "--secret", "web=x509-svid", "--", "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(": OK\n")


def test_what_is_in_a_variable_of_the_user_is_asked_for_once(shell: Shell, shop: Shop) -> None:
    """A nested run does not request the secrets of the outer one."""
    script = 'test -n "$JITID_SECRET_KEY" && test -z "$JITID_SECRET" && jitid run -- sh -c \'ls shop\''
    done = shell.run(*RUN, "--", "sh", "-c", script, more={"JITID_SECRET": "key=exec:shop"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(".made") == 1
    assert not shop.made


def test_all_of_them_or_nothing_starts(shell: Shell, shop: Shop) -> None:
    """A secret that was made before the failure is removed from its target."""
    settings = shell.home / "settings.toml"
    settings.write_text(
        f'{settings.read_text()}[target.gone]\nkind = "exec"\nprogram = "{shell.home}/gone"\n'
    )
    done = shell.run(*RUN, "--secret", "one=exec:shop", "--secret", "two=exec:gone", "--", "touch", "started")
    assert done.returncode == 125
    assert "secret `two`: " in done.stderr
    assert shop.asked("mint")["credential"]["jti"] == shop.asked("revoke")["credentials"][0]["jti"]
    assert not shop.made
    assert not (shell.home / "started").exists()
    assert states(shell) == {"revoked"}


def test_what_the_policy_refuses_is_refused_before_anything_is_made(shell: Shell, shop: Shop) -> None:
    """The identity itself does not get the permission to obtain it."""
    policy = shell.home / "rules" / "other.cedar"
    policy.touch(0o600)
    policy.write_text(
        '@id("no-other") forbid (principal, action, resource) when { context.template == "shop/other" };'
    )
    done = shell.run(
        *RUN, "--secret", "one=exec:shop", "--secret", "two=exec:shop:other", "--", "touch", "started"
    )
    assert done.returncode == 125
    assert "denied" in done.stderr and "no-other" in done.stderr and "`exec:shop:shop/other`" in done.stderr
    assert not (shop.folder / "asked-mint").exists()
    assert not (shell.home / "started").exists()


def test_a_run_within_obtains_what_the_outer_one_permits(shell: Shell, shop: Shop) -> None:
    """Without the permission, the error names the option to add."""
    inner = "jitid run --secret key=exec:shop -- sh -c 'ls shop'"
    done = shell.run(*RUN, "--", "sh", "-c", inner)
    assert done.returncode == 125
    assert "does not hold kind `exec:shop`" in done.stderr
    assert "--may-kind exec:shop" in done.stderr
    done = shell.run(*RUN, "--may-kind", "jwt", "--may-kind", "exec:shop", "--", "sh", "-c", inner)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(".made") == 1
    # The variable applies only to the outer run.
    done = shell.run(
        *RUN, "--", "sh", "-c", f'test -z "$JITID_MAY_KIND" && {inner}', more={"JITID_MAY_KIND": "exec:shop"}
    )
    assert done.returncode == 125
    assert "does not hold kind" in done.stderr
    assert not shop.made


def test_a_target_that_refuses_lets_nothing_start(shell: Shell, shop: Shop) -> None:
    shop.fail("refuse", "mint")
    done = shell.run(*RUN, "--secret", "one=exec:shop", "--", "touch", "started")
    assert done.returncode == 125
    assert not (shell.home / "started").exists()
    assert states(shell) == {"revoked"}


def test_an_end_while_a_target_is_asked_leaves_nothing(shell: Shell, shop: Shop) -> None:
    """The recorded credential is revoked, and so is any credential that the target may have made."""
    shop.fail("hang", "mint")
    running = shell.start(*RUN, "--secret", "one=exec:shop", "--", "touch", "started")
    until(lambda: bool(shop.asked("mint")), "the target is not asked")
    shop.fail("")
    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=60)
    assert running.returncode == 128 + signal.SIGTERM
    assert shop.asked("mint")["credential"]["jti"] == shop.asked("revoke")["credentials"][0]["jti"]
    assert not (shell.home / "started").exists()
    assert states(shell) == {"revoked"}


def test_what_a_target_does_not_confirm_is_said_and_ended_later(shell: Shell, shop: Shop) -> None:
    """The exit status is still that of the command."""
    shop.fail("down", "revoke")
    done = shell.run(*RUN, "--secret", "one=exec:shop", "--", "sh", "-c", "exit 7")
    assert done.returncode == 7
    assert "may still work at its target" in done.stderr
    assert len(shop.made) == 1
    shop.fail("")
    (identity,) = shell.good("list", "--task", "T1", "--field", "id", "--limit", "1").split()
    shell.good("revoke", identity)
    assert not shop.made


@pytest.mark.deep
def test_each_is_renewed_before_it_expires(shell: Shell, shop: Shop) -> None:
    """The file has the successor; both belong to one identity, and both are removed at the end."""
    script = """
        first=$(cat "$JITID_SECRET_KEY")
        until [ "$(cat "$JITID_SECRET_KEY")" != "$first" ]; do sleep 0.05; done
        ls shop
    """
    done = shell.run(*RUN, "--ttl", "3s", "--secret", "key=exec:shop", "--", "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(".made") >= 2
    assert not shop.made
    assert len(set(shell.good("list", "--task", "T1", "--field", "id").split())) == 1


@pytest.mark.deep
def test_one_that_cannot_be_renewed_is_said_and_the_command_goes_on(shell: Shell, shop: Shop) -> None:
    script = """
        printf down@mint > shop/mode
        until grep -q 'renewal failed' told; do sleep 0.05; done
        cat "$JITID_SECRET_KEY"
    """
    with (shell.home / "told").open("w") as told:
        done = subprocess.run(
            command(*RUN, "--ttl", "3s", "--secret", "key=exec:shop", "--", "sh", "-c", script),
            env=shell.environment,
            cwd=shell.home,
            stdout=subprocess.PIPE,
            stderr=told,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0
    assert done.stdout.startswith("shop-")
    assert "secret `key`" in (shell.home / "told").read_text()


def test_a_run_that_is_killed_leaves_what_a_sweep_ends(shell: Shell, shop: Shop) -> None:
    """The ledger knows the process that held it, and the target where it must be revoked."""
    script = "touch ready; exec sleep 600"
    running = shell.start(*RUN, "--secret", "key=exec:shop", "--", "sh", "-c", script)
    until(lambda: (shell.home / "ready").exists(), "the command does not start")
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=60)
    assert len(shop.made) == 1
    shop.fail("down", "revoke")
    done = shell.run("sweep", "--rule", "orphaned-process", "--fix", "--yes")
    # No credential is left that the rule would find, but the target still accepts one.
    assert (done.returncode, len(shop.made)) == (9, 1)
    assert "1 not yet revoked there" in done.stderr
    shop.fail("")
    shell.good("revoke", *shell.good("list", "--task", "T1", "--field", "id").split(), "--yes")
    assert states(shell) == {"revoked"}
    assert not shop.made


def test_whoever_revokes_a_key_ends_what_its_holders_have_at_targets(shell: Shell, shop: Shop) -> None:
    running = shell.start(*RUN, "--secret", "key=exec:shop", "--", "sh", "-c", "touch ready; exec sleep 600")
    until(lambda: (shell.home / "ready").exists(), "the command does not start")
    assert len(shop.made) == 1
    (kid,) = shell.good("keys", "list", "--field", "kid").split()
    shell.good("keys", "revoke", kid, "--yes")
    assert not shop.made
    running.terminate()
    running.communicate(timeout=60)


def test_an_authority_elsewhere_makes_them_and_sees_to_their_end(
    shell: Shell, shop: Shop, tmp_path: Path
) -> None:
    """A caller needs no role for credentials that were issued to it."""
    config = {name: shell.environment[name] for name in ("JITID_CONFIG", "JITID_POLICY")}
    with serving(shell.ledger, "--socket", str(tmp_path / "s"), more=config):
        asking = Shell(tmp_path / "asking")
        asking.home.mkdir()
        asking.environment["JITID_REMOTE"] = f"unix://{tmp_path / 's'}"
        del asking.environment["JITID_LEDGER"]
        words = (
            "run",
            "--task",
            "T2",
            "--secret",
            "key=exec:shop",
            "--",
            "sh",
            "-c",
            'cat "$JITID_SECRET_KEY"',
        )
        done = asking.run(*words)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("shop-")
        assert done.stderr == (
            "jitid: note: $JITID_TOKEN_FILE is an identity token, for jitid only; for a service token use --audience\n"
        )
        assert not shop.made


@pytest.mark.deep
@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--secret", "key"), "invalid secret"),
        (("--secret", "=jwt"), "invalid secret"),
        (("--secret", "1=jwt"), "invalid secret"),
        (("--secret", "a b=jwt"), "invalid secret"),
        (("--secret", "key=nothing"), "is not a kind of credential"),
        (("--secret", "a-b=jwt", "--secret", "A_b=opaque"), "JITID_SECRET_A_B"),
        (("--secret", "key=jwt", "--on-exit", "keep"), "exclude each other"),
        (("--kind", "x509-svid"), "--secret NAME=x509-svid"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_issued(
    shell: Shell, words: tuple[str, ...], why: str
) -> None:
    done = shell.run(*RUN, *words, "--", "true")
    assert done.returncode == 125
    assert why in done.stderr
    assert shell.run("list", "--task", "T1").stdout == ""
