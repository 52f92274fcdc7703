"""Each operation of the authority: what it takes, and the type of its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Self, TypeVar, dataclass_transform

Result = TypeVar("Result")


class Answering:
    """What `Operation[...]` returns: a base class and the type of the answer, as a class or as the text of one."""

    def __init__(self, base: type, result: object) -> None:
        self.base = base
        self.result = result

    def __mro_entries__(self, _bases: tuple[object, ...]) -> tuple[type, ...]:
        return (self.base,)


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Operation(Generic[Result]):
    """A frozen record of keyword arguments whose `Result` is the type of its answer.

    A dataclass each would do the same and cost every start more than the rest of the operation.
    """

    if not TYPE_CHECKING:

        def __class_getitem__(cls, result: object) -> Answering:
            # Generic aliases for all operations would take more than a millisecond of every start.
            return Answering(cls, result)

    def __init__(self, **values: object) -> None:
        names = type(self).__annotations__
        for name in names:
            if name in values:
                object.__setattr__(self, name, values.pop(name))
            elif not hasattr(type(self), name):
                raise TypeError(f"{type(self).__name__} needs {name}")
        if values:
            raise TypeError(f"{type(self).__name__} has no {', '.join(values)}")

    def replace(self, **values: object) -> Self:
        """Return the same operation with other values."""
        return type(self)(**{name: getattr(self, name) for name in type(self).__annotations__} | values)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in type(self).__annotations__)
        return f"{type(self).__name__}({values})"


class DirectoryOperation(Operation[Result]):
    """One on delegators and agents; they are in `delegator_operations.py`, and `directing.py` performs them."""


class PublicationOperation(Operation[Result]):
    """One on what is published; they are in `publication_operations.py`, and `publishing.py` performs them."""


class PolicyOperation(Operation[Result]):
    """One on policies and decisions; they are in `policy_operations.py`, and `judging.py` performs them."""


class UseOperation(Operation[Result]):
    """One on the use of credentials; they are in `use_operations.py`, and `using.py` performs them."""


class ApprovalOperation(Operation[Result]):
    """One on approvals; they are in `approval_operations.py`, and `approving.py` performs them."""


class TokenOperation(Operation[Result]):
    """One of the standard protocols on tokens; they are in `token_operations.py`, and `exchanging.py` performs them."""


class TargetOperation(Operation[Result]):
    """One on targets outside; they are in `target_operations.py`, and `provisioning.py` performs them."""


class AdoptionOperation(Operation[Result]):
    """One on adopted secrets; they are in `adopt_operations.py`, and `adopting.py` performs them."""


class CertificateOperation(Operation[Result]):
    """One on the X.509 authority; they are in `certificate_operations.py`, and `certifying.py` performs them."""


class AccessOperation(Operation[Result]):
    """One on who may ask; they are in `access_operations.py`, and `accessing.py` performs them."""
