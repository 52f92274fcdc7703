"""A verb that runs another command line: that line is completed like a separate command."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.completion.shells import SHELLS, Completing, commands
from tests.generate import values
from tests.generate.tree import Argument, Option, Verb, tree
from tests.real import Shell


@pytest.fixture(scope="module", params=SHELLS)
def running(
    request: pytest.FixtureRequest, filled: Shell, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Completing]:
    """Start each shell with the script of a tree in which one verb runs another command line."""
    name, text, start = SHELLS[request.param]
    folder = tmp_path_factory.mktemp("running")
    root, *others = tree()
    verb = Verb(
        "launch",
        "Run a command.",
        (),
        (
            Option(("--task",), "NAME", "The task.", None, repeatable=False, sources=("tasks",)),
            Option(("--keep",), None, "Keep it.", None, False),
        ),
        (Argument("[CMD]...", "The command.", many=True, required=False, sources=("command",)),),
        (),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(values.FIELDS, "launch", ())
        script = folder / name
        script.write_text(text([root._replace(verbs=(*root.verbs, "launch")), *others, verb]))
    environment = {
        **filled.environment,
        "PATH": f"{commands(folder / 'bin')}:/usr/bin:/bin",
        "LANG": "C.UTF-8",
    }
    with start(script, filled.home, environment) as started:
        yield started


@pytest.mark.deep
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("jitid launch --ke", "jitid launch --keep"),
        ("jitid launch --task Z", "jitid launch --task ZED"),
        ("jitid launch mktem", "jitid launch mktemp"),
        ("jitid launch -- mktem", "jitid launch -- mktemp"),
        ("jitid launch --keep -- cat tok", "jitid launch --keep -- cat tokenfile"),
        ("jitid launch --task ZED cat tok", "jitid launch --task ZED cat tokenfile"),
    ],
)
def test_a_command_line_of_its_own(running: Completing, line: str, expected: str) -> None:
    assert running.completed(line).rstrip() == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("jitid launch jitid --vers", "jitid launch jitid --version"),
        ("jitid launch -- jitid task shar", "jitid launch -- jitid task share"),
        (
            "jitid launch --keep -- jitid list --task=INC:1",
            "jitid launch --keep -- jitid list --task=INC:1/a@b+c",
        ),
        ("jitid launch jitid launch -- jitid task shar", "jitid launch jitid launch -- jitid task share"),
    ],
)
def test_the_command_has_its_own_completion(
    request: pytest.FixtureRequest, running: Completing, line: str, expected: str
) -> None:
    if "bare" in request.node.callspec.params["running"]:
        # Only bash-completion can complete a command inside another.
        expected = line
    assert running.completed(line).rstrip() == expected
