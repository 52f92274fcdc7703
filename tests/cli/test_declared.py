"""The declarations of verbs: each names a function that takes its line, and the index finds each of them."""

from __future__ import annotations

import inspect
from importlib import import_module
from pkgutil import walk_packages
from typing import cast

import pytest

import jitid.cli
from jitid.authority.wire.codec import fields_of, operations
from jitid.cli.invocation import Invocation
from jitid.cli.verbs import all_verbs
from jitid.operation.base import Operation, Verb


@pytest.mark.parametrize("verb", [name for name, verb in all_verbs().items() if verb.function])
def test_the_function_of_a_verb_takes_its_line(verb: str) -> None:
    command = all_verbs()[verb]
    module, name = command.function.split(":")
    function = getattr(import_module(f"jitid.cli.{module}"), name)
    types = [
        parameter.annotation.rpartition(".")[2]
        for parameter in inspect.signature(function).parameters.values()
    ]
    assert types == [Invocation.__name__, *([command.__name__] if command.fields else [])]


def test_every_declared_verb_is_found() -> None:
    """A verb whose first word is not in the index could not be called."""
    declared = {
        each
        for name in walk_packages(jitid.cli.__path__, "jitid.cli.")
        if name.name.endswith("commands")
        for each in vars(import_module(name.name)).values()
        if inspect.isclass(each) and issubclass(each, Verb) and not issubclass(each, Operation)
    }
    with_verb = {operation for operation in operations().values() if operation.verb}
    assert {*declared, *with_verb} - {Verb} == set(all_verbs().values())


@pytest.mark.parametrize("verb", [name for name, verb in all_verbs().items() if not verb.function])
def test_a_verb_without_a_function_is_an_operation_with_a_view(verb: str) -> None:
    """Nothing could perform it, or show its answer, otherwise."""
    assert issubclass(all_verbs()[verb], Operation)
    assert all_verbs()[verb].view is not None


@pytest.mark.parametrize("verb", all_verbs())
def test_the_fields_of_a_verb_have_different_names(verb: str) -> None:
    """Two options of one name would hide each other."""
    flags = [flag for field in all_verbs()[verb].fields.values() for flag in field.flags]
    assert len(flags) == len({*flags})


@pytest.mark.parametrize("name", operations())
def test_the_authority_reads_no_local_field(name: str) -> None:
    """A field that only the verb reads must not decide whether the operation changes something."""
    local = {field for field, declared in operations()[name].fields.items() if declared.local}
    assert not local & {"dry_run", "accept_clock", "limit", "most"}
    assert not local & {*fields_of(cast("type", operations()[name]))}
    # The authority searches requests for tokens; a secret in a local field would not be among them.
    kinds = [vars(each).get("__annotations__", {}) for each in operations()[name].__mro__]
    assert not [field for field in local for kind in kinds if "Secret" in kind.get(field, "")]


@pytest.mark.parametrize(
    "name", [name for name, kind in operations().items() if "most" in kind.fields and kind.verb]
)
def test_a_verb_that_computes_no_limit_ends_nothing(name: str) -> None:
    """None would mean any number."""
    assert operations()[name].fields["most"].absent == 0
