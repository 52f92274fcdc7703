"""Each operation is performed by the function of its name, in the module next to its definition."""

from __future__ import annotations

import inspect
import re
import sys
from typing import Any

import pytest

from jitid.authority.wire.codec import fields_of, operations
from jitid.operation.base import Operation, performer


@pytest.mark.parametrize("name", operations())
def test_an_operation_has_its_function_which_returns_its_answer(name: str) -> None:
    kind = operations()[name]
    function: Any = performer(kind)
    assert function.__globals__["ops"] is sys.modules[kind.__module__]
    signature = inspect.signature(function)
    annotations = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    assert annotations == {"context": "Context", "operation": f"ops.{name}"}
    answer: Any = kind.__orig_bases__[-1]  # type: ignore[attr-defined]
    result = answer.result if isinstance(answer.result, str) else answer.result.__name__
    # The name of a record may follow the name of its module: `ops.TaskRow`.
    assert re.sub(r"\w+\.", "", signature.return_annotation) == re.sub(r"\w+\.", "", result)


def test_whether_an_operation_is_slow_is_no_field_of_it() -> None:
    slow: list[Any] = [kind for kind in operations().values() if kind.slow]
    assert slow
    assert not [kind for kind in slow if "slow" in fields_of(kind)]
    assert not Operation.slow
