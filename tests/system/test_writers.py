"""Which part of the path to a file other users can change, in the manner of sshd's StrictModes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jitid.system.files import changeable

NOBODY = 65_534


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a file in nested folders: a/b/c/program, which links elsewhere also reach.

    links/direct is a link to the file, links/folder to its folder, and links/relative is a relative link to the file.
    """
    folder = tmp_path / "a/b/c"
    folder.mkdir(parents=True)
    path = folder / "program"
    path.touch(0o755)
    links = tmp_path / "l/links"
    links.mkdir(parents=True)
    (links / "direct").symlink_to(path)
    (links / "folder").symlink_to(folder)
    (links / "relative").symlink_to("../../a/b/c/program")
    for each in (tmp_path, *tmp_path.rglob("*")):
        if not each.is_symlink():
            each.chmod(0o755)
    return tmp_path


WAYS = ("a/b/c/program", "l/links/direct", "l/links/folder/program", "l/links/relative")
ON_THE_WAY = {
    "a/b/c/program": {".", "a", "a/b", "a/b/c", "a/b/c/program"},
    **{way: {".", "a", "a/b", "a/b/c", "a/b/c/program", "l", "l/links"} for way in WAYS[1:]},
}
PLACES = (".", "a", "a/b", "a/b/c", "a/b/c/program", "l", "l/links")


@pytest.mark.parametrize("way", WAYS)
def test_a_way_that_only_root_and_the_caller_can_change_is_none(place: Path, way: str) -> None:
    assert changeable(str(place / way)) is None


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o722])
@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("way", WAYS)
def test_each_place_on_the_way_counts(place: Path, way: str, where: str, mode: int) -> None:
    """A user who can write to a folder can replace any of its entries."""
    opened = place / where
    opened.chmod(mode)
    found = changeable(str(place / way))
    assert found == (os.path.normpath(opened) if where in ON_THE_WAY[way] else None)


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("way", WAYS)
def test_each_owner_on_the_way_counts(place: Path, way: str, where: str) -> None:
    """An owner can always add the write permission."""
    owned = place / where
    os.chown(owned, NOBODY, -1)
    found = changeable(str(place / way))
    assert found == (os.path.normpath(owned) if where in ON_THE_WAY[way] else None)


@pytest.mark.parametrize("where", [each for each in PLACES if each != "a/b/c/program"])
def test_in_a_folder_with_the_sticky_bit_others_replace_nothing(place: Path, where: str) -> None:
    (place / where).chmod(stat.S_ISVTX | 0o777)
    for way in WAYS:
        assert changeable(str(place / way)) is None


@pytest.mark.parametrize("name", ["direct", "relative"])
def test_a_link_that_somebody_else_made_counts(place: Path, name: str) -> None:
    """In a folder with the sticky bit, any user can make a link, and only its owner can change its target."""
    link = place / "l/links" / name
    os.chown(link, NOBODY, -1, follow_symlinks=False)
    assert changeable(str(link)) == str(link)


def test_a_circle_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "x").symlink_to("y")
    (tmp_path / "y").symlink_to("x")
    with pytest.raises(OSError, match="too many links"):
        changeable(str(tmp_path / "x"))
    with pytest.raises(FileNotFoundError):
        changeable(str(tmp_path / "z"))


@settings(max_examples=60)
@given(
    modes=st.lists(st.sampled_from([0o755, 0o700, 0o775, 0o777, 0o1777, 0o757]), min_size=4, max_size=4),
    owners=st.lists(st.sampled_from([0, 0, 0, NOBODY]), min_size=4, max_size=4),
    dots=st.booleans(),
)
def test_it_agrees_with_what_another_user_can_do(
    modes: list[int], owners: list[int], dots: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The kernel's rule: a user needs write permission for the folder, and with the sticky bit also owns the file."""
    here = top = tmp_path_factory.mktemp("way")
    top.chmod(0o755)
    places = []
    for name in ("a", "b", "c"):
        here /= name
        here.mkdir()
        places.append(here)
    program = here / "program"
    program.touch()
    places.append(program)
    for each, mode, owner in zip(places, modes, owners, strict=True):
        each.chmod(mode & 0o777 if each == program else mode)
        os.chown(each, owner, 0)
    way = str(program).replace("/b/", "/./b/../b/") if dots else str(program)
    open_ = [
        each
        for each, mode, owner in zip(places, modes, owners, strict=True)
        if owner == NOBODY or (mode & 0o022 and not (mode & stat.S_ISVTX and each != program))
    ]
    assert changeable(way) == (str(open_[0]) if open_ else None)
