"""Coding agents of other projects, installed from npm once a session."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.real import missing, need

CLAUDE_CODE = "@anthropic-ai/claude-code@2.1.197"
CODEX = "@openai/codex@0.171.0"
OPENCODE = "opencode-ai@1.18.33"
GEMINI = "@google/gemini-cli@0.61.0"
COPILOT = "@github/copilot@1.0.102"


def agent_program(folder: Path, package: str, pattern: str) -> str:
    """Install a package into `folder`, and return the program in it that matches; skip the test where that fails.

    A package that an earlier test installed is used again. With $JITID_TEST_AGENTS, that folder keeps the packages.
    """
    kept = os.environ.get("JITID_TEST_AGENTS")
    place = Path(kept or folder) / package.replace("/", "+")
    program = next(place.glob(pattern), None) if place.exists() else None
    if program is None:
        npm = need("npm")
        place.mkdir(parents=True, exist_ok=True)
        (place / "package.json").write_text('{"private": true}')
        done = subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent", package],
            cwd=place,
            env={**os.environ, "npm_config_update_notifier": "false"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        program = next(place.glob(pattern), None)
        if done.returncode or program is None:
            missing(f"npm cannot install {package}: {done.stderr.strip()[-300:]}")
    assert program is not None
    return str(program)


def claude_code(folder: Path) -> str:
    """Return the program of Claude Code."""
    return agent_program(folder, CLAUDE_CODE, "node_modules/@anthropic-ai/claude-code-*/claude")


def codex(folder: Path) -> str:
    """Return the program of Codex."""
    return agent_program(folder, CODEX, "node_modules/@openai/codex-*/vendor/*/bin/codex")


def opencode(folder: Path) -> str:
    """Return the program of opencode."""
    return agent_program(folder, OPENCODE, "node_modules/opencode-linux-*/bin/opencode")


def gemini(folder: Path) -> str:
    """Return the script of Gemini CLI."""
    return agent_program(folder, GEMINI, "node_modules/@google/gemini-cli/bundle/gemini.js")


def copilot(folder: Path) -> str:
    """Return the program of Copilot CLI."""
    return agent_program(folder, COPILOT, "node_modules/@github/copilot-linux-*/copilot")
