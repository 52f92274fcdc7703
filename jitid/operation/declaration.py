"""Declared fields: the type of each, its option or argument, its help and its default are stated once.

A field without flags and without a placeholder belongs to an operation only, and has no place on the command line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, Literal, TypeVar, dataclass_transform, overload

T = TypeVar("T")

# Each specifier returns the field, and type checkers see the type of its value.
# mypy: no-warn-return-any
# ruff: noqa: ANN401

# `help` is the name of the parameter in Typer and in argparse.
# ruff: noqa: A002

Source = Literal[
    "ids",
    "tasks",
    "agents",
    "records",
    "delegators",
    "known",
    "keys",
    "approvals",
    "access",
    "adopted",
    "leaks",
    "kinds",
    "files",
    "folders",
    "command",
    "setting",
]
"""A source of candidates for completion: names from the ledger, paths, or a nested command line."""

_REQUIRED: Any = object()


class FieldType(Generic[T]):
    """A type of values: its parser and its placeholder, and the candidates for its completion."""

    __slots__ = ("_words", "metavar", "parse", "sources")

    def __init__(
        self,
        parse: Callable[[str, str], T],
        metavar: str,
        *,
        words: Sequence[str] | Callable[[], Sequence[str]] = (),
        sources: tuple[Source, ...] = (),
    ) -> None:
        """`words` are fixed candidates, or a function that returns them if listing them loads modules."""
        self.parse = parse
        """Returns the value of a text from the command line; gets the field's label too. Raises UsageError."""
        self.metavar = metavar
        self.sources = sources
        self._words = words

    @property
    def words(self) -> tuple[str, ...]:
        """The fixed candidates."""
        return tuple(self._words() if callable(self._words) else self._words)


class Field:
    """One declared field."""

    __slots__ = ("default", "env", "flags", "help", "many", "metavar", "name", "type", "verb_refuses_tokens")

    def __init__(
        self,
        type_: FieldType[Any] | None,
        flags: tuple[str, ...],
        help_: str,
        *,
        metavar: str | None = None,
        env: str | None = None,
        many: bool = False,
        default: object = _REQUIRED,
        verb_refuses_tokens: bool = False,
    ) -> None:
        self.name = ""
        """The name of the attribute, set when the class is created."""
        self.type = type_
        """The type of the value, or of each of several values; None for a flag."""
        self.flags = flags
        """The names of the option; empty for an argument."""
        self.help = help_
        self.metavar = metavar or (type_.metavar if type_ is not None else None)
        """The placeholder of the value; None for a flag."""
        self.env = env
        """The environment variable that sets it."""
        self.many = many
        self.default = default
        self.verb_refuses_tokens = verb_refuses_tokens
        """Whether the verb itself refuses a token in place of a file, with a hint; else the parser refuses it."""

    @property
    def required(self) -> bool:
        """Whether the field has no default."""
        return self.default is _REQUIRED

    @property
    def label(self) -> str:
        """The name of the field in messages: the long name of its option, or its placeholder."""
        long = next((name for name in self.flags if name.startswith("--")), None)
        return f"`{long or (self.metavar or '').strip('[].')}`"


def _field(*values: Any, **options: Any) -> Any:
    return Field(*values, **options)


@overload
def opt(
    type_: FieldType[T], *flags: str, help: str, metavar: str | None = ..., env: str | None = ...
) -> T | None: ...


@overload
def opt(
    type_: FieldType[T], *flags: str, help: str, default: T, metavar: str | None = ..., env: str | None = ...
) -> T: ...


def opt(
    type_: FieldType[Any],
    *flags: str,
    help: str,
    default: object = None,
    metavar: str | None = None,
    env: str | None = None,
) -> Any:
    """Declare an option with one value; it has the value None unless it is stated."""
    return Field(type_, flags, help, metavar=metavar, env=env, default=default)


def opts(
    type_: FieldType[T], *flags: str, help: str, metavar: str | None = None, env: str | None = None
) -> tuple[T, ...]:
    """Declare a repeatable option; in `env` its values have blanks between them."""
    return _field(type_, flags, help, metavar=metavar, env=env, many=True, default=())


def flag(*flags: str, help: str) -> bool:
    """Declare an option without a value."""
    return _field(None, flags, help, default=False)


def arg(type_: FieldType[T], metavar: str, *, help: str, verb_refuses_tokens: bool = False) -> T:
    """Declare a required argument."""
    return _field(type_, (), help, metavar=metavar, verb_refuses_tokens=verb_refuses_tokens)


def optional_arg(
    type_: FieldType[T], metavar: str, *, help: str, verb_refuses_tokens: bool = False
) -> T | None:
    """Declare an argument that may be absent."""
    return _field(type_, (), help, metavar=metavar, default=None, verb_refuses_tokens=verb_refuses_tokens)


def args(
    type_: FieldType[T],
    metavar: str,
    *,
    help: str,
    required: bool = False,
    verb_refuses_tokens: bool = False,
) -> tuple[T, ...]:
    """Declare any number of arguments, or at least one if `required`."""
    return _field(
        type_,
        (),
        help,
        metavar=metavar,
        many=True,
        default=_REQUIRED if required else (),
        verb_refuses_tokens=verb_refuses_tokens,
    )


@dataclass_transform(
    kw_only_default=True,
    frozen_default=True,
    field_specifiers=(opt, opts, flag, arg, optional_arg, args),
)
class Declared:
    """A frozen record of declared fields.

    Dataclasses would do the same, but creating them would dominate the start time of a command.
    """

    fields: ClassVar[Mapping[str, Field]] = {}
    """The declared fields by name, in their order; those of base classes come first."""
    verb: ClassVar[str] = ""
    """The words of its verb on the command line; empty if it has none."""
    effect: ClassVar[str] = ""
    """`READS` if it changes nothing."""
    changes_with: ClassVar[tuple[str, ...]] = ()
    """Names of the fields that make a reading verb change data."""
    runs_command: ClassVar[bool] = False
    """Whether the last words of its line are another command, passed on unchanged."""

    def __init_subclass__(cls) -> None:
        own = {}
        for name, field in list(vars(cls).items()):
            if not isinstance(field, Field):
                continue
            field.name = name
            own[name] = field
            if field.required:
                delattr(cls, name)
            else:
                setattr(cls, name, field.default)
        cls.fields = {**cls.fields, **own}

    def __init__(self, **values: object) -> None:
        for name, field in self.fields.items():
            if name in values:
                object.__setattr__(self, name, values.pop(name))
            elif field.required:
                raise TypeError(f"{type(self).__name__} needs {name}")
        if values:
            raise TypeError(f"{type(self).__name__} has no {', '.join(values)}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.fields)
        return f"{type(self).__name__}({values})"


READS = "reads"
