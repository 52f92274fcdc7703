"""The systemd service of `jitid serve`, for this installation and this line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from jitid.authority.open_local import home_path
from jitid.cli.setup import installation
from jitid.config.effective import here
from jitid.config.settings import absolute, named
from jitid.errors import UsageError
from jitid.formats import systemd_unit

if TYPE_CHECKING:
    from jitid.cli.invocation import Invocation
    from jitid.config.effective import Config

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
    command, needs = installation.beginning(cli, config)
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
                f"{named(name).variable} is set here, and will not be where the service runs: "
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
                "a unit can be read by everybody, and the address of the ledger holds a password",
                "put it into the configuration: jitid config set ledger URL",
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
