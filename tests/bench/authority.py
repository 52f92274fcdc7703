"""`jitid serve` over PostgreSQL, with durable issues, against OpenBao: the same client, the same disk."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from tests import postgres
from tests.bench import load, peers, secretstore
from tests.bench.ground import Ground
from tests.bench.load import Load
from tests.bench.measure import (
    Row,
    Series,
    at_least,
    at_most,
    duration,
    in_turns,
    megabytes,
    per_second,
    under,
)
from tests.bench.secretstore import Store
from tests.crypto.signed import jwk, token
from tests.real import Shell
from tests.server.asking import grant
from tests.serving import Served, serving

_CLIENTS = 8
_WORKERS = 2
_TOKENS = 1_000
_ISSUER = "https://id.example"
_AUDIENCE = "https://api.example"
_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"


def rows(place: Ground) -> Iterator[Row]:
    """Measure token exchange and introspection. All servers run all the time, and only one at a time gets requests."""
    folder = place.new("authority")
    # The database runs as another user below this folder.
    for path in (place.folder, folder):
        path.chmod(0o755)
    with ExitStack() as stack:
        ours = _Ours(stack, folder)
        memory = stack.enter_context(secretstore.in_memory(_new(folder, "memory")))
        raft = stack.enter_context(secretstore.on_raft(_new(folder, "raft")))
        loads = _Loads()
        in_turns(place.rounds, _things(loads, ours, memory, raft))
        yield from _issuing(loads, place.rounds)
        yield from _introspecting(loads, place.rounds)
        yield from ours.size_and_start(raft, place.rounds)


class _Loads:
    """The results of each load by name, in the order of the rounds."""

    def __init__(self) -> None:
        self._found: dict[str, list[Load]] = {}

    def measured(self, name: str, thing: Callable[[], Load]) -> Callable[[], float]:
        """Return a function that runs a load and keeps its result by name."""

        def run() -> float:
            found = thing()
            self._found.setdefault(name, []).append(found)
            return found.rate

        return run

    def rate(self, name: str, shown: str, rounds: int) -> Series:
        """Return the rates of a load. The first round is omitted: it only fills caches."""
        return Series(shown, [one.rate for one in self._found[name][-rounds:]], per_second)

    def p99(self, name: str, shown: str, rounds: int) -> Series:
        """Return the 99th percentile of the response times in each round."""
        return Series(shown, [one.p99 for one in self._found[name][-rounds:]], duration)


def _things(loads: _Loads, ours: _Ours, memory: Store, raft: Store) -> dict[str, Callable[[], float]]:
    id_token = memory.prepare_id_tokens("RS256")
    lookups = memory.tokens_to_look_up(_TOKENS)
    things: dict[str, Callable[[], Load]] = {
        "raft 1": lambda: raft.create(1, 400),
        "exchange 1": lambda: ours.exchange(1, 400),
        "raft 8": lambda: raft.create(_CLIENTS, 1_500),
        "exchange 8": lambda: ours.exchange(_CLIENTS, 1_500),
        "id token": lambda: load.drive(memory.port, [id_token], _CLIENTS, 2_000),
        "look up": lambda: load.drive(memory.port, lookups, _CLIENTS, 6_000),
        "introspect": lambda: ours.introspect(_CLIENTS, 3_000),
    }
    return {name: loads.measured(name, thing) for name, thing in things.items()}


def _issuing(loads: _Loads, rounds: int) -> Iterator[Row]:
    raft, durable = "OpenBao token create on raft", "token exchange, JWT, durable in PostgreSQL"
    one = loads.rate("exchange 1", "", rounds)
    eight = loads.rate("exchange 8", "", rounds)
    yield Row(f"{durable}, one client", one, loads.rate("raft 1", raft, rounds), at_least(1))
    yield Row(f"{durable}, {_CLIENTS} clients", eight, loads.rate("raft 8", raft, rounds), at_least(1))
    in_memory = loads.rate("id token", "OpenBao ID token in memory, its default key", rounds)
    yield Row("the same", eight, in_memory, at_least(0.4))
    slowest = loads.p99("exchange 8", "", rounds)
    yield Row("the slowest of a hundred of them", slowest, loads.p99("raft 8", raft, rounds), at_most(1))


def _introspecting(loads: _Loads, rounds: int) -> Iterator[Row]:
    looked_up = loads.rate("look up", "OpenBao token lookup in memory", rounds)
    yield Row(
        f"introspection, {_CLIENTS} clients", loads.rate("introspect", "", rounds), looked_up, at_least(0.5)
    )


class _Ours:
    """An authority with two workers, the ID tokens of a hundred people, and a thousand live tokens."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        settings = {**postgres.DURABLE, "shared_buffers": "128MB"}
        server = stack.enter_context(postgres.running(settings, _new(folder, "postgres")))
        self._shell = Shell(_new(folder, "ours"))
        self._shell.environment["JITID_LEDGER"] = self._ledger = server.url()
        self._key = generate_private_key(65537, 2048)
        self._configure()
        gateway = grant(self._shell, "system:gateway")
        verifier = grant(self._shell, "system:api", "verifier")
        self._replica = stack.enter_context(self._serving())
        self._exchanges = [self._exchange(f"alice-{number}", gateway) for number in range(100)]
        self._introspections = [_form("/introspect", verifier, token=one) for one in self._issued()]

    def exchange(self, clients: int, count: int) -> Load:
        """Exchange ID tokens for credentials."""
        return load.drive(self._replica.address[1], self._exchanges, clients, count)

    def introspect(self, clients: int, count: int) -> Load:
        """Introspect a thousand live tokens."""
        return load.drive(self._replica.address[1], self._introspections, clients, count)

    def size_and_start(self, raft: Store, rounds: int) -> Iterator[Row]:
        """Measure the memory of the workers after their work, and how long a new authority takes to answer."""
        sizes = [float(_resident(pid)) for pid in self._replica.workers()]
        bare = Series("OpenBao on raft", [float(_resident(raft.pid))] * len(sizes), megabytes)
        yield Row("resident memory of a worker", Series("", sizes, megabytes), bare, under(120e6, megabytes))
        starts, floors = [], []
        for _ in range(rounds):
            floors.append(peers.process(peers.bare_python(), self._shell.environment, self._shell.home))
            before = time.perf_counter()
            with self._serving() as served:
                assert served.ask("GET", "/readyz").status == 200
                starts.append(time.perf_counter() - before)
        what = "from the start of `jitid serve` to its first answer"
        floor = Series("`python -c pass`", floors, duration)
        yield Row(what, Series("", starts, duration), floor, under(1, duration))

    def _configure(self) -> None:
        keys = self._shell.home / "jwks.json"
        keys.write_text(json.dumps({"keys": [jwk(self._key, kid="one", alg="RS256", use="sig")]}))
        for name, value in (
            (f"oidc.{_ISSUER}.jwks", str(keys)),
            (f"oidc.{_ISSUER}.audience", "jitid"),
            # One client sends requests all the time, unlike any client of a real service.
            ("serve_rate", "1000000"),
        ):
            self._shell.good("config", "set", name, value)
        self._shell.good("issue", "--task", "FIRST-1", "--delegator", "alice")

    def _serving(self) -> AbstractContextManager[Served]:
        # `serve_rate` is a guard rail: a configuration file in a HOME other than the login's cannot raise it.
        configuration = str(self._shell.home / ".config/jitid/config.toml")
        more = ("--config", configuration, "--workers", str(_WORKERS), "--log-format", "none")
        return serving(self._shell.home, *more, ledger=self._ledger)

    def _exchange(self, person: str, bearer: str) -> bytes:
        now = int(time.time())
        claims = {"iss": _ISSUER, "aud": "jitid", "sub": person, "iat": now, "exp": now + 86_400}
        proof = token({"alg": "RS256", "typ": "JWT", "kid": "one"}, claims, self._key)
        more = {"jitid_task": f"INC-{person}", "audience": _AUDIENCE, "scope": "repo:acme/web:read"}
        return _form(
            "/token", bearer, grant_type=_EXCHANGE, subject_token=proof, subject_token_type=_ID_TOKEN, **more
        )

    def _issued(self) -> list[str]:
        """Return tokens of the authority, as many as are looked up."""
        made = []
        connection = HTTPConnection("127.0.0.1", self._replica.address[1], timeout=60)
        for number in range(_TOKENS):
            message = self._exchanges[number % len(self._exchanges)]
            head, _, body = message.decode().partition("\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.splitlines()[1:])
            connection.request("POST", "/token", body, headers)
            made.append(json.loads(connection.getresponse().read())["access_token"])
        connection.close()
        return made


def _new(folder: Path, name: str) -> Path:
    path = folder / name
    path.mkdir()
    return path


def _form(path: str, bearer: str, **values: str) -> bytes:
    headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/x-www-form-urlencoded"}
    return load.message("POST", path, urlencode(values), headers)


def _resident(pid: int) -> int:
    """Return the resident memory of a process in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024
