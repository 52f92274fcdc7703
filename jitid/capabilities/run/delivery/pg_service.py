"""Deliver database roles to libpq: PGSERVICEFILE, PGPASSFILE and the variables of the first role."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl, unquote

from jitid.capabilities.run.delivery.delivery import Delivered, Files
from jitid.errors import StorageError
from jitid.values.record import Record

_PASSWORDS, _SERVICES = "PGPASSFILE", "PGSERVICEFILE"


class LoginPlace(Record):
    """The address where a role logs in, in libpq's terms."""

    hosts: tuple[str, ...]
    ports: tuple[str, ...]
    """For each host its port, "" for the default; or one port for all hosts; or none."""
    database: str
    options: tuple[tuple[str, str], ...]
    """Further options, such as `sslmode`."""


class Services:
    """Services with the names of the roles (`psql service=NAME`), and PG* variables for the first role.

    A successor is another role, and PGUSER cannot change in a running command. The user in a service overrides PGUSER,
    and libpq reads the service again for each connection (PostgreSQL manual, sections 34.15 to 34.17).
    """

    def __init__(self) -> None:
        self._files = Files()
        self._roles: dict[str, tuple[LoginPlace, str, str]] = {}

    def put(self, delivered: Delivered) -> None:
        """Make a service log in with a role. Raises StorageError if its URL contains a line break."""
        address = place_of(delivered.secret.reveal("url"))
        self._roles[delivered.name] = (
            address,
            delivered.secret.reveal("username"),
            delivered.secret.reveal("password"),
        )
        # Passwords first: a service that names a role finds its password.
        self._files.write(_PASSWORDS, "".join(map(passwords, self._roles.values())))
        self._files.write(_SERVICES, "".join(service(name, *role) for name, role in self._roles.items()))

    def environment(self) -> dict[str, str]:
        """Return the variables that lead to the services, and the variables with the values of the first service."""
        name, (address, user, _) = next(iter(self._roles.items()))
        variables = {
            "PGSERVICE": name,
            "PGUSER": user,
            "PGHOST": ",".join(address.hosts),
            "PGPORT": ",".join(address.ports),
            "PGDATABASE": address.database,
        }
        return self._files.environment() | {name: value for name, value in variables.items() if value}

    def hidden(self) -> frozenset[str]:
        """Return the variables that would set another password or address."""
        return frozenset({"PGPASSWORD", "PGHOSTADDR", "PGHOST", "PGPORT", "PGUSER", "PGDATABASE"})

    def close(self) -> None:
        """Delete the services."""
        self._files.close()


def place_of(url: str) -> LoginPlace:
    """Return the address in a URL (PostgreSQL manual, section 34.1.1.2), which may name several hosts."""
    _, _, rest = url.partition("://")
    rest, _, query = rest.partition("?")
    host_list, _, database = rest.rpartition("@")[2].partition("/")
    hosts, ports = [], []
    for entry in host_list.split(","):
        host, colon, port = entry.rpartition(":")
        if not colon or port.endswith("]"):
            host, port = entry, ""
        hosts.append(unquote(host.strip("[]")))
        ports.append(port)
    options = dict(parse_qsl(query))
    if not any(hosts):
        hosts = options.pop("host", "").split(",")
    if not any(ports):
        ports = options.pop("port", "").split(",")
    # An empty place in a list is the default of libpq, a list of empty places no list.
    address = LoginPlace(
        tuple(hosts) if any(hosts) else (),
        tuple(ports) if any(ports) else (),
        unquote(database),
        tuple(options.items()),
    )
    if not all(
        "\n" not in text and "\r" not in text
        for text in (*address.hosts, *address.ports, address.database, *options, *options.values())
    ):
        raise StorageError("the database URL contains a line break: a service file cannot contain it")
    return address


def service(name: str, address: LoginPlace, user: str, _password: str) -> str:
    """Return the section of a service file for a role and its database; it does not contain the password."""
    settings = {
        "host": ",".join(address.hosts),
        "port": ",".join(address.ports),
        "dbname": address.database,
        "user": user,
        **dict(address.options),
    }
    return f"[{name}]\n" + "".join([f"{key}={value}\n" for key, value in settings.items() if value])


def passwords(role: tuple[LoginPlace, str, str]) -> str:
    """Return the lines of the password file: for the role's own hosts only, so that no other host gets it."""
    address, user, password = role
    hosts = [*address.hosts]
    if any(host.startswith(("/", "@")) for host in hosts) or not all(hosts) or not hosts:
        # libpq uses this name for its default socket folder.
        hosts.append("localhost")
    return "".join([_line((host, "*", address.database or "*", user, password)) for host in hosts if host])


def _line(fields: Sequence[str]) -> str:
    escaped = [field.replace("\\", "\\\\").replace(":", "\\:") if field != "*" else field for field in fields]
    return ":".join(escaped) + "\n"


DELIVERY = Services
