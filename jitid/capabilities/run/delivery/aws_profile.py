"""Deliver AWS sessions to the AWS SDKs and the AWS CLI: profiles that get their keys from a process."""

from __future__ import annotations

import shutil

from jitid.capabilities.run.delivery.delivery import Delivered, Files
from jitid.errors import StorageError

_CONFIG = "AWS_CONFIG_FILE"
_CREDENTIALS = "AWS_SHARED_CREDENTIALS_FILE"
_KEYS = "keys of "

_HIDDEN = frozenset(
    {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_SECURITY_TOKEN",
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_ROLE_ARN",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    }
)
"""The variables that the SDKs read before a profile: they would use other keys instead."""


class Profiles:
    """Profiles with the names of the sessions, and `default` for the first session.

    The keys come from `credential_process`, which reads them from a file in memory: the SDKs run it again when keys
    are about to expire, and then get the keys of the successor.
    """

    def __init__(self) -> None:
        self._files = Files()
        self._sections: dict[str, list[str]] = {}

    def put(self, delivered: Delivered) -> None:
        """Write the keys of a session for its profile. Raises StorageError if there is no `cat`."""
        printing = shutil.which("cat")
        if printing is None:
            raise StorageError(
                "`cat` is not in PATH: an AWS profile reads its keys with it", "add its folder to PATH"
            )
        path = self._files.write(_KEYS + delivered.name, delivered.text)
        lines = [f"credential_process = {printing} {path}"]
        lines += [
            f"{name} = {value}"
            for name in ("region", "endpoint_url")
            if isinstance(value := delivered.facts.get(name), str) and value.isprintable()
        ]
        is_known = delivered.name in self._sections
        self._sections[delivered.name] = lines
        if not is_known:
            first_name = next(iter(self._sections))
            text = "".join(
                [
                    "\n".join([f"[{heading}]", *section, ""])
                    for name, section in self._sections.items()
                    for heading in (*(("default",) if name == first_name else ()), f"profile {name}")
                ]
            )
            self._files.write(_CONFIG, text)
            # The SDKs would read the user's own file first: an empty file replaces it.
            self._files.write(_CREDENTIALS, "")

    def environment(self) -> dict[str, str]:
        """Return the variables that lead to the profiles."""
        return {
            name: path for name, path in self._files.environment().items() if name in (_CONFIG, _CREDENTIALS)
        }

    def hidden(self) -> frozenset[str]:
        """Return the variables that contain other keys, or lead to other keys."""
        return _HIDDEN

    def close(self) -> None:
        """Delete the profiles."""
        self._files.close()


DELIVERY = Profiles
