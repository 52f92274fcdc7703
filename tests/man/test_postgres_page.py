"""The page about PostgreSQL: its options exist in the code, and its statements for the server are sufficient."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

import pytest

from jitid.issuers.postgres import role
from jitid.issuers.targets import Targets
from jitid.model.target import Settlement, StatedTarget
from tests.issuers.places import make
from tests.issuers.postgresplace import PostgresPlace, roles_server
from tests.man.source import displays, items, read, section

PAGE = read("jitid-postgres.7")


def options(text: str) -> set[str]:
    """Return the names of the options of a list."""
    return {name for names in items(text) for name in re.split(r"[ ,]+", names) if name}


def table() -> dict[str, object]:
    """Return the target of the example."""
    (text,) = [text for text in displays(PAGE) if text.startswith("[target")]
    found: dict[str, object] = tomllib.loads(text)["target"]["orders"]
    return found


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresPlace]:
    """Return a server with the page's setup."""
    with roles_server() as server:
        server.execute("CREATE SCHEMA work")
        (text,) = [text for text in displays(PAGE) if text.startswith("CREATE ROLE")]
        server.execute(*(" ".join(each.split()) for each in text.split(";") if each.strip()))
        server.execute("ALTER ROLE jitid PASSWORD 'a word'")
        yield PostgresPlace(server)


def test_every_option_is_told_and_no_other() -> None:
    target, templates = section(PAGE, "THE TARGET").split(".Ss Templates")
    assert options(target) == set(role.OPTIONS)
    assert options(templates) == set(role.TEMPLATE_OPTIONS)


def test_what_the_page_says_to_the_server_is_enough_for_its_target(server: PostgresPlace) -> None:
    (server.server.folder / "password").write_text("a word\n")
    (server.server.folder / "password").chmod(0o600)
    own = table() | {
        "dsn": server.server.url().replace("postgres@", "jitid@"),
        "password_file": str(server.server.folder / "password"),
    }
    targets = Targets([StatedTarget(server.target, own, "/etc/jitid", "there")], "urn:jitid:test")
    target = targets.choose("postgres-role", "builder").target
    assert target is not None
    issuer = targets.open(target)
    made = [make(issuer, server.record(template=name))[0] for name in ("reader", "builder", None)]
    outcomes = issuer.revoke(made)
    issuer.close()
    assert [each.settlement for each in outcomes] == [Settlement.DONE] * 3, outcomes
