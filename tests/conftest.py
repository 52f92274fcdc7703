"""Fixtures and settings for all tests."""

from __future__ import annotations

import compileall
import gc
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies

import jitid
from tests import moto, pgbouncer, postgres
from tests.builders import Database
from tests.node import Node

# The time that an example takes depends on the load of the machine, not on the code.
settings.register_profile("jitid", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("jitid")

_MANY_FILES = 200
"""The limit of open files for a clean-up: `select` accepts no descriptor above 1,023."""

STEERING = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
"""Variables that would change jitid's output; the terminal or the test runner may have set them."""


@pytest.fixture(scope="session", autouse=True)
def _unsteered() -> Iterator[None]:
    """Remove the terminal's variables that would change the results of tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in STEERING:
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Postgres]:
    """Return a running PostgreSQL server, the same one for all tests of a process."""
    with postgres.running() as server:
        yield server


@pytest.fixture(scope="session")
def pooler_of_transactions(postgres_server: postgres.Postgres) -> Iterator[pgbouncer.PgBouncer]:
    """Return a running PgBouncer in front of that server; each transaction may get a different session."""
    settings = f"pool_mode = transaction\nserver_idle_timeout = 1\n{pgbouncer.IGNORING}"
    with pgbouncer.running(postgres_server, settings=settings) as pooler:
        yield pooler


@pytest.fixture
def postgres_url(postgres_server: postgres.Postgres) -> Iterator[str]:
    """Return the URL of a new, empty database."""
    database = postgres_server.new_database()
    yield postgres_server.url(database)
    postgres_server.drop(database)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that `.ci/run` sets: the deep tests take four times as long as all others."""
    parser.addoption("--deep", action="store_true", help="also run the tests that take long (marked `deep`)")


def pytest_configure(config: pytest.Config) -> None:
    """Prepare the session and the processes that it starts.

    A shell ignores signals for commands that it starts in the background, and so does `nohup`; a command that a test
    starts must not inherit that. All modules are compiled once: jitid is started thousands of times, and writes no
    bytecode.
    """
    for each in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(each) is signal.SIG_IGN:
            signal.signal(each, signal.default_int_handler if each is signal.SIGINT else signal.SIG_DFL)
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(Path(jitid.__file__).parent, quiet=2)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out deep tests unless `--deep` is given, and tests that cannot apply to a ledger in a database.

    The mark `of_files` names the latter: with words of the test's id, or without arguments for all.
    """
    deep = config.getoption("--deep")
    spared = [
        item
        for item in items
        if _is_of_files(item) or (not deep and item.get_closest_marker("deep") is not None)
    ]
    if spared:
        left_out = set(spared)
        config.hook.pytest_deselected(items=spared)
        items[:] = [item for item in items if item not in left_out]


def _is_of_files(item: pytest.Item) -> bool:
    if "database" not in item.name:
        return False
    return any(
        not mark.args or any(words in item.name for words in mark.args)
        for mark in item.iter_markers("of_files")
    )


@pytest.fixture(params=["file", "database"])
def kept_in(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let the worlds of a test have their ledgers in files, and in a second run in databases."""
    if request.param == "database":
        monkeypatch.setattr(Database, "server", request.getfixturevalue("postgres_server"))
    return str(request.param)


@pytest.fixture
def postgres_cluster() -> Iterator[postgres.Cluster]:
    """Return three new PostgreSQL servers with synchronous replication; the primary may be killed."""
    with postgres.cluster() as nodes:
        yield nodes


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[moto.Moto]:
    """Return a running moto server in place of AWS, the same one for all tests of a process."""
    with moto.running(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Node:
    """Return node with OAuth clients of other projects."""
    return Node(tmp_path_factory.mktemp("node"))


def pytest_runtest_teardown() -> None:
    """Close the files that command lines within this process have left open in cycles.

    A command line expects that its process ends and closes them.
    """
    if sum(1 for _ in Path("/proc/self/fd").iterdir()) > _MANY_FILES:
        # Each command line freezes the objects that exist before its verb runs.
        gc.unfreeze()
        gc.collect()
        gc.freeze()


def pytest_collection_finish() -> None:
    """Exclude the collected tests from garbage collection: there are many thousands of them."""
    _use_hypothesis()
    gc.collect()
    gc.freeze()


@settings(max_examples=1, database=None)
@given(strategies.none())
def _use_hypothesis(_: None) -> None:
    """Let Hypothesis make its random generator; if it makes it after `gc.freeze`, it takes it for garbage."""


@pytest.fixture(autouse=True)
def own_process_name() -> Iterator[None]:
    """Undo the name that `jitid run` gives to its process: some tests perform it in the process of the tests."""
    path = Path("/proc/self/comm")
    name = path.read_text()
    yield
    if path.read_text() != name:
        path.write_text(name)
