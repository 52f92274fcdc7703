"""Delivery of a run's secrets: complete files, profiles, services."""

from __future__ import annotations

import configparser
import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from jitid.capabilities.run.delivery.aws_profile import Profiles
from jitid.capabilities.run.delivery.delivery import Delivered, Delivery, Files, variable
from jitid.capabilities.run.delivery.kube_config import Clusters
from jitid.capabilities.run.delivery.pg_service import Services
from jitid.errors import ConfigurationError, StorageError, UsageError
from jitid.issuers.issuer import text_of
from jitid.values.secret import Secret

NOON = 1_763_985_600


@pytest.fixture
def files() -> Iterator[Files]:
    made = Files()
    yield made
    made.close()


@pytest.fixture
def services() -> Iterator[Services]:
    made = Services()
    yield made
    made.close()


@pytest.fixture
def profiles() -> Iterator[Profiles]:
    made = Profiles()
    yield made
    made.close()


@pytest.fixture
def clusters() -> Iterator[Clusters]:
    made = Clusters()
    yield made
    made.close()


def delivered(name: str, kind: str, parts: dict[str, str], **facts: Any) -> Delivered:
    """Return a secret in the form in which a run delivers it."""
    secret = Secret(parts)
    return Delivered(name, kind, secret, facts, NOON, text_of(kind, secret, NOON))


def role(name: str, user: str, url: str) -> Delivered:
    """Return a role of a database."""
    return delivered(name, "postgres-role", {"username": user, "password": r"p:a\ss", "url": url})


def session(name: str, key: str, **facts: Any) -> Delivered:
    """Return a session of a cloud."""
    parts = {"access_key_id": key, "secret_access_key": "s", "session_token": "t"}
    return delivered(name, "aws-sts", parts, **facts)


def found(way: Delivery) -> dict[str, str]:
    """Return the contents of the files that the variables name; for other variables, their values."""
    return {
        name: Path(value).read_text() if Path(value).exists() else value
        for name, value in way.environment().items()
    }


def test_a_file_has_all_of_it_and_one_each_of_its_parts(files: Files) -> None:
    files.put(delivered("my-web", "exec:a", {"user": "u", "pass": "p\nq\n"}))
    assert found(files) == {
        "JITID_SECRET_MY_WEB": '{"user": "u", "pass": "p\\nq\\n"}\n',
        "JITID_SECRET_MY_WEB_USER": "u\n",
        "JITID_SECRET_MY_WEB_PASS": "p\nq\n",
    }
    assert variable("a.b-c") == "A_B_C"


def test_two_that_one_variable_would_name_are_refused(files: Files) -> None:
    """A part of one secret and the name of another would need the same variable, which would be ambiguous."""
    files.put(delivered("db", "exec:a", {"user": "u", "url": "x"}))
    with pytest.raises(UsageError, match="JITID_SECRET_DB_URL"):
        files.put(delivered("db-url", "jwt", {"token": "t"}))
    with pytest.raises(UsageError, match="two parts"):
        files.put(delivered("other", "exec:a", {"a.b": "u", "a_b": "x"}))
    assert found(files)["JITID_SECRET_DB_URL"] == "x\n"


def test_a_token_is_one_file_that_gives_its_successor(files: Files) -> None:
    """The path does not change, so that a process that has it gets the successor."""
    files.put(delivered("api", "jwt", {"token": "one"}))
    before = files.environment()
    files.put(delivered("api", "jwt", {"token": "two"}))
    assert files.environment() == before
    assert found(files) == {"JITID_SECRET_API": "two\n"}


def test_a_service_follows_the_role_that_is_renewed(services: Services) -> None:
    """The variables describe the first role. The service takes precedence over them."""
    services.put(role("db", "jitid_a", "postgresql://jitid_a:x@db.example:5433/app?sslmode=verify-full"))
    services.put(role("db", "jitid_b", "postgresql://jitid_b:x@db.example:5433/app?sslmode=verify-full"))
    told = found(services)
    assert (told["PGSERVICE"], told["PGHOST"], told["PGPORT"], told["PGDATABASE"]) == (
        "db",
        "db.example",
        "5433",
        "app",
    )
    parsed = configparser.ConfigParser()
    parsed.read_string(told["PGSERVICEFILE"])
    assert dict(parsed["db"]) == {
        "host": "db.example",
        "port": "5433",
        "dbname": "app",
        "user": "jitid_b",
        "sslmode": "verify-full",
    }
    assert told["PGPASSFILE"] == "db.example:*:app:jitid_b:p\\:a\\\\ss\n"


def test_each_role_is_a_service_and_its_password_is_for_its_hosts_alone(services: Services) -> None:
    services.put(role("one", "jitid_a", "postgresql://jitid_a:x@a.example:1,[::1]:2/app"))
    services.put(role("two", "jitid_b", "postgresql://jitid_b:x@/my%20app?host=/run/pg&port=5"))
    told = found(services)
    parsed = configparser.ConfigParser()
    parsed.read_string(told["PGSERVICEFILE"])
    assert parsed["one"]["host"] == "a.example,::1" and parsed["one"]["port"] == "1,2"
    assert parsed["two"]["host"] == "/run/pg" and parsed["two"]["dbname"] == "my app"
    assert told["PGSERVICE"] == "one"
    lines = [line.rpartition(":jitid_")[0] for line in told["PGPASSFILE"].splitlines()]
    assert lines == ["a.example:*:app", "\\:\\:1:*:app", "/run/pg:*:my app", "localhost:*:my app"]


@pytest.mark.parametrize(
    ("place", "hosts", "ports"),
    [
        ("a:6000,b/app", "a,b", "6000,"),
        ("a,b:6000/app", "a,b", ",6000"),
        ("a:1,b,c:3/app", "a,b,c", "1,,3"),
        ("a,b/app", "a,b", None),
        ("a:1/app", "a", "1"),
        ("[::1]:2,[::2]/app", "::1,::2", "2,"),
        (":5433,b/app", ",b", "5433,"),
        ("a,b/app?port=7", "a,b", "7"),
        ("/app?host=a,,b&port=1,,3", "a,,b", "1,,3"),
        ("/app", None, None),
    ],
)
def test_each_host_keeps_its_own_port(
    services: Services, place: str, hosts: str | None, ports: str | None
) -> None:
    """For libpq one port counts for all hosts, and an empty one is the default (its manual, section 34.1.1.3)."""
    services.put(role("db", "jitid_a", f"postgresql://jitid_a:x@{place}"))
    told = found(services)
    parsed = configparser.ConfigParser()
    parsed.read_string(told["PGSERVICEFILE"])
    assert (parsed["db"].get("host"), parsed["db"].get("port")) == (hosts, ports)
    assert (told.get("PGHOST"), told.get("PGPORT")) == (hosts, ports)
    by_libpq = conninfo_to_dict(f"postgresql://jitid_a:x@{place}")
    assert str(by_libpq.get("host", "")) == (hosts or "")
    # libpq writes a list of empty ports as commas.
    assert str(by_libpq.get("port", "")).removeprefix(",") == (ports or "").removeprefix(",")
    named = [line.split(":")[0] for line in told["PGPASSFILE"].splitlines() if not line.startswith("\\")]
    # An empty host is the default socket folder.
    default = ["localhost"] if hosts is None or "" in hosts.split(",") else []
    assert named == [host for host in (hosts or "").split(",") if host and ":" not in host] + default


def test_an_address_that_no_service_file_can_have_is_refused(services: Services) -> None:
    """A line break in the address would add a setting that no caller requested."""
    for query in ("sslmode=a%0Ahost=evil", "port=1%0Asslmode=disable"):
        with pytest.raises(StorageError, match="line break"):
            services.put(role("db", "jitid_a", f"postgresql://jitid_a:x@db.example/app?{query}"))


def test_a_profile_gets_its_keys_from_a_process(profiles: Profiles) -> None:
    """The first profile is the default. A successor's keys come from the same command line."""
    profiles.put(session("cloud", "ASIA1", region="eu-central-1", endpoint_url="http://127.0.0.1:1"))
    profiles.put(session("other", "ASIA2"))
    profiles.put(session("cloud", "ASIA3", region="eu-central-1"))
    told = found(profiles)
    parsed = configparser.ConfigParser()
    parsed.read_string(told["AWS_CONFIG_FILE"])
    assert parsed.sections() == ["default", "profile cloud", "profile other"]
    assert parsed["default"]["region"] == "eu-central-1"
    assert told["AWS_SHARED_CREDENTIALS_FILE"] == "\n"

    def key(section: str) -> str:
        printed = subprocess.run(
            shlex.split(parsed[section]["credential_process"]), capture_output=True, check=True
        )
        return str(json.loads(printed.stdout)["AccessKeyId"])

    assert [key(section) for section in parsed.sections()] == ["ASIA3", "ASIA3", "ASIA2"]
    assert set(profiles.environment()) == {"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"}


def test_keys_of_somebody_else_are_out_of_the_way(profiles: Profiles, services: Services) -> None:
    """The SDKs and libpq would use these variables first."""
    assert {"AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "AWS_PROFILE"} <= profiles.hidden()
    assert {"PGPASSWORD", "PGHOSTADDR"} <= services.hidden()


def test_a_context_has_a_certificate_or_a_token(clusters: Clusters) -> None:
    """The first context is the current one. A successor is at the same path."""
    cluster = {"kube_server": "https://kube.example", "kube_ca_file": "/ca.pem"}
    pair = {"certificate": "C", "key": "K"}
    clusters.put(delivered("a", "x509-svid", pair, **cluster))
    clusters.put(delivered("b", "jwt", {"token": "one"}, kube_server="https://other.example"))
    clusters.put(delivered("b", "jwt", {"token": "two"}, kube_server="https://other.example"))
    told = json.loads(found(clusters)["KUBECONFIG"])
    assert told["current-context"] == "a"
    assert [each["cluster"] for each in told["clusters"]] == [
        {"server": "https://kube.example", "certificate-authority": "/ca.pem"},
        {"server": "https://other.example"},
    ]
    given = [
        json.loads(Path(each["user"]["exec"]["args"][0]).read_text())["status"] for each in told["users"]
    ]
    assert given == [
        {
            "expirationTimestamp": "2025-11-24T12:00:00Z",
            "clientCertificateData": "C",
            "clientKeyData": "K",
        },
        {"expirationTimestamp": "2025-11-24T12:00:00Z", "token": "two"},
    ]


def test_a_cluster_that_a_token_must_not_reach_gets_none(clusters: Clusters) -> None:
    with pytest.raises(ConfigurationError, match="https"):
        clusters.put(delivered("a", "jwt", {"token": "one"}, kube_server="http://kube.example"))
