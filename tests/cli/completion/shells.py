"""The three shells with a completion script loaded: their candidates at a TAB, and the completed line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import jitid
from tests.cli.completion.terminal import Terminal
from tests.generate import bash as bash_script
from tests.generate import fish as fish_script
from tests.generate import zsh as zsh_script
from tests.generate.tree import Verb
from tests.real import missing, need

BASH_COMPLETION = Path("/usr/share/bash-completion/bash_completion")

_READY = "[ready]"
_DONE = "[done]"


class Completing(Protocol):
    """A shell that completes a line of `jitid`."""

    name: str

    def candidates(self, line: str) -> list[str]:
        """Return the candidates for the last word, in order: whole words, or the values behind `--option=`."""

    def completed(self, line: str) -> str:
        """Return the line after a TAB."""


@contextmanager
def bash(
    script: Path, folder: Path, environment: Mapping[str, str], *, bare: bool = False, loaded: bool = True
) -> Iterator[Completing]:
    """Start a real bash at a terminal; a bare one has no bash-completion.

    Unless the script is `loaded`, bash-completion has to find it, and only the completed line shows the result.
    """
    program = need("bash")
    if not bare and not BASH_COMPLETION.exists():
        missing("bash-completion is not installed")
    start = folder / "bashrc"
    start.write_text(
        f"{'' if bare else f'. {BASH_COMPLETION}'}\n"
        f". '{script}'\n"
        # Record the candidates unchanged, after the piece of the line that they replace.
        'offered() { _jitid "$@"; printf "%s\\n" "${COMP_WORDS[COMP_CWORD]}" "${COMPREPLY[@]}"'
        f" >'{folder}/offered'; }}\n"
        f"{'complete -F offered jitid' if loaded else ''}\n"
        f"kept() {{ printf %s \"$READLINE_LINE\" >'{folder}/line'; READLINE_LINE=; printf '\\133done]'; }}\n"
        "bind -x '\"\\C-xd\": kept'\n"
        "bind 'set bell-style none'; bind 'set completion-query-items 0'; bind 'set page-completions off'\n"
        "HISTFILE= PS1='\\133ready] '\n"
    )
    command = [program, "--noprofile", "--rcfile", str(start), "-i"]
    with Terminal(command, {**environment, "TERM": "dumb"}, folder) as terminal:
        terminal.wait_for(_READY)
        yield _Interactive("bash", terminal, folder)


@contextmanager
def bare_bash(script: Path, folder: Path, environment: Mapping[str, str]) -> Iterator[Completing]:
    """Start a real bash without bash-completion."""
    with bash(script, folder, environment, bare=True) as started:
        yield started


@contextmanager
def zsh(
    script: Path, folder: Path, environment: Mapping[str, str], *, start: str | None = None
) -> Iterator[Completing]:
    """Start a real zsh at a terminal; `start` is the text of its start-up file that makes it find the script."""
    if start is None:
        start = f"fpath=('{script.parent}' $fpath)\nautoload -Uz compinit; compinit -u -D\n"
    program = need("zsh")
    (folder / ".zshrc").write_text(
        f"{start}"
        # Record the candidates that the builtin itself accepts as matches.
        "compadd() {\n"
        '    if [[ " $* " != *" -"[OAD]" "* ]]; then\n'
        f"        local -a hits; builtin compadd -A hits \"$@\"; print -rl -- $hits >>'{folder}/offered'\n"
        "    fi\n"
        '    builtin compadd "$@"\n'
        "}\n"
        f"kept() {{ print -rn -- \"$BUFFER\" >'{folder}/line'; BUFFER=; zle -R; print -n '\\133done]' }}\n"
        "zle -N kept; bindkey '^Xd' kept\n"
        "unsetopt beep prompt_sp; LISTMAX=10000 PS1='['ready'] '\n"
    )
    with Terminal(
        [program, "-d", "-i"], {**environment, "ZDOTDIR": str(folder), "TERM": "xterm"}, folder
    ) as terminal:
        terminal.wait_for(_READY)
        yield _Interactive("zsh", terminal, folder)


@contextmanager
def fish(script: Path, folder: Path, environment: Mapping[str, str]) -> Iterator[Completing]:
    """Return a real fish, which prints its completions without a terminal."""
    yield _Fish(need("fish"), script, folder, environment)


class _Interactive:
    """A shell at a terminal that records its candidates, and its line when a key is pressed."""

    def __init__(self, name: str, terminal: Terminal, folder: Path) -> None:
        self.name = name
        self._terminal = terminal
        self._folder = folder

    def candidates(self, line: str) -> list[str]:
        self.completed(line)
        offered = (self._folder / "offered").read_text().splitlines()
        word = line.rpartition(" ")[2]
        head = word[: word.find("=") + 1] if word.startswith("-") else ""
        cut = ""
        if self.name == "bash":
            # Readline replaces only the last piece. The piece may be the mark at which it has cut; an `@` is part of
            # the piece.
            piece = offered.pop(0) if offered else ""
            cut = word.removesuffix(piece) if piece.strip("=:@") else word
            if offered and offered[0].startswith("@"):
                cut = cut.removesuffix("@")
        return [(cut + each).removeprefix(head) for each in offered if each]

    def completed(self, line: str) -> str:
        (self._folder / "offered").write_text("")
        self._terminal.send(f"{line}\t\x18d")
        self._terminal.wait_for(_DONE)
        return (self._folder / "line").read_text()


class _Fish:
    """A fish that is started for each line."""

    name = "fish"

    def __init__(self, program: str, script: Path, folder: Path, environment: Mapping[str, str]) -> None:
        self._program = program
        self._script = script
        self._folder = folder
        self._environment = environment

    def candidates(self, line: str) -> list[str]:
        word = line.rpartition(" ")[2].replace('"', "").replace("'", "")
        head = word[: word.find("=") + 1] if word.startswith("-") else ""
        # Fish also offers words that only resemble the word, after the real completions.
        return [each.removeprefix(head) for each in self._offered(line) if each.startswith(word)]

    def completed(self, line: str) -> str:
        (only,) = self.candidates(line)
        start, space, word = line.rpartition(" ")
        head = word[: word.find("=") + 1] if word.startswith("-") else ""
        return f"{start}{space}{head}{only}"

    def _offered(self, line: str) -> list[str]:
        done = subprocess.run(
            [self._program, "-c", "source $argv[1]; complete -C $argv[2]", str(self._script), line],
            cwd=self._folder,
            env={**self._environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return [each.partition("\t")[0] for each in done.stdout.splitlines()]


def commands(folder: Path) -> Path:
    """Make a folder with a `jitid` that runs this code with this interpreter."""
    folder.mkdir()
    (folder / "jitid").write_text(
        f"#!{sys.executable}\nimport sys\nsys.path[0] = {str(Path(jitid.__file__).parent.parent)!r}\n"
        "from jitid.__main__ import main\nsys.argv[0] = 'jitid'\nmain()\n"
    )
    (folder / "jitid").chmod(0o755)
    return folder


_Start = Callable[[Path, Path, dict[str, str]], AbstractContextManager[Completing]]

SHELLS: dict[str, tuple[str, Callable[[Sequence[Verb]], str], _Start]] = {
    "bash": ("jitid.bash", bash_script.text, bash),
    "bare bash": ("jitid.bash", bash_script.text, bare_bash),
    "zsh": ("_jitid", zsh_script.text, zsh),
    "fish": ("jitid.fish", fish_script.text, fish),
}
"""The name of the script, the function that writes it, and the function that starts the shell."""
