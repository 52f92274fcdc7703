"""Declared fields: the type of each, its option or argument, its help and its default are stated once.

A field without flags and without a placeholder belongs to an operation only, and has no place on the command line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, Literal, TypeVar, dataclass_transform, overload

T = TypeVar("T")
D = TypeVar("D")

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
    """A type of values: its parser, its placeholder and completion, and its form in a request over the network."""

    __slots__ = ("_words", "check", "direction", "metavar", "parse", "schema", "sources")

    def __init__(
        self,
        parse: Callable[[str, str], T],
        metavar: str,
        check: Callable[[Any], T],
        schema: Mapping[str, Any],
        *,
        words: Sequence[str] | Callable[[], Sequence[str]] = (),
        sources: tuple[Source, ...] = (),
        direction: Literal[-1, 0, 1] = 0,
    ) -> None:
        """`words` are fixed candidates, or a function that returns them if listing them loads modules."""
        self.parse = parse
        """Returns the value of a text from the command line; gets the field's label too. Raises UsageError."""
        self.metavar = metavar
        self.check = check
        """Returns the value to store for one in a request. Raises UsageError."""
        self.schema = schema
        """The part of the check that JSON Schema can express."""
        self.sources = sources
        self.direction = direction
        """Of a time: -1 if a duration on the command line is one ago, 1 if it is one from now; otherwise 0."""
        self._words = words

    @property
    def words(self) -> tuple[str, ...]:
        """The fixed candidates."""
        return tuple(self._words() if callable(self._words) else self._words)


class Field:
    """One declared field."""

    __slots__ = (
        "absent",
        "authority_only",
        "default",
        "env",
        "flags",
        "help",
        "least",
        "local",
        "many",
        "metavar",
        "most",
        "name",
        "type",
        "verb_refuses_tokens",
    )

    def __init__(
        self,
        type_: FieldType[Any] | None,
        flags: tuple[str, ...] = (),
        help_: str = "",
        *,
        metavar: str | None = None,
        env: str | None = None,
        many: bool = False,
        default: object = _REQUIRED,
        absent: object = _REQUIRED,
        verb_refuses_tokens: bool = False,
        least: int = 0,
        most: int | None = None,
        authority_only: bool = False,
    ) -> None:
        self.name = ""
        """The name of the attribute, set when the class is created."""
        self.type = type_
        """The type of the value, or of each of several values; None for a flag, and for a record."""
        self.flags = flags
        """The names of the option; empty for an argument."""
        self.help = help_
        """The sentence for users; empty for a field that has no place on the command line."""
        self.metavar = metavar or (type_.metavar if type_ is not None else None)
        """The placeholder of the value; None for a flag."""
        self.least = least
        """The minimum number of several values in a request."""
        self.most = most
        """The maximum number of several values in a request; None for the usual one."""
        self.authority_only = authority_only
        """Whether only the authority sets it: a request from a client does not have it."""
        self.local = False
        """Whether only its verb reads it: a request from a client does not have it."""
        self.env = env
        """The environment variable that sets it."""
        self.many = many
        self.default = default
        """The value of a record that is made without one."""
        self.absent = default if absent is _REQUIRED else absent
        """The value for a line that states none."""
        if self.absent is _REQUIRED and not (flags or help_):
            # A line has no place for it: the verb's function makes it, and fails with None if it does not.
            self.absent = None
        self.verb_refuses_tokens = verb_refuses_tokens
        """Whether the verb itself refuses a token in place of a file, with a hint; else the parser refuses it."""

    @property
    def is_option(self) -> bool:
        """Whether a command line states it by an option."""
        return bool(self.flags)

    @property
    def is_argument(self) -> bool:
        """Whether a command line states it by its position."""
        return bool(self.help) and not self.flags

    @property
    def required(self) -> bool:
        """Whether a record, and a request from a client, must have a value."""
        return self.default is _REQUIRED

    @property
    def stated(self) -> bool:
        """Whether a line must state a value."""
        return self.absent is _REQUIRED

    @property
    def label(self) -> str:
        """The name of the field in messages: the long name of its option, or its placeholder."""
        long = next((name for name in self.flags if name.startswith("--")), None)
        return f"`{long or (self.metavar or '').strip('[].')}`"


def _field(*values: Any, **options: Any) -> Any:
    return Field(*values, **options)


@overload
def opt(
    type_: FieldType[T],
    *flags: str,
    help: str,
    default: None = ...,
    metavar: str | None = ...,
    env: str | None = ...,
) -> T | None: ...


@overload
def opt(
    type_: FieldType[T], *flags: str, help: str, default: T, metavar: str | None = ..., env: str | None = ...
) -> T: ...


@overload
def opt(
    type_: FieldType[T], *flags: str, help: str, absent: T, metavar: str | None = ..., env: str | None = ...
) -> T: ...


def opt(
    type_: FieldType[Any],
    *flags: str,
    help: str,
    default: object = _REQUIRED,
    absent: object = None,
    metavar: str | None = None,
    env: str | None = None,
) -> Any:
    """Declare an option with one value.

    A line without it has the default, or else `absent`; a request from a client without a default must state it.
    """
    absent = absent if default is _REQUIRED else default
    return Field(type_, flags, help, metavar=metavar, env=env, default=default, absent=absent)


def required_opt(type_: FieldType[T], *flags: str, help: str, metavar: str | None = None) -> T:
    """Declare an option with one value that a line must state."""
    return _field(type_, flags, help, metavar=metavar)


def opts(
    type_: FieldType[T],
    *flags: str,
    help: str,
    default: tuple[T, ...] = _REQUIRED,
    metavar: str | None = None,
    env: str | None = None,
    least: int = 0,
    most: int | None = None,
) -> tuple[T, ...]:
    """Declare a repeatable option, empty for a line without it; in `env` its values have blanks between them."""
    return _field(
        type_,
        flags,
        help,
        metavar=metavar,
        env=env,
        many=True,
        default=default,
        absent=(),
        least=least,
        most=most,
    )


def flag(*flags: str, help: str, default: bool = _REQUIRED) -> bool:
    """Declare an option without a value: True for a line with it, or False if the default is True."""
    return _field(None, flags, help, default=default, absent=False if default is _REQUIRED else default)


def arg(type_: FieldType[T], metavar: str, *, help: str, verb_refuses_tokens: bool = False) -> T:
    """Declare a required argument."""
    return _field(type_, (), help, metavar=metavar, verb_refuses_tokens=verb_refuses_tokens)


def optional_arg(
    type_: FieldType[T],
    metavar: str,
    *,
    help: str,
    default: T | None = _REQUIRED,
    verb_refuses_tokens: bool = False,
) -> T | None:
    """Declare an argument that may be absent: then it has the value None."""
    return _field(
        type_,
        (),
        help,
        metavar=metavar,
        default=default,
        absent=None,
        verb_refuses_tokens=verb_refuses_tokens,
    )


def args(
    type_: FieldType[T],
    metavar: str,
    *,
    help: str,
    default: tuple[T, ...] = _REQUIRED,
    required: bool = False,
    verb_refuses_tokens: bool = False,
    least: int = 0,
    most: int | None = None,
) -> tuple[T, ...]:
    """Declare any number of arguments, or at least one if `required`."""
    return _field(
        type_,
        (),
        help,
        metavar=metavar,
        many=True,
        default=default,
        absent=_REQUIRED if required else (),
        verb_refuses_tokens=verb_refuses_tokens,
        least=least,
        most=most,
    )


@overload
def value(type_: FieldType[T]) -> T: ...


@overload
def value(type_: FieldType[T], *, default: D) -> T | D: ...


def value(type_: FieldType[Any], *, default: object = _REQUIRED) -> Any:
    """Declare a value that has no place on the command line."""
    return Field(type_, default=default)


def computed(type_: FieldType[T], *, absent: T, default: T | None = _REQUIRED) -> T:
    """Declare a value that the verb computes, such as from local options.

    A line has `absent`, which must refuse: a verb that forgets the value then does nothing, and not too much.
    """
    return _field(type_, absent=absent, default=default)


def values(
    type_: FieldType[T], *, default: tuple[T, ...] = _REQUIRED, least: int = 0, most: int | None = None
) -> tuple[T, ...]:
    """Declare several values that have no place on the command line; a request has `least` to `most` of them."""
    return _field(type_, many=True, default=default, least=least, most=most)


def records(*, default: tuple[T, ...] = _REQUIRED, least: int = 0, most: int | None = None) -> tuple[T, ...]:
    """Declare several records; a request has `least` to `most` of them."""
    return _field(None, many=True, default=default, least=least, most=most)


def leaves(type_: FieldType[Any] | None, *, default: object = _REQUIRED, most: int | None = None) -> Any:
    """Declare a value whose texts or numbers, nested in any way, have a type."""
    return Field(type_, many=True, default=default, most=most)


def local(field: T) -> T:
    """Declare an option or an argument that only the verb reads: a request from a client does not have it."""
    declared: Any = field
    declared.local = True
    declared.default = declared.absent if not declared.stated else () if declared.many else None
    return field


def authority_only(*, default: T) -> T:
    """Declare a value that only the authority sets, such as a restriction to the caller's own objects."""
    return _field(None, default=default, authority_only=True)


class Bounds:
    """The permitted number of values of a record's field, in the annotation of the field."""

    __slots__ = ("least", "most")

    def __init__(self, least: int = 0, most: int | None = None) -> None:
        self.least = least
        self.most = most


class AuthorityOnly:
    """In the annotation of a record's field: only the authority sets it."""


@dataclass_transform(
    kw_only_default=True,
    frozen_default=True,
    field_specifiers=(
        opt,
        required_opt,
        opts,
        flag,
        arg,
        optional_arg,
        args,
        value,
        computed,
        values,
        records,
        leaves,
        authority_only,
    ),
)
class Declared:
    """A frozen record of declared fields.

    Dataclasses would do the same, but creating them would dominate the start time of a command.
    """

    fields: ClassVar[Mapping[str, Field]] = {}
    """The declared fields by name, in their order; those of base classes come first."""

    def __init_subclass__(cls) -> None:
        own = {}
        for name, annotation in vars(cls).get("__annotations__", {}).items():
            if str(annotation).startswith("ClassVar"):
                continue
            field = vars(cls).get(name, _REQUIRED)
            if not isinstance(field, Field):
                # A record, a secret, a yes or no: the annotation says all.
                field = Field(None, default=field)
            field.name = name
            own[name] = field
            if not field.required:
                setattr(cls, name, field.default)
            elif name in vars(cls):
                delattr(cls, name)
        for name, member in vars(cls).items():
            if isinstance(member, Field):
                raise TypeError(f"{cls.__name__}.{name} needs an annotation, which makes it a field")
        bases = [base.fields for base in cls.__bases__ if issubclass(base, Declared)]
        cls.fields = {name: field for fields in (*bases, own) for name, field in fields.items()}
        for name in cls.fields.keys() - own.keys():
            if name in vars(cls):
                raise TypeError(f"{cls.__name__}.{name} is a field already, and needs an annotation, too")

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
