"""jitid-exec(7): its two programs work as described, and it documents all requests to a program and their answers."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from jitid.capabilities.inventory.operations import Retire
from jitid.capabilities.issue.operations import Issue
from jitid.capabilities.targets.operations import Settle
from jitid.capabilities.targets.store import OutsideStore
from jitid.issuers import exec as program
from jitid.issuers.targets import Targets
from jitid.model.target import Life, Settlement, StatedTarget, TargetRecord
from tests.builders import World, request
from tests.man.source import displays, items, macros, read, section
from tests.programs import Shop
from tests.real import need

PAGE = read("jitid-exec.7")
PROGRAMS = dict(zip(("python", "shell"), displays(section(PAGE, "EXAMPLES")), strict=True))


@pytest.fixture(params=PROGRAMS)
def stated(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StatedTarget]:
    """Return a target that runs one of the page's programs."""
    if request.param == "shell":
        need("jq")
    path = tmp_path / "program"
    path.write_text(PROGRAMS[request.param])
    path.chmod(0o700)
    (tmp_path / "shop").mkdir()
    table = {
        "kind": "exec",
        "program": str(path),
        "timeout": 20,
        "options": {"shop": str(tmp_path / "shop")},
        "template": {"reader": {"options": {"role": "reader"}}},
    }
    yield StatedTarget("shop", table, "/", "user test")


def test_a_credential_of_each_program_lives_and_dies(stated: StatedTarget, tmp_path: Path) -> None:
    with World(tmp_path / "ledger", targets=[stated]) as world:
        (issued,) = world.authority.perform(
            Issue(requests=(request(kind="exec:shop", template="reader", copies=2),))
        )
        first, second = issued.credentials
        assert first.facts == {"role": "reader"}
        targets = world.supply_targets()
        issuer = targets.open(targets.get("shop"))
        with world.ledger.read() as snapshot:
            one, other = (OutsideStore(snapshot).find([each.jti])[0].record for each in (first, second))
        assert issuer.probe(one, first.secret).life is Life.LIVE
        assert issuer.probe(one).life is Life.LIVE
        assert issuer.probe(one, second.secret).life is Life.DEAD
        assert {each.jti for each in issuer.inventory()} == {one.jti, other.jti}
        world.authority.perform(Retire(task="T1"))
        assert world.authority.perform(Settle()).done == 2
        assert issuer.probe(one, first.secret).life is Life.DEAD
        assert list(issuer.inventory()) == []
        assert list((tmp_path / "shop").iterdir()) == []
        world.check()


def test_nobody_else_reads_the_keys_of_the_shell(tmp_path: Path) -> None:
    need("jq")
    path = tmp_path / "program"
    path.write_text(PROGRAMS["shell"])
    path.chmod(0o700)
    (tmp_path / "shop").mkdir()
    table = {"kind": "exec", "program": str(path), "timeout": 20, "options": {"shop": str(tmp_path / "shop")}}
    with World(tmp_path / "ledger", targets=[StatedTarget("shop", table, "/", "user test")]) as world:
        world.authority.perform(Issue(requests=(request(kind="exec:shop"),)))
    (key,) = (tmp_path / "shop").iterdir()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_the_page_tells_each_member_of_a_request(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "shop")
    with World(tmp_path / "ledger", targets=[shop.target()]) as world:
        world.authority.perform(Issue(requests=(request(kind="exec:shop"),)))
    text = section(PAGE, "REQUESTS")
    asked = shop.asked("mint")
    assert set(items(text)) == asked.keys() - {"credential", "template_options"}
    assert set(TargetRecord._fields) == asked["credential"].keys()
    assert {*TargetRecord._fields, "credential", "template_options"} <= set(macros(text, "Va"))
    assert {*Life, *Settlement} <= set(macros(text, "Li"))


def test_the_page_tells_the_statuses() -> None:
    assert list(items(section(PAGE, "EXIT STATUS"))) == ["0", str(program.UNSUPPORTED), str(program.REFUSED)]


def test_the_table_of_the_page_can_be_used(tmp_path: Path) -> None:
    import tomllib

    (name, table), *_ = tomllib.loads(displays(section(PAGE, "DESCRIPTION"))[0])["target"].items()
    target = Targets([StatedTarget(name, table, "/", "the page")], "urn:x").get("shop")
    assert target.options["timeout"] == 15
    assert target.templates["reader"] == {"options": {"role": "reader"}}
