"""Targets of a remote authority: only the authority knows them, and it makes and revokes credentials there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.authority.remote.conftest import EVERYTHING
from tests.programs import Shop
from tests.real import Shell, permitting_kinds
from tests.server.waiting import eventually
from tests.serving import Answer, Served, serving


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "shop")


@pytest.fixture
def served(tmp_path: Path, shop: Shop) -> Iterator[Served]:
    """Serve an authority with a shop."""
    config = tmp_path / "authority.toml"
    config.write_text(
        f'{EVERYTHING}\n[target.shop]\nkind = "exec"\nprogram = "{shop.program}"\n'
        f'options = {{ shop = "{shop.folder}" }}\ntemplate.parts.options = {{ parts = "yes" }}\n'
    )
    socket = tmp_path / "s"
    more = {"JITID_CONFIG": str(config), "JITID_POLICY": str(permitting_kinds(tmp_path / "rules"))}
    with serving(tmp_path / "authority", "--socket", str(socket), more=more) as served:
        yield served


@pytest.fixture
def asking(tmp_path: Path, served: Served) -> Shell:
    """Return a command line that uses the authority."""
    shell = Shell(tmp_path / "client")
    shell.home.mkdir()
    del shell.environment["JITID_LEDGER"]
    shell.environment["JITID_REMOTE"] = f"unix://{served.socket}"
    return shell


def test_what_is_made_there_is_handed_out_here_and_ended_there(asking: Shell, shop: Shop) -> None:
    told = json.loads(asking.good("issue", "--task", "T1", "--kind", "exec:shop:parts", "--format", "json"))
    (made,) = shop.made.values()
    assert made["password"] in json.dumps(told)
    seen = json.loads(asking.good("inspect", told["jti"], "--field", "at_target"))
    assert (seen["target"], seen["settled_at"]) == ("shop", None)
    shop.fail("down", "revoke")
    left = asking.run("revoke", told["jti"])
    assert left.returncode == 9, left.stderr
    assert told["jti"] in left.stderr
    assert asking.good("list", "--unsettled", "--field", "jti").split() == [told["jti"]]
    shop.fail("")
    # A repeated revocation runs again at the target until it is confirmed.
    asking.good("revoke", told["jti"], "--wait", "30s")
    assert shop.made == {}
    assert asking.good("list", "--unsettled", "--field", "jti") == ""
    asking.good("audit", "verify")


@pytest.mark.deep
@pytest.mark.parametrize("how", ["/revoke", "/revoke by a role", "Revoke", "HandBack"])
def test_what_is_ended_by_nobody_else_the_authority_ends_there(
    asking: Shell, served: Served, shop: Shop, how: str
) -> None:
    """The authority settles in the background: an agent that revoked itself cannot, and OAuth has no such request."""
    told = json.loads(asking.good("issue", "--task", "T1", "--may-kind", "exec:shop", "--format", "json"))
    bearer = {"authorization": f"Bearer {told['token']}"}
    attach = {"request": {"token": told["token"], "kind": "exec:shop"}}
    asked: dict[str, dict[str, Any]] = {
        "Attach": attach,
        "Revoke": {"selection": {"ids": [told["id"]]}, "most": None},
        "HandBack": {"token": told["token"], "id": told["id"]},
    }

    def ask(name: str) -> Answer:
        if name.startswith("/revoke"):
            form = {"content-type": "application/x-www-form-urlencoded"}
            if name == "/revoke":
                form |= bearer
            return served.ask("POST", "/revoke", f"token={told['token']}".encode(), form)
        body = json.dumps(asked[name]).encode()
        return served.ask(
            "POST", f"/v1/operations/{name}", body, {**bearer, "content-type": "application/json"}
        )

    assert ask("Attach").status == 200
    assert len(shop.made) == 1
    shop.fail("wait", "revoke")
    assert ask(how).status == 200
    assert len(shop.made) == 1
    (shop.folder / "go").touch()
    assert eventually(lambda: shop.made == {})
    assert eventually(lambda: asking.good("list", "--unsettled", "--field", "jti") == "")
    asking.good("audit", "verify")


def test_a_target_of_ones_own_is_nothing_to_an_authority_elsewhere(asking: Shell, shop: Shop) -> None:
    config = asking.home / "config.toml"
    config.write_text(f'[target.mine]\nkind = "exec"\nprogram = "{shop.program}"\n')
    config.chmod(0o600)
    done = asking.run("--config", str(config), "issue", "--task", "T1", "--kind", "exec:mine")
    assert done.returncode == 2, done.stderr
    assert "exec:mine" in done.stderr
    assert shop.made == {}
