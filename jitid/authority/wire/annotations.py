"""The types in the annotations of operations and records, also types that are imported for the type checker only."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

from jitid import capabilities
from jitid.operation.base import Answering, Operation
from jitid.values.declaration import AuthorityOnly, Bounds, Declared, FieldType


@lru_cache(maxsize=1)
def operations() -> Mapping[str, type[Operation[Any]]]:
    """Return all operations by their names: those of each `operations.py`, and `..._operations.py`, of a capability."""
    modules = [
        import_module(module.name)
        for folder in iter_modules(capabilities.__path__, "jitid.capabilities.")
        for module in iter_modules(import_module(folder.name).__path__, f"{folder.name}.")
        if module.name.endswith("operations")
    ]
    return {
        kind.__name__: kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type)
        and issubclass(kind, Operation)
        and kind.__module__ == module.__name__
        # A base class of operations is not an operation.
        and not kind.__subclasses__()
    }


class WireField(NamedTuple):
    """The declaration of a field, as far as it concerns requests and answers."""

    kind: Any
    """Its Python type."""
    type: FieldType[Any] | None = None
    """The type of its texts and numbers; None if it has none, or if nothing restricts them."""
    bounds: Bounds = Bounds()
    authority_only: bool = False


@lru_cache(maxsize=256)
def fields_of(cls: type) -> Mapping[str, WireField]:
    """Return the fields of a record or an operation, by their names in their order."""
    if issubclass(cls, Declared):
        return {
            name: WireField(
                _evaluated(cls, name), field.type, Bounds(field.least, field.most), field.authority_only
            )
            for name, field in cls.fields.items()
        }
    hints = get_type_hints(cls, globalns={}, localns=_names_in(cls.__module__), include_extras=True)
    return {name: _annotated(hints[name]) for name in cls.__annotations__}


def _evaluated(cls: type, name: str) -> Any:  # noqa: ANN401 - types have no common type
    owner = next(base for base in cls.__mro__ if name in vars(base).get("__annotations__", ()))
    return eval(vars(owner)["__annotations__"][name], {}, _names_in(owner.__module__))  # noqa: S307 - the text is an annotation in a module of jitid, no input


def _annotated(hint: Any) -> WireField:  # noqa: ANN401 - as above
    if get_origin(hint) is not Annotated:
        return WireField(hint)
    kind, *details = get_args(hint)
    return WireField(
        kind,
        next((each for each in details if isinstance(each, FieldType)), None),
        next((each for each in details if isinstance(each, Bounds)), Bounds()),
        any(isinstance(each, AuthorityOnly) for each in details),
    )


def result_of(operation: type[Operation[Any]]) -> Any:  # noqa: ANN401 - types have no common type
    """Return the type of an operation's answer."""
    base: Answering = operation.__orig_bases__[0]  # type: ignore[attr-defined] # set by `Answering.__mro_entries__`, which mypy cannot follow
    if not isinstance(base.result, str):
        return base.result
    return eval(base.result, {}, _names_in(operation.__module__))  # noqa: S307 - the text is an annotation in a module of jitid, no input


class _Names(dict[str, Any]):
    """The names of a module. Imports for the type checker only are loaded when they are first looked up."""

    def __init__(self, module: str) -> None:
        super().__init__(vars(sys.modules[module]))
        self._elsewhere = dict(_typing_imports(str(sys.modules[module].__file__)))

    def __missing__(self, name: str) -> Any:  # noqa: ANN401 - names stand for anything
        module, original = self._elsewhere[name]
        self[name] = member = getattr(import_module(module), original)
        return member


@lru_cache(maxsize=256)
def _names_in(module: str) -> dict[str, Any]:
    return _Names(module)


_BLOCK = re.compile(r"^if TYPE_CHECKING:\n((?:    .*\n|\n)+)", re.MULTILINE)
_IMPORT = re.compile(r"^    from ([\w.]+) import (?:\(([^)]*)\)|(.*))$", re.MULTILINE)


def _typing_imports(path: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield a file's imports for the type checker only: the name, and the module and name that it stands for."""
    with open(path, encoding="utf-8") as file:
        source = file.read()
    # Not by `ast`: parsing a module would take as long as importing it.
    for block in _BLOCK.findall(source):
        for module, listed, line in _IMPORT.findall(block):
            for name in re.sub(r"#.*", "", listed or line).split(","):
                if name.strip():
                    original, _, alias = name.strip().partition(" as ")
                    yield alias or original, (module, original)
