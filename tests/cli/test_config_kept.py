"""`config set` and `config unset` on a file that its user edits too."""

from __future__ import annotations

from pathlib import Path

from jitid.cli import main


def test_config_set_and_unset_keep_the_users_file(home: Path) -> None:
    path = home / ".config/jitid/config.toml"
    path.parent.mkdir(parents=True)
    text = '# mine\nttl = "5m" # short\n\n[floor.scope]\n# never less\n"db:*" = "high"\n'
    path.write_text(text)
    path.chmod(0o600)
    assert main.run(["config", "set", "ttl", "6m"]) == 0
    assert path.read_text() == text.replace("5m", "6m")
    assert main.run(["config", "set", "floor.scope.a:b", "low"]) == 0
    assert main.run(["config", "unset", "floor.scope.a:b"]) == 0
    assert main.run(["config", "set", "ttl", "5m"]) == 0
    assert path.read_text() == text
    assert main.run(["--profile", "night", "config", "set", "max", "3"]) == 0
    assert path.read_text() == f"{text}\n[profile.night]\nmax = 3\n"
    # An invalid value changes nothing.
    before = path.read_bytes()
    assert main.run(["config", "set", "ttl", "soon"]) == 2
    assert main.run(["config", "set", "floor.scope.a:b", "none"]) == 2
    assert path.read_bytes() == before
