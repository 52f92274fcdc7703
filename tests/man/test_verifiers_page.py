"""The page about verifiers: its matrix, differences and settings are those of the tests of the verifiers."""

from __future__ import annotations

import inspect
import re
from fnmatch import fnmatchcase

import pytest

from tests.man.source import displays, headings, items, plain, read, section
from tests.verifiers import inside, outside, piped, settings
from tests.verifiers.explained import EXPLAINED, NO_EDDSA, REASONS, patterns
from tests.verifiers.hostile import cases
from tests.verifiers.inside import INSIDE
from tests.verifiers.outside import NAMES
from tests.verifiers.piped import LATCHSET
from tests.verifiers.served import SERVERS

PAGE = read("jitid-verifiers.7")
VERIFIERS = [name for name in (*INSIDE, *NAMES, *SERVERS, LATCHSET) if name != "jitid"]


def test_the_matrix_is_that_of_the_tests() -> None:
    tokens = [case.name for case in cases("ES256", 1_795_521_600)]
    rows = [
        plain(row).split(" Ta ") for row in re.findall(r"^\.It (.+)$", section(PAGE, "MATRIX"), re.MULTILINE)
    ]
    expected = []
    for verifier in VERIFIERS:
        differing = [
            name for name in tokens if any(fnmatchcase(name, each) for each in patterns(verifier, "ES256"))
        ]
        eddsa = "no" if verifier in NO_EDDSA else "yes"
        expected.append([verifier, eddsa, "yes", "yes", f"{len(differing)} of {len(tokens)}"])
    assert rows[1:] == expected


def test_each_verifier_has_its_settings_and_differences() -> None:
    assert headings(section(PAGE, "VERIFIERS")) == VERIFIERS
    for verifier in VERIFIERS:
        text = section(PAGE, verifier, "Ss")
        (told,) = re.findall(r"^Differences: ([^.]+)\.$", text, re.MULTILINE)
        assert plain(told).replace("\n", " ").split(", ") == list(EXPLAINED[verifier])
        assert ("does not accept EdDSA" in text) == (verifier in NO_EDDSA)


@pytest.mark.parametrize("verifier", VERIFIERS)
def test_the_settings_are_those_that_were_tried(verifier: str) -> None:
    """Each line of a display is a line of the test, apart from its indentation."""
    modules = (inside, outside, settings, piped)
    tried = {line.strip() for module in modules for line in inspect.getsource(module).splitlines()}
    (display,) = displays(section(PAGE, verifier, "Ss"))
    for line in display.splitlines():
        # In a Python string, a backslash is written twice.
        assert line.strip() in tried or line.strip().replace("\\", "\\\\") in tried, line


def test_each_difference_is_described() -> None:
    described = items(section(PAGE, "DIFFERENCES"))
    assert list(described) == list(REASONS)
    for name, text in described.items():
        words = plain(re.sub(r"^\.Li (\S+)$", r"`\1`", text, flags=re.MULTILINE))
        assert re.sub(r"[\s`]+", "", words) == re.sub(r"[\s`]+", "", REASONS[name])
