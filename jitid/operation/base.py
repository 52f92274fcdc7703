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
    """An operation on delegators and agents: `capabilities/directory/` has them, and performs them."""


class PublicationOperation(Operation[Result]):
    """An operation on what is published for verifiers: `capabilities/trust/` has them, and performs them."""


class PolicyOperation(Operation[Result]):
    """An operation on policies and decisions: `capabilities/decisions/` has them, and performs them."""


class UseOperation(Operation[Result]):
    """An operation on the use of credentials: `capabilities/use/` has them, and performs them."""


class ApprovalOperation(Operation[Result]):
    """An operation on approvals: `capabilities/issue/` has them, and performs them."""


class TokenOperation(Operation[Result]):
    """An operation on tokens by the standard protocols: `capabilities/issue/` has them, and performs them."""


class TargetOperation(Operation[Result]):
    """An operation on targets outside: `capabilities/targets/` has them, and performs them."""


class AdoptionOperation(Operation[Result]):
    """An operation on adopted secrets: `capabilities/adopt/` has them, and performs them."""


class CertificateOperation(Operation[Result]):
    """An operation on the X.509 authority: `capabilities/trust/` has them, and performs them."""


class AccessOperation(Operation[Result]):
    """An operation on access to an authority: `capabilities/access/` has them, and performs them."""
