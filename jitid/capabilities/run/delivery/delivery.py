"""The interface of each way to deliver a secret, its input, and the choice of the way for a kind.

The usual way: files in memory, one for the whole secret and one for each of its parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol

from jitid.capabilities.run.token_place import TokenPlace, open_place
from jitid.errors import UsageError
from jitid.issuers.issuer import spec_of
from jitid.model.credential import base_kind
from jitid.values.record import Record
from jitid.values.secret import Secret
from jitid.values.text import label, quote


class Delivered(Record):
    """A secret of a run, by the name that the run has for it."""

    name: str
    kind: str
    secret: Secret
    facts: Mapping[str, Any]
    """Further facts from its issuer or target; never a secret."""
    expires_at: int
    """Seconds since the epoch."""
    text: str
    """The whole secret as one text, as `jitid issue` prints it."""
    beside: Mapping[str, str] = {}
    """Further texts that its user needs and that are not secret: trust anchors."""


class Delivery(Protocol):
    """A way to deliver secrets; one object delivers all secrets of a run in this way."""

    def put(self, delivered: Delivered) -> None:
        """Make a secret available to its user, instead of an earlier one of that name.

        Raises StorageError, RefusedError, UsageError; the earlier one then stays available.
        """

    def environment(self) -> dict[str, str]:
        """Return the variables by which a command finds the secrets; they stay valid when a secret is replaced."""

    def hidden(self) -> frozenset[str]:
        """Return the variables that would lead the command to other secrets."""

    def close(self) -> None:
        """Remove all of it; raise no error."""


def own_way(kind: str, facts: Mapping[str, Any]) -> type[Delivery] | None:
    """Return how secrets of a kind are delivered besides as files; None if files are all.

    `facts` are those of the credential: a Kubernetes cluster that accepts it, for one.
    """
    spec = spec_of(base_kind(kind))
    if spec.delivery is None or (spec.delivery_fact is not None and spec.delivery_fact not in facts):
        return None
    delivery_class: type[Delivery] = import_module(
        f"jitid.capabilities.run.delivery.{spec.delivery}"
    ).DELIVERY
    return delivery_class


PREFIX = "JITID_SECRET_"


class Files:
    """Files with secrets: `JITID_SECRET_NAME` names a whole secret, `JITID_SECRET_NAME_PART` a part of it.

    A file always has a complete text; after a renewal it has the text of the successor.
    """

    def __init__(self) -> None:
        self._places: dict[str, TokenPlace] = {}
        self._owners: dict[str, str] = {}
        """Variable -> name of the secret that its file belongs to."""

    def put(self, delivered: Delivered) -> None:
        """Write each text of a secret to its file. Raises UsageError if one variable would name two files."""
        texts = [(delivered.name, delivered.text)]
        if len(delivered.secret.names) > 1:
            texts += [
                (f"{delivered.name}_{part}", delivered.secret.reveal(part)) for part in delivered.secret.names
            ]
        texts += [(f"{delivered.name}_{name}", text) for name, text in delivered.beside.items()]
        variables = [(PREFIX + variable(name), text) for name, text in texts]
        for name, _ in variables:
            if self._owners.setdefault(name, delivered.name) != delivered.name:
                raise UsageError(
                    f"the secrets {quote(self._owners[name])} and {label(delivered.name)} would share "
                    f"the variable {name}",
                    "rename one of them",
                )
        if len(dict(variables)) != len(variables):
            raise UsageError(f"two parts of the secret {label(delivered.name)} would share one variable")
        for name, text in variables:
            self.write(name, text)

    def write(self, name: str, text: str) -> str:
        """Write a text to the file that has the name `name` here, and return its path."""
        file = self._places.get(name)
        if file is None:
            file = self._places[name] = open_place(None)
        # `TokenPlace.put` adds the line break.
        file.put(text.removesuffix("\n"))
        return file.path

    def environment(self) -> dict[str, str]:
        """Return the variables that name the files."""
        return {name: file.path for name, file in self._places.items()}

    def hidden(self) -> frozenset[str]:
        """Return no variable: no other program reads these."""
        return frozenset()

    def close(self) -> None:
        """Delete the files."""
        files, self._places = self._places, {}
        for file in files.values():
            file.close()


def variable(name: str) -> str:
    """Return a name in the characters of a variable."""
    return "".join(
        [character if character.isascii() and character.isalnum() else "_" for character in name]
    ).upper()
