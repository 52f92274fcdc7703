"""`completion install` writes the files where the shells look for them, and prints the steps that remain."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from jitid.errors import NotFoundError
from jitid.system import installed_files
from jitid.system.installed_files import Shipped
from tests.cli.completion import shells
from tests.generate.producers import ROOT
from tests.real import Shell, need, other_user, reachable

COMPLETIONS = {
    "bash": (".local/share/bash-completion/completions/jitid", "jitid.bash"),
    "zsh": (".local/share/zsh/site-functions/_jitid", "_jitid"),
    "fish": (".config/fish/completions/jitid.fish", "jitid.fish"),
}
EVERY = tuple(word for shell in COMPLETIONS for word in ("--shell", shell))


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return the command line of a user with an empty home."""
    home = tmp_path / "home"
    home.mkdir()
    return Shell(home)


def installed(shell: Shell, *words: str, more: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Install, and return the JSON document about it."""
    done = shell.run("completion", "install", "--format", "json", "--quiet", *words, more=more)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    assert document["schema"] == "jitid.completion-install/1"
    return document


def states(document: dict[str, Any]) -> dict[str, str]:
    """Return the state of each shell's completion file."""
    return {row["for"]: row["state"] for row in document["files"] if row["for"] != "man"}


def ours(shell: str) -> bytes:
    """Return the script of a shell in the repository."""
    return (ROOT / "completions" / COMPLETIONS[shell][1]).read_bytes()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_each_file_is_put_in_its_place_for_everybody_to_read(shell: Shell, umask: int) -> None:
    done = shell.run("completion", "install", *EVERY, umask=umask)
    assert done.returncode == 0, done.stderr
    for name, (place, _) in COMPLETIONS.items():
        path = shell.home / place
        assert path.read_bytes() == ours(name)
        assert path.stat().st_mode & 0o7777 == 0o644
        # Zsh refuses a folder that other users may write to.
        assert all(
            parent.stat().st_mode & 0o022 == 0
            for parent in path.relative_to(shell.home).parents
            for parent in [shell.home / parent]
        )


def test_doing_it_again_changes_nothing_and_brings_an_old_file_up_to_date(shell: Shell) -> None:
    assert set(states(installed(shell, *EVERY)).values()) == {"new"}
    before = {place: (shell.home / place).stat().st_ino for place, _ in COMPLETIONS.values()}
    assert set(states(installed(shell, *EVERY)).values()) == {"unchanged"}
    assert {place: (shell.home / place).stat().st_ino for place, _ in COMPLETIONS.values()} == before
    (shell.home / COMPLETIONS["zsh"][0]).write_text("#compdef jitid\n# generated from the command tree")
    assert states(installed(shell, *EVERY)) == {"bash": "unchanged", "zsh": "changed", "fish": "unchanged"}
    assert (shell.home / COMPLETIONS["zsh"][0]).read_bytes() == ours("zsh")


def test_it_is_for_the_shells_that_are_installed_and_the_one_in_use(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "fish").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "fish").chmod(0o755)
    more = {"PATH": str(tmp_path / "bin"), "SHELL": "/opt/bin/zsh"}
    assert states(installed(shell, more=more)).keys() == {"zsh", "fish"}
    done = shell.run("completion", "install", more={"PATH": "/nowhere", "SHELL": "/bin/sh"})
    assert done.returncode == 3
    assert "nothing was changed" in done.stderr


def test_the_xdg_folders_are_heeded(shell: Shell, tmp_path: Path) -> None:
    more = {"XDG_DATA_HOME": f"{tmp_path}/data", "XDG_CONFIG_HOME": f"{tmp_path}/etc", "MANPATH": ""}
    paths = [row["path"] for row in installed(shell, *EVERY, more=more)["files"] if row["for"] != "man"]
    assert paths == [
        f"{tmp_path}/data/bash-completion/completions/jitid",
        f"{tmp_path}/data/zsh/site-functions/_jitid",
        f"{tmp_path}/etc/fish/completions/jitid.fish",
    ]


@pytest.mark.parametrize("linked", [False, True])
def test_somebodys_own_file_is_left_as_it_is(shell: Shell, tmp_path: Path, *, linked: bool) -> None:
    path = shell.home / COMPLETIONS["fish"][0]
    path.parent.mkdir(parents=True)
    (tmp_path / "own").write_text("complete -c jitid")
    if linked:
        path.symlink_to(tmp_path / "own")
    else:
        path.write_text("complete -c jitid")
    done = shell.run("completion", "install", "--shell", "fish", "--shell", "bash")
    assert done.returncode == 9
    assert "is not from jitid; it was left unchanged" in done.stderr
    assert path.read_text() == "complete -c jitid"
    assert (shell.home / COMPLETIONS["bash"][0]).exists()


def test_a_link_at_the_place_is_replaced_and_what_it_led_to_is_kept(shell: Shell, tmp_path: Path) -> None:
    path = shell.home / COMPLETIONS["bash"][0]
    path.parent.mkdir(parents=True)
    (tmp_path / "precious").write_text("an old one, generated from the command tree")
    path.symlink_to(tmp_path / "precious")
    assert states(installed(shell, "--shell", "bash")) == {"bash": "changed"}
    assert not path.is_symlink()
    assert (tmp_path / "precious").read_text() == "an old one, generated from the command tree"


def test_a_link_to_the_same_text_stays(shell: Shell) -> None:
    path = shell.home / COMPLETIONS["bash"][0]
    path.parent.mkdir(parents=True)
    path.symlink_to(ROOT / "completions" / "jitid.bash")
    assert states(installed(shell, "--shell", "bash")) == {"bash": "unchanged"}
    assert path.is_symlink()


@pytest.mark.parametrize("obstacle", ["folder", "pipe"])
def test_what_cannot_be_replaced_is_told_and_the_rest_is_done(shell: Shell, obstacle: str) -> None:
    path = shell.home / COMPLETIONS["zsh"][0]
    path.parent.mkdir(parents=True)
    if obstacle == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    done = shell.run("completion", "install", *EVERY)
    assert done.returncode == 9
    assert f"{path}` is not a regular file; it was left unchanged" in done.stderr
    assert [line.split("\t")[2] for line in done.stdout.splitlines()][:3] == ["new", "failed", "new"]
    assert (shell.home / COMPLETIONS["fish"][0]).read_bytes() == ours("fish")


def test_a_home_that_cannot_be_written_is_told(shell: Shell) -> None:
    (shell.home / "file").touch()
    done = shell.run("completion", "install", *EVERY, more={"HOME": str(shell.home / "file")})
    assert done.returncode == 74
    assert "could not be created: not a directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_read_only_home_is_told(tmp_path: Path) -> None:
    prefix = other_user()
    with reachable(tmp_path) as place:
        done = Shell(place).run("completion", "install", *EVERY, before=prefix)
    assert done.returncode == 74
    assert "could not be created: permission denied" in done.stderr


def test_a_closed_output_is_told(shell: Shell) -> None:
    done = shell.run("completion", "install", *EVERY, before=["sh", "-c", 'exec "$@" >&-', "sh"])
    assert done.returncode == 74
    done = shell.run("completion", "show", "bash", before=["sh", "-c", 'exec "$@" >/dev/full', "sh"])
    assert done.returncode == 74


@pytest.mark.parametrize("name", COMPLETIONS)
def test_show_prints_the_script(shell: Shell, name: str) -> None:
    assert shell.good("completion", "show", name).encode() == ours(name)


def test_bash_finds_what_was_installed_by_itself(shell: Shell, tmp_path: Path) -> None:
    """No start-up file loads it: bash-completion loads the file at the first TAB."""
    installed(shell, "--shell", "bash")
    empty = tmp_path / "empty"
    empty.touch()
    with shells.bash(
        empty, shell.home, {**shell.environment, "PATH": "/usr/bin:/bin"}, loaded=False
    ) as started:
        assert started.completed("jitid reti").rstrip() == "jitid retire"


def test_zsh_finds_what_was_installed_when_it_is_told_what_is_left_to_do(shell: Shell) -> None:
    left = installed(shell, "--shell", "zsh")["left_to_do"]
    (line,) = [sentence.partition("`compinit`: ")[2] for sentence in left if "fpath=" in sentence]
    (switch,) = [sentence.rpartition(": ")[2] for sentence in left if "autoload" in sentence]
    environment = {**shell.environment, "PATH": "/usr/bin:/bin"}
    with shells.zsh(
        ROOT / "nowhere" / "_jitid", shell.home, environment, start=f"{line}\n{switch}\n"
    ) as started:
        assert started.completed("jitid reti").rstrip() == "jitid retire"
    # The start-up file now has these lines. Only steps that jitid cannot check may remain.
    again = installed(shell, "--shell", "zsh", more={"ZDOTDIR": str(shell.home)})["left_to_do"]
    assert not [sentence for sentence in again if "fpath" in sentence or "autoload" in sentence]


def test_fish_finds_what_was_installed_by_itself(shell: Shell, tmp_path: Path) -> None:
    """Fish looks for the completion of a command only if the command exists."""
    installed(shell, "--shell", "fish")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "jitid").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "jitid").chmod(0o755)
    done = subprocess.run(
        [need("fish"), "-c", 'complete -C "jitid reti"'],
        env={**shell.environment, "PATH": f"{tmp_path}/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("retire\t")


def test_what_is_installed_is_compared_with_ours(shell: Shell) -> None:
    environ = {"HOME": str(shell.home), "PATH": "/nowhere/bin", "XDG_DATA_DIRS": str(shell.home / "system")}

    def found() -> dict[str, tuple[str | None, bool]]:
        return {
            each.reader: (each.path, each.current)
            for each in installed_files.installed(environ)
            if each.reader != "man"
        }

    assert set(found().values()) == {(None, False)}
    system = shell.home / "system/fish/vendor_completions.d/jitid.fish"
    system.parent.mkdir(parents=True)
    system.write_bytes(ours("fish"))
    assert found()["fish"] == (str(system), True)
    installed(shell, *EVERY)
    own = shell.home / COMPLETIONS["fish"][0]
    assert found()["fish"] == (str(own), True)
    own.write_text("old")
    assert found()["fish"] == (str(own), False)
    (bash,) = [each for each in installed_files.installed(environ) if each.reader == "bash"]
    assert bash.places[0] == bash.path == str(shell.home / COMPLETIONS["bash"][0])


def test_a_man_page_goes_into_the_folder_of_its_section() -> None:
    page = Shipped("man", "/source/jitid-promises.7", "man7/jitid-promises.7")
    assert (
        installed_files.target(page, {"HOME": "/home/alice"})
        == "/home/alice/.local/share/man/man7/jitid-promises.7"
    )


@pytest.mark.parametrize("manpath", [None, "", ":/extra/man", "/only/man"])
def test_man_looks_where_we_believe(tmp_path: Path, manpath: str | None) -> None:
    """The result is compared with that of man-db's `manpath`, for the folders that exist."""
    for folder in (
        ".local/bin",
        ".local/share/man",
        "tool/bin",
        "tool/man",
        "tool/share/man",
        "extra/man",
        "only/man",
    ):
        (tmp_path / folder).mkdir(parents=True)
    environ = {"HOME": str(tmp_path), "PATH": f"{tmp_path}/.local/bin:{tmp_path}/tool/bin:/usr/bin"}
    if manpath is not None:
        environ["MANPATH"] = manpath.replace("/extra", f"{tmp_path}/extra").replace(
            "/only", f"{tmp_path}/only"
        )
    said = subprocess.run(
        [need("manpath"), "-q"], env=environ, capture_output=True, text=True, check=True
    ).stdout
    ours = [folder for folder in installed_files.folders("man", environ) if Path(folder).is_dir()]
    here = str(tmp_path)
    assert sorted(each for each in ours if each.startswith(here)) == sorted(
        each for each in said.strip().split(":") if each.startswith(here)
    )


def test_an_installation_without_its_files_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed_files, "_PACKAGE", str(tmp_path / "lib" / "jitid"))
    with pytest.raises(NotFoundError, match="has no completions"):
        installed_files.installed({"HOME": "/"})


@pytest.mark.parametrize(
    "package", ["there/jitid", "a/b/there/jitid", "there/lib/python3/other/site-packages/jitid"]
)
def test_files_in_a_folder_further_above_are_not_jitid_s(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`pip install --target /tmp/there` has them in `/tmp/there`, and another user may make `/tmp/share`."""
    planted = tmp_path / installed_files.SHARED["bash"]
    planted.parent.mkdir(parents=True)
    planted.write_text("echo caught")
    monkeypatch.setattr(installed_files, "_PACKAGE", str(tmp_path / package))
    with pytest.raises(NotFoundError, match="has no completions"):
        installed_files.completion("bash")
    own = (tmp_path / package).parent / installed_files.SHARED["bash"]
    own.parent.mkdir(parents=True)
    own.write_text("ours")
    assert installed_files.completion("bash").text() == "ours"


def test_a_relative_folder_of_completions_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = installed_files.completion("bash")
    path = installed_files.target(file, {"HOME": "/", "BASH_COMPLETION_USER_DIR": "here"})
    assert installed_files.install(file, path) == "new"
    assert (tmp_path / path).read_text() == file.text()


def test_the_wheel_and_the_source_archive_hold_every_file() -> None:
    targets = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    wheel = targets["wheel"]
    wanted = {
        "completions/jitid.bash": "share/bash-completion/completions/jitid",
        "completions/_jitid": "share/zsh/site-functions/_jitid",
        "completions/jitid.fish": "share/fish/vendor_completions.d/jitid.fish",
        **{
            f"man/{page.name.partition('/')[2]}": f"share/man/{page.name}"
            for page in installed_files.man_pages()
        },
    }
    folders = sorted({path.partition("/")[0] for path in wanted})
    assert wheel["shared-data"] == wanted
    # Each file is in the wheel once.
    assert "force-include" not in wheel
    assert set(folders) <= set(targets["sdist"]["include"])


def test_an_installation_finds_its_files_below_its_prefix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wheel puts them beside `bin` and `lib`, the pages by their sections."""
    for shell in installed_files.SHELLS:
        path = tmp_path / installed_files.SHARED[shell]
        path.parent.mkdir(parents=True)
        path.write_text(f"completion of {shell}")
    for name in ("jitid.1", "jitid-policy.7", "jitid-ledger.5", "other.1"):
        page = tmp_path / "share" / "man" / f"man{name[-1]}" / name
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(name)
    package = tmp_path / "lib" / "python3" / "site-packages" / "jitid"
    monkeypatch.setattr(installed_files, "_PACKAGE", str(package))
    assert [installed_files.completion(shell).text() for shell in installed_files.SHELLS] == [
        f"completion of {shell}" for shell in installed_files.SHELLS
    ]
    assert [page.name for page in installed_files.man_pages()] == [
        "man5/jitid-ledger.5",
        "man7/jitid-policy.7",
        "man1/jitid.1",
    ]


def test_man_does_not_follow_a_link_to_the_command(tmp_path: Path) -> None:
    """`man` searches beside the folders in PATH: the target of a link is not among them."""
    real = tmp_path / "venv" / "bin" / "jitid"
    real.parent.mkdir(parents=True)
    real.write_text("")
    real.chmod(0o755)
    linked = tmp_path / "tools" / "bin"
    linked.mkdir(parents=True)
    (linked / "jitid").symlink_to(real)
    environ = {"HOME": str(tmp_path), "PATH": f"{linked}:/usr/bin"}
    assert f"{tmp_path}/tools/share/man" in installed_files.folders("man", environ)
    assert f"{tmp_path}/venv/share/man" not in installed_files.folders("man", environ)
    assert any(folder.startswith(f"{tmp_path}/venv/") for folder in installed_files.folders("bash", environ))
