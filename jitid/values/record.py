"""The base of records: named tuples that cost little until the first one is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

__all__ = ["Record"]

if TYPE_CHECKING:
    from typing import NamedTuple as Record
else:
    # `collections.namedtuple` makes its fields with it, too.
    from collections import _tuplegetter
    from types import MappingProxyType

    class _RecordType(type):
        """The type of records. It compiles no annotations, and `__new__` only for the first record of a class."""

        def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, object]) -> _RecordType:
            if bases != (tuple,) and "__new__" in namespace:
                raise TypeError(f"{name} has its own __new__, which the first record would replace")
            if "__annotations__" not in namespace:
                # `Record` itself, or a class that adds methods to a record.
                return type.__new__(cls, name, bases, {"__slots__": ()} | namespace)
            if bases != (Record,):
                raise TypeError(f"{name} extends a record, and may add methods but no fields")
            fields = tuple(namespace["__annotations__"])
            defaults = {field: namespace.pop(field) for field in fields if field in namespace}
            if tuple(defaults) != fields[len(fields) - len(defaults) :]:
                missing = next(
                    field for field in fields[fields.index(next(iter(defaults))) :] if field not in defaults
                )
                raise TypeError(f"{name}: {missing} has no default, after a field that has one")
            namespace |= {"__slots__": (), "_fields": fields, "_field_defaults": defaults}
            namespace["__match_args__"] = fields
            for index, field in enumerate(fields):
                namespace[field] = _tuplegetter(index, "")
            return type.__new__(cls, name, bases, namespace)

    class Record(tuple, metaclass=_RecordType):
        """A `typing.NamedTuple`, also for the type checker.

        A process defines up to a hundred kinds of records, and makes records of a few. `NamedTuple` compiles a text for
        each kind and for each annotation, which would be a tenth of the time of a command.
        """

        _fields = ()
        _field_defaults = MappingProxyType({})

        def __new__(cls, /, *args: object, **kwargs: object) -> Self:
            """Make the first record of a class; from then on, its fields are the parameters, in their order."""
            values = "".join(f"{name}, " for name in cls._fields)
            source = f"lambda _cls, {values}: _make(_cls, ({values}))"
            new = eval(source, {"_make": tuple.__new__})  # noqa: S307 - names of fields in jitid's modules, no input
            new.__defaults__ = tuple(cls._field_defaults.values())
            new.__qualname__ = new.__name__ = f"{cls.__name__}.__new__"
            cls.__new__ = staticmethod(new)
            return new(cls, *args, **kwargs)

        @classmethod
        def _make(cls, values: object) -> Self:
            """Return a record of the values of all fields in their order. Raises TypeError for another number."""
            record = tuple.__new__(cls, values)
            if len(record) != len(cls._fields):
                raise TypeError(
                    f"{cls.__name__} has {len(cls._fields)} fields, and there are {len(record)} values"
                )
            return record

        def _replace(self, /, **values: object) -> Self:
            """Return the same record with other values. Raises TypeError for a name that it does not have."""
            record = self._make(map(values.pop, self._fields, self))
            if values:
                raise TypeError(f"{type(self).__name__} has no {', '.join(values)}")
            return record

        def _asdict(self) -> dict[str, object]:
            """Return the values by the names of their fields."""
            return dict(zip(self._fields, self, strict=True))

        def __repr__(self) -> str:
            fields = ", ".join(f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
            return f"{type(self).__name__}({fields})"

        def __getnewargs__(self) -> tuple[object, ...]:
            return tuple(self)
