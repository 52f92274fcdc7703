"""The page about the files of agents names the places, the variables and the limits of the code."""

from __future__ import annotations

import re

from jitid.capabilities.scan import agent_places, agent_records, scrub
from jitid.capabilities.scan.hits import AgentContext
from tests.man.source import items, macros, plain, read, section

PAGE = read("jitid-agent-files.7")


def test_every_place_of_every_agent_is_named_and_no_other() -> None:
    named = {name: _paths(text) for name, text in items(section(PAGE, "PLACES")).items()}
    expected: dict[str, set[str]] = {agent_places.PROJECT: set(agent_places.PROJECT_FILES)}
    for place in agent_places.PLACES:
        path = "/".join(filter(None, (agent_places._BASES[place.base], place.path)))
        expected.setdefault(place.client, set()).add(path)
    assert named == expected


def _paths(text: str) -> set[str]:
    """Return the paths of an item; it may list files, and then the folders that have each of them."""
    files, in_each, folders = text.partition("in each of")
    if not in_each:
        return set(macros(text, "Pa"))
    return {f"{folder}/{file}" for folder in macros(folders, "Pa") for file in macros(files, "Pa")}


def test_every_variable_that_replaces_a_folder_is_named() -> None:
    bases = {base.removeprefix("$") for base in agent_places._BASES} - {agent_places.HOME}
    assert set(macros(section(PAGE, "PLACES"), "Ev")) == bases


def test_every_field_of_a_session_is_explained() -> None:
    assert set(items(section(PAGE, "DESCRIPTION"))) == set(AgentContext._fields)


def test_the_limits_are_those_of_the_code() -> None:
    text = plain(PAGE).replace("\n", " ")
    assert f"in the last {scrub.QUIET} seconds" in text
    assert f"at most {agent_records._LONGEST_COMMAND} characters" in text
    assert f"at most {agent_places.MOST_PROJECTS:,}:" in text


def test_each_source_names_what_was_looked_at() -> None:
    """A place without a source would be a guess."""
    assert all(
        re.search(r"\d+\.\d+\.\d+, |published readers|documentation|\(1\)|dotenv", place.source)
        for place in agent_places.PLACES
    )
