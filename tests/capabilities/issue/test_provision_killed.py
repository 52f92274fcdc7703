"""Kills at any write between record, mint and confirm: no working secret is left that the ledger does not know."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from jitid.capabilities.inventory.operations import Retire
from jitid.capabilities.targets.operations import Settle
from jitid.capabilities.targets.settle import MINTING
from jitid.capabilities.targets.store import OutsideStore
from tests.builders import World
from tests.ledger.test_crash import now
from tests.programs import Shop
from tests.real import Shell, need, until

CALLS = {"pwrite64": 7, "fdatasync": 1, "write": 1}
"""System calls that write, each with the step between two kills: writes within a transaction are alike."""


def configure(shell: Shell, shop: Shop) -> None:
    """Configure the shop as a target."""
    folder = shell.home / "config.toml"
    folder.write_text(
        f'[target.shop]\nkind = "exec"\nprogram = "{shop.program}"\noptions = {{ shop = "{shop.folder}" }}\n'
    )
    folder.chmod(0o600)
    shell.permit_kinds()


def at_work(program: Path) -> bool:
    """Return whether any process of the program is running."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(program).encode() in (process / "cmdline").read_bytes():
                return True
        except OSError:
            continue
    return False


def check(shell: Shell, shop: Shop, printed: str) -> None:
    """Check that the ledger knows all existing secrets, and that all of them can be ended."""
    until(lambda: not at_work(shop.program), "the program goes on")
    with World(shell.ledger, now=now(), targets=[shop.target()]) as world:
        world.check()
        with world.ledger.read() as snapshot:
            known = {one.name: one for one in OutsideStore(snapshot).names_at("shop")}
            assert shop.made.keys() <= known.keys()
            assert not any(known[name].settled for name in shop.made)
            for one in OutsideStore(snapshot).find([one.jti for one in known.values()]):
                # A printed secret is confirmed, and a confirmed secret was made.
                assert one.confirmed or not printed
                assert not one.confirmed or one.record.name in shop.made
        if known:
            world.authority.perform(Retire(task="T1"))
            world.clock.now += MINTING
            world.authority.perform(Settle(waiting=True))
            assert shop.made == {}
            with world.ledger.read() as snapshot:
                assert OutsideStore(snapshot).open_count() == 0
            world.check()


@pytest.mark.deep
def test_whoever_is_killed_leaves_nothing_that_nobody_remembers(tmp_path: Path) -> None:
    shell, shop = Shell(tmp_path), Shop(tmp_path / "shop")
    configure(shell, shop)
    issue = ("--config", str(tmp_path / "config.toml"), "issue", "--task", "T1", "--delegator", "alice")
    shell.good(*issue[:2], "issue", "--task", "T0", "--delegator", "alice")
    before = tmp_path / "before"
    shutil.copytree(shell.ledger, before, copy_function=shutil.copy2)
    deaths = made = 0
    for call, step in CALLS.items():
        strace = [need("strace"), "-qq", "-o", os.devnull, "-e", f"trace={call}"]
        when = 1
        while True:
            inject = [*strace, "-e", f"inject={call}:signal=KILL:when={when}"]
            done = shell.run(*issue, "--kind", "exec:shop", before=inject)
            made += bool(shop.made)
            check(shell, shop, done.stdout)
            shutil.rmtree(shell.ledger)
            shutil.copytree(before, shell.ledger, copy_function=shutil.copy2)
            if done.returncode == 0:
                break
            assert done.returncode == -signal.SIGKILL, (call, when, done.stderr)
            deaths += 1
            when += step
    assert deaths >= 6
    # Some of these kills came after the secret was made.
    assert made >= 4


def test_a_secret_that_is_made_after_the_death_of_whoever_asked_is_ended_too(tmp_path: Path) -> None:
    shell, shop = Shell(tmp_path), Shop(tmp_path / "shop")
    configure(shell, shop)
    shop.fail("late", "mint")
    issue = ("--config", str(tmp_path / "config.toml"), "issue", "--task", "T1", "--delegator", "alice")
    done = shell.run(*issue, "--kind", "exec:shop")
    assert done.returncode == -signal.SIGKILL
    until(lambda: len(shop.made) == 1, "nothing was made")
    check(shell, shop, done.stdout)


@pytest.mark.deep
def test_what_a_ledger_that_is_full_cannot_confirm_is_ended_at_its_target(tmp_path: Path) -> None:
    """The ledger cannot record the revocation: the credential stays pending, and is revoked again later."""
    shell, shop = Shell(tmp_path), Shop(tmp_path / "shop")
    configure(shell, shop)
    issue = ("--config", str(tmp_path / "config.toml"), "issue", "--delegator", "alice", "--task")
    shell.good(*issue, "T0")
    strace = [need("strace"), "-qq", "-o", os.devnull, "-e", "trace=pwrite64"]
    for when in range(1, 200, 3):
        full = [*strace, "-e", f"inject=pwrite64:error=ENOSPC:when={when}+"]
        done = shell.run(*issue, "T1", "--kind", "exec:shop", before=full)
        if (shop.folder / "asked-mint").exists():
            break
    else:
        raise AssertionError("nothing was ever made")
    assert done.returncode == 5
    assert "the recorded credentials could not be revoked" in done.stderr
    assert shop.asked("revoke")["credentials"][0]["jti"] == shop.asked("mint")["credential"]["jti"]
    check(shell, shop, done.stdout)
    assert shop.made == {}
