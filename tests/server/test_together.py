"""Requests that are answered from one view of the ledger: each gets its own answer."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import postgres
from tests.real import until
from tests.server.asking import Asked, asking, grant


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """Serve this user as issuer, verifier and responder."""
    with asking(tmp_path_factory.mktemp("full"), "issuer", "verifier", "responder") as asked:
        yield asked


def test_many_at_once_get_each_their_own(full: Asked) -> None:
    bearers = {
        "verifier": grant(full.shell, "system:api", "verifier"),
        "sweeper": grant(full.shell, "system:cron", "sweeper"),
    }
    tokens = [full.token() for _ in range(4)]
    dead = full.token()
    assert full.form("/revoke", token=dead).status == 200

    def ask(number: int) -> tuple[int, object]:
        which, token = number % 5, tokens[number % 4]
        match which:
            case 0:
                answer = full.form("/introspect", token=token, bearer=bearers["verifier"])
                return answer.status, answer.json["jti"]
            case 1:
                answer = full.form("/introspect", token=dead, bearer=bearers["verifier"])
                return answer.status, answer.json
            case 2:
                answer = full.form("/introspect", token=token, bearer=bearers["sweeper"])
            case 3:
                answer = full.form(
                    "/introspect", token=token, client_id="somebody", bearer=bearers["verifier"]
                )
            case _:
                answer = full.form("/introspect", token=token, bearer="nobody-has-this")
        return answer.status, answer.json.get("error")

    ids = [full.form("/introspect", token=token).json["jti"] for token in tokens]
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(ask, range(100)))
    for number, answer in enumerate(answers):
        expected = [
            (200, ids[number % 4]),
            (200, {"active": False}),
            (403, "unauthorized_client"),
            (401, "invalid_client"),
            (401, "invalid_client"),
        ]
        assert answer == expected[number % 5], number


def test_all_are_told_that_the_ledger_is_away_and_that_it_is_back(tmp_path: Path) -> None:
    with postgres.running() as server:
        more = "serve_time = '3s'\n"
        with asking(tmp_path, "issuer", "verifier", more=more, ledger=server.url()) as asked:
            token = asked.token()
            told = asked.form("/introspect", token=token).json
            server.kill()
            with ThreadPoolExecutor(8) as threads:
                answers = list(
                    threads.map(lambda _: asked.form("/introspect", token=token).status, range(16))
                )
            assert set(answers) == {503}
            server.start()
            until(lambda: asked.form("/introspect", token=token).json == told, "still away")
