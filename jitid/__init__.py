"""Just-in-time identity for AI agents.

`import jitid` loads no other module: each name loads its module at its first use. See jitid-python(7).
"""

# Python itself has loaded these.
from _thread import RLock as _RLock
from os import register_at_fork as _register_at_fork
from sys import modules as _modules

# The module `typing` would be loaded; type checkers know this name.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from jitid.api.identity import Identity as Identity
    from jitid.api.new_identity import identity as identity
    from jitid.api.verified_token import VerifiedToken as VerifiedToken
    from jitid.api.verified_token import verify as verify
    from jitid.errors import ApprovalNeededError as ApprovalNeededError
    from jitid.errors import ConfigurationError as ConfigurationError
    from jitid.errors import ExpiredError as ExpiredError
    from jitid.errors import IntegrityError as IntegrityError
    from jitid.errors import InvalidCredentialError as InvalidCredentialError
    from jitid.errors import JitidError as JitidError
    from jitid.errors import NotFoundError as NotFoundError
    from jitid.errors import PartialError as PartialError
    from jitid.errors import PolicyDeniedError as PolicyDeniedError
    from jitid.errors import RefusedError as RefusedError
    from jitid.errors import StorageError as StorageError
    from jitid.errors import UsageError as UsageError

__version__ = "0.1.0"

__all__ = [
    "ApprovalNeededError",
    "ConfigurationError",
    "ExpiredError",
    "Identity",
    "IntegrityError",
    "InvalidCredentialError",
    "JitidError",
    "NotFoundError",
    "PartialError",
    "PolicyDeniedError",
    "RefusedError",
    "StorageError",
    "UsageError",
    "VerifiedToken",
    "identity",
    "verify",
]


_loading = _RLock()
"""Held while a name loads its modules: a fork meanwhile would leave their locks taken in the forked process."""


def _before_fork() -> None:
    _loading.acquire()
    # The first use of a name may have loaded it during the wait.
    while (forks := _modules.get("jitid.api.forks")) is not None and not forks.is_prepared():
        _loading.release()
        forks.prepare()
        _loading.acquire()


def _after_fork() -> None:
    try:
        _loading.release()
    except RuntimeError:
        # An interrupt has ended the preparation.
        return


_register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


def __getattr__(name: str) -> object:
    """Return a public name from the module that has it. Raises AttributeError for any other name."""
    if name not in __all__:
        raise AttributeError(f"module 'jitid' has no attribute {name!r}")
    from importlib import import_module

    module = {
        "Identity": "api.identity",
        "VerifiedToken": "api.verified_token",
        "identity": "api.new_identity",
        "verify": "api.verified_token",
    }.get(name, "errors")
    with _loading:
        value: object = getattr(import_module(f"jitid.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
