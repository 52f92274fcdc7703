"""A check of a setting before `config set` writes it: a value with which every command would fail is refused."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from jitid.authority.open_local import is_address
from jitid.config.effective import here
from jitid.config.settings import SETTINGS, convert
from jitid.errors import ConfigurationError, JitidError
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.config.effective import Config

OF_LEDGER = ("issuer", "trust_domain")
"""Settings that an existing ledger has already: with another value, no command opens it."""

_FILES = ("remote_ca", "remote_credential_file")


def check_setting(key: str, value: str) -> None:
    """Raise ConfigurationError for a value that is valid, and that no command could use."""
    if key not in SETTINGS:
        return
    path = convert(SETTINGS[key], value, f"`{key}`", here())
    if not isinstance(path, str):
        return
    try:
        if key == "policy":
            _check_policy(path)
        elif key == "ledger" and not is_address(path):
            _check_ledger(path.removeprefix("sqlite://"))
        elif key in _FILES and not (os.path.isfile(path) and os.access(path, os.R_OK)):
            raise ConfigurationError(f"{quote(path, 200)} is not a file that this user can read")
    except JitidError as error:
        message = error.message.removesuffix("; nothing was changed")
        raise ConfigurationError(f"`{key}`: {message}; nothing was changed", error.hint) from error


def check_with_ledger(config: Config, key: str) -> None:
    """Raise ConfigurationError if the ledger of a configuration has another issuer or trust domain.

    A ledger that cannot be opened for another reason is not compared.
    """
    from jitid.authority.open import open_if_there

    try:
        authority = None if config.remote is not None else open_if_there(config)
    except ConfigurationError as error:
        raise ConfigurationError(f"`{key}`: {error.message}; nothing was changed", error.hint) from error
    except JitidError:
        return
    if authority is not None:
        authority.close()


def _check_policy(path: str) -> None:
    from jitid.config.policy_files import read_policy
    from jitid.policy.evaluate import Policy

    files = read_policy(path)
    if not files:
        raise ConfigurationError(
            f"the folder {quote(path, 200)} has no policy: every request would be denied",
            "to begin with an example: jitid policy init DIR",
        )
    Policy(files)


def _check_ledger(path: str) -> None:
    from jitid.ledger.sqlite import folder

    names = folder.content(path)
    if names:
        folder.check_whole(path, names)
        return
    parent = os.path.dirname(path.rstrip("/"))
    while parent and not os.path.lexists(parent):
        parent = os.path.dirname(parent)
    if not os.path.isdir(parent) or not os.access(parent, os.W_OK | os.X_OK):
        raise ConfigurationError(f"{quote(path, 200)} does not exist, and this user cannot create it")
