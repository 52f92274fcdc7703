"""The guards of `jitid example`, each in its real framework, with valid and invalid tokens."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

import jitid
from jitid.cli.setup.example import FOLDER
from tests.api.conftest import API, User
from tests.real import module

Get = Callable[[str | None], tuple[int, Any, str | None]]
"""Returns status, document and challenge of a request with an Authorization header."""


def _example(name: str) -> Any:
    spec = spec_from_file_location(name, Path(FOLDER, f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    loaded = module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def _headers(authorization: str | None) -> dict[str, str]:
    return {} if authorization is None else {"Authorization": authorization}


def _starlette() -> Get:
    module("starlette", "server")
    return _by_asgi(_example("asgi_guard").app)


def _by_asgi(app: Any) -> Get:
    # Starlette's client of tests is made of it.
    module("httpx2")
    client = module("starlette.testclient").TestClient(app)

    def get(authorization: str | None) -> tuple[int, Any, str | None]:
        answer = client.get("/issues", headers=_headers(authorization))
        return answer.status_code, answer.json(), answer.headers.get("www-authenticate")

    return get


def _fastapi() -> Get:
    fastapi = module("fastapi")
    guard = _example("asgi_guard")
    app = fastapi.FastAPI()
    app.add_middleware(guard.AuthenticationMiddleware, backend=guard.Guard(), on_error=guard.refused)
    app.add_api_route("/issues", guard.issues)
    return _by_asgi(app)


def _flask() -> Get:
    module("flask")
    client = _example("flask_guard").app.test_client()

    def get(authorization: str | None) -> tuple[int, Any, str | None]:
        answer = client.get("/issues", headers=_headers(authorization))
        return answer.status_code, answer.get_json(), answer.headers.get("WWW-Authenticate")

    return get


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("framework", [_starlette, _fastapi, _flask])
def test_a_guard_lets_valid_tokens_for_its_service_through(user: User, framework: Callable[[], Get]) -> None:
    get = framework()
    other = "https://other.example"
    with jitid.identity(
        task="T1", delegator="alice", agent="bot", scopes="repo:read:*", audience=[API, other]
    ) as me:
        token = me.token(audience=API)
        assert get(f"Bearer {token}") == (200, {"delegator": "user:alice", "agent": "bot"}, None)
        assert get(f"bearer {token}")[0] == 200
        with me.delegate(scopes="repo:read:other", audience=API) as narrow:
            status, _, challenge = get(f"Bearer {narrow.token()}")
            assert (status, challenge) == (403, 'Bearer error="insufficient_scope"')
        identity_token = Path(me.parent_file).read_text().strip()
        refused = [
            None,
            "",
            "Bearer",
            "Bearer ",
            f"Basic {token}",
            token,
            f"Bearer {token}x",
            f"Bearer {token}, Bearer {token}",
            f"Bearer {identity_token}",
            f"Bearer {me.token(audience=other)}",
            "Bearer x.y.z",
            f"Bearer {'x' * 20_000}",
        ]
        for authorization in refused:
            status, document, challenge = get(authorization)
            assert (status, challenge) == (401, 'Bearer error="invalid_token"'), authorization
            assert token not in str(document)
        user.good("revoke", me.id)
        assert get(f"Bearer {token}")[0] == 401


def test_a_guard_takes_thirty_lines() -> None:
    for name in ("asgi_guard", "flask_guard"):
        text = Path(FOLDER, f"{name}.py").read_text().partition('"""\n')[2].partition('"""\n')[2]
        code = [line for line in text.splitlines() if line and "import" not in line]
        assert len(code) <= 30, name
