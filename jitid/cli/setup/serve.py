"""`jitid serve`: the authority over HTTP, for authenticated callers.

And its systemd service, for this installation and this line.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from jitid.authority.open_local import home_path, open_or_create_local
from jitid.cli.invocation import Invocation
from jitid.config.effective import here
from jitid.config.settings import absolute, convert, named
from jitid.errors import ConfigurationError, UsageError
from jitid.formats import systemd_unit
from jitid.system import installation, output, time_limit

if TYPE_CHECKING:
    from jitid.authority.local import LocalAuthority
    from jitid.cli.setup import commands
    from jitid.config.effective import Config
    from jitid.server.service_limits import StartPlan, Tls


_ABOUT = "The authority of jitid"
_RUN = "/run/"
_ENVIRONMENT = ("home", "policy", "audience", "issuer", "trust_domain", "ttl", "timeout")
"""Settings that affect the service and have no option on its line."""
_SPARE = 10
"""Seconds that systemd waits in addition to the service's own limit."""


def text(cli: Invocation, config: Config, settings: Mapping[str, str | None], workers: int) -> str:
    """Return the unit. Its line has the options of this line and of the environment, with absolute paths.

    Raises:
        UsageError: a unit cannot contain them.

    """
    command, needs = installation.beginning(config.path, cli.profile)
    _name_ledger(config, command)
    folder = home_path(config)
    command += ["--no-input", "serve", *_options(config, settings, workers)]
    installation.check_words(command)
    installation.check_for_systemd(command)
    writes = [_written(folder)]
    runtime = None
    if settings["serve_socket"]:
        socket_folder = os.path.dirname(settings["serve_socket"])
        if socket_folder.startswith(_RUN) and "/" not in socket_folder.removeprefix(_RUN):
            runtime = socket_folder.removeprefix(_RUN)
        else:
            writes.append(socket_folder)
    files = [settings[name] for name in ("serve_tls_cert", "serve_tls_key")]
    needs += [*writes, *(file for file in files if file), config.text("policy") or "/"]
    job = systemd_unit.Job(
        _ABOUT,
        command,
        installation.owner(folder),
        writes,
        reaches_homes=installation.in_homes(needs),
        reaches_temporary=installation.in_temporary(needs),
    )
    for name in _ENVIRONMENT:
        if config.origin(name).startswith("environment "):
            cli.warn(
                f"the environment variable {named(name).variable} has no effect on the service; use: "
                f"jitid config set {name} VALUE"
            )
    stop = 2 * config.number("serve_stop") + _SPARE
    return systemd_unit.server(job, runtime, config.number("serve_connections") + 256, stop)


def _name_ledger(config: Config, command: list[str]) -> None:
    """Add the ledger to the command, unless the configuration names it. Raises UsageError for a password."""
    url = config.ledger
    if config.origin("ledger") in ("flag", "default") or config.origin("ledger").startswith("environment"):
        if "://" in url and urlsplit(url).password is not None:
            raise UsageError(
                "the address of the ledger contains a password, which a unit would reveal to all users",
                "write the address to the configuration: jitid config set ledger URL",
            )
        command += ["--ledger", url]


def _written(folder: str) -> str:
    """Return the folder that the service writes to.

    If it is missing, return the folder above it: the first use creates the folder of ledger or keys there.
    """
    above = os.path.dirname(folder)
    return above if above != "/" and os.path.isdir(above) and not os.path.lexists(folder) else folder


def _options(config: Config, settings: Mapping[str, str | None], workers: int) -> list[str]:
    """Return the options for values that are in no configuration file."""
    words: list[str] = []
    for name, value in settings.items():
        from_line = value is not None and value != config.text(name)
        if value is not None and (from_line or config.origin(name).startswith("environment")):
            option = "--log-format" if name == "serve_log" else f"--{name[6:].replace('_', '-')}"
            is_path = name in ("serve_socket", "serve_tls_cert", "serve_tls_key")
            words += [option, absolute(value, here()) if is_path else value]
    if workers != config.number("serve_workers") or config.origin("serve_workers").startswith("environment"):
        words += ["--workers", str(workers)]
    return words


_BIND = "127.0.0.1:8477"
_MOST_WORKERS = 64


def serve(cli: Invocation, args: commands.ServeCommand) -> None:
    """Perform `jitid serve`."""
    config = cli.config()
    # The service runs without a limit, and each request has a separate time limit.
    time_limit.lift()
    option_values = {
        "serve_bind": args.bind,
        "serve_socket": args.socket,
        "serve_socket_mode": args.socket_mode,
        "serve_tls_cert": args.tls_cert,
        "serve_tls_key": args.tls_key,
        "serve_public_url": args.public_url,
        "serve_log": args.log_format,
    }
    settings = {name: _stated(config, name, value) for name, value in option_values.items()}
    count = config.number("serve_workers") if args.workers is None else args.workers
    if not 1 <= count <= _MOST_WORKERS:
        raise UsageError(f"--workers must be from 1 to {_MOST_WORKERS}")
    if args.print_unit:
        output.write(text(cli, config, settings, count))
        return
    plan = _plan(cli, config, settings, count, args.bootstrap)
    path = settings["serve_socket"]
    inode = os.stat(path).st_ino if path else 0
    try:
        _run(cli, plan)
    finally:
        if path:
            _take_away(path, inode)


def _stated(config: Config, name: str, value: str | None) -> str | None:
    """Return the value of an option, or else of its setting. Raises UsageError."""
    if value is None:
        return config.text(name)
    option = "--" + ("log-format" if name == "serve_log" else name.removeprefix("serve_").replace("_", "-"))
    try:
        return str(convert(named(name), value, option, here()))
    except ConfigurationError as error:
        raise UsageError(error.message, error.hint) from None


def _bootstrap(cli: Invocation, authority: LocalAuthority, path: str) -> None:
    """Write a bootstrap credential. If that is refused, as after a restart, the service starts without it."""
    from jitid.capabilities.access.operations import BootstrapAccess
    from jitid.cli.directory.access_verbs import write_bootstrap

    try:
        write_bootstrap(cli, authority, BootstrapAccess(file=path))
    except UsageError as error:
        cli.note(f"no bootstrap access token was made: {error.message}")


def _plan(
    cli: Invocation, config: Config, settings: dict[str, str | None], workers: int, bootstrap: str | None
) -> StartPlan:
    """Return the plan of the service, with an existing ledger and listening sockets."""
    try:
        from jitid.server import listen
        from jitid.server.metrics import Log
        from jitid.server.service_limits import StartPlan, limits_of
        from jitid.server.supervisor import route_paths  # noqa: F401 - loads the modules that it needs
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "jitid":
            raise
        from jitid.system.dependencies import adding

        raise ConfigurationError(
            f"`jitid serve` requires {error.name}, which is not installed", adding("server")
        ) from None
    tls = _tls(settings)
    bind = settings["serve_bind"] or (None if settings["serve_socket"] else _BIND)
    if bind is not None:
        host, port = listen.parse_bind(bind)
    limits = limits_of(config)
    authority = open_or_create_local(config, cli.note)
    names = authority.names
    if bootstrap is not None:
        _bootstrap(cli, authority, bootstrap)
    # Close it before other processes start: they must not share a connection.
    authority.close()
    tcp = [] if bind is None else listen.listen(host, port, encrypted=tls is not None)
    unix = None
    if settings["serve_socket"]:
        unix = listen.listen_at(settings["serve_socket"], int(settings["serve_socket_mode"] or "0660", 8))
    own_url = "http://localhost"
    if tcp:
        own_url = f"{'https' if tls else 'http'}://{_host(host)}:{tcp[0].getsockname()[1]}"
    return StartPlan(
        config,
        names,
        settings["serve_public_url"] or own_url,
        tuple(tcp),
        unix,
        tls,
        workers,
        limits,
        Log(settings["serve_log"] or "json"),
    )


def _tls(settings: dict[str, str | None]) -> Tls | None:
    certificate, key = settings["serve_tls_cert"], settings["serve_tls_key"]
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise UsageError("--tls-cert and --tls-key require each other", "use both options, or neither")
    from jitid.server.listen import server_context
    from jitid.server.service_limits import Tls

    return Tls(server_context(certificate, key), certificate, key)


def _run(cli: Invocation, plan: StartPlan) -> None:
    import resource

    from jitid.server.metrics import Metrics
    from jitid.server.supervisor import Supervisor, preload, route_paths

    preload()
    # A core dump of this process would contain secrets.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _raise_descriptors(plan.limits.connections)
    scheme = "https" if plan.tls else "http"
    names = [listener.getsockname() for listener in plan.tcp]
    addresses = [f"{scheme}://{_host(name[0])}:{name[1]}" for name in names]
    if plan.unix is not None:
        addresses.append(f"unix://{plan.unix.getsockname()}")

    def announce() -> None:
        output.print_message(f"jitid: listening on {' and '.join(addresses)}")

    cli.status = Supervisor(plan, Metrics(route_paths(plan), plan.workers), announce).run()


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _raise_descriptors(connections: int) -> None:
    """Raise the limit of open files of each process: one for each connection, and 256 for other uses."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    required = connections + 256
    if soft < required:
        with suppress(ValueError, OSError):
            resource.setrlimit(
                resource.RLIMIT_NOFILE,
                (required if hard == resource.RLIM_INFINITY else min(required, hard), hard),
            )


def _take_away(path: str, inode: int) -> None:
    """Remove the socket, unless another process has replaced it."""
    with suppress(OSError):
        if os.stat(path).st_ino == inode:
            os.unlink(path)
