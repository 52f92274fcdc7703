"""The lines in start-up files of shells that completions and man pages need."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from shlex import quote

from jitid.system import installed_files
from jitid.system.installed_files import Reader, Shipped

_BASH_COMPLETION = (
    "/usr/share/bash-completion/bash_completion",
    "/usr/local/share/bash-completion/bash_completion",
    "/opt/homebrew/share/bash-completion/bash_completion",
    "/etc/bash_completion",
)


def present(environ: Mapping[str, str] = os.environ) -> list[Reader]:
    """Return the installed shells, and in any case the user's own shell."""
    own_shell = os.path.basename(environ.get("SHELL", ""))
    return [
        shell
        for shell in installed_files.SHELLS
        if shell == own_shell or installed_files.which(shell, environ)
    ]


def left_to_do(files: list[Shipped], environ: Mapping[str, str] = os.environ) -> Iterator[str]:
    """Yield a sentence for each step that is left to the user once these files are installed."""
    readers = {file.reader: file for file in files}
    if "bash" in readers:
        yield from _left_for_bash(installed_files.target(readers["bash"], environ))
    if "zsh" in readers:
        yield from _left_for_zsh(os.path.dirname(installed_files.target(readers["zsh"], environ)), environ)
    if "man" in readers:
        yield from _left_for_man(
            os.path.dirname(os.path.dirname(installed_files.target(readers["man"], environ))), environ
        )
    if readers.keys() & {"bash", "zsh"}:
        yield "completion works in new shells; to restart this shell: exec $SHELL"
    if readers.keys() - {"man"} and not installed_files.which(installed_files.PROGRAM, environ):
        yield "completion of ids and names requires `jitid` in PATH, and PATH does not have it"


def _left_for_bash(path: str) -> Iterator[str]:
    if not any(os.path.exists(script) for script in _BASH_COMPLETION):
        yield (
            "bash: the package bash-completion, which loads the file, is not installed; install it, or add to "
            f"~/.bashrc: source {quote(path)}"
        )


def _left_for_zsh(folder: str, environ: Mapping[str, str]) -> Iterator[str]:
    script = os.path.join(environ.get("ZDOTDIR") or "~", ".zshrc")
    lines = _lines(os.path.expanduser(script))
    if folder not in environ.get("FPATH", "").split(":") and not any(_adds(folder, line) for line in lines):
        yield f"zsh: add to {script}, before `compinit`: fpath=({quote(folder)} $fpath)"
    if any("compinit" in line for line in lines):
        yield "zsh: if the new file has no effect: rm -f ~/.zcompdump*"
    else:
        yield (
            f"zsh: {script} does not call `compinit`; unless another file calls it, add to {script}: "
            "autoload -Uz compinit && compinit"
        )


def _left_for_man(folder: str, environ: Mapping[str, str]) -> Iterator[str]:
    man_page = next((file for file in installed_files.installed(environ) if file.reader == "man"), None)
    if folder not in installed_files.folders("man", environ) and not (man_page and man_page.current):
        yield f'man: add to the start-up file of your shell: export MANPATH="{folder}:$MANPATH"'


def _adds(folder: str, line: str) -> bool:
    """Return whether a line of a start-up file adds the folder to `fpath`, judging by its text."""
    if "fpath" not in line.lower():
        return False
    home = os.path.expanduser("~")
    below = folder.removeprefix(home) if folder.startswith(f"{home}/") else None
    spellings = (
        [folder] if below is None else [f"{start}{below}" for start in (home, "~", "$HOME", "${HOME}")]
    )
    return any(spelling in line for spelling in spellings) or (
        "XDG_DATA_HOME" in line and "/zsh/site-functions" in line
    )


def _lines(path: str) -> list[str]:
    """Return the lines of a start-up file that are not comments."""
    # A pipe may never end.
    if not os.path.isfile(path):
        return []
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return [line for line in file.read(1 << 20).splitlines() if not line.lstrip().startswith("#")]
    except OSError:
        return []
