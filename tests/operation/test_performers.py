"""Each operation is performed by the module next to its definition."""

from __future__ import annotations

import sys
from typing import Any, get_args

import pytest

from jitid.authority.wire.annotations import fields_of, operations
from jitid.operation.base import Operation, performer

MODULES = sorted({kind.__module__ for kind in operations().values()})


@pytest.mark.parametrize("name", MODULES)
def test_a_module_performs_all_operations_that_its_neighbour_defines(name: str) -> None:
    """The type checker ensures that a `perform` handles all members of `AnyOperation`."""
    defined = {kind for kind in operations().values() if kind.__module__ == name}
    union: Any = vars(sys.modules[name]).get("AnyOperation")
    assert union is None or set(get_args(union) or (union,)) == defined
    for kind in defined:
        perform: Any = performer(kind)
        assert perform.__annotations__["operation"] in ("ops.AnyOperation", f"ops.{kind.__name__}")
        assert perform.__globals__["ops"] is sys.modules[name]


def test_whether_an_operation_is_slow_is_no_field_of_it() -> None:
    slow: list[Any] = [kind for kind in operations().values() if kind.slow]
    assert slow
    assert not [kind for kind in slow if "slow" in fields_of(kind)]
    assert not Operation.slow
