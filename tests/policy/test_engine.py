"""The Cedar engine is loaded without cedarpy's classes for syntax trees (`cedarpy.pst`), which jitid does not use."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import jitid

ROOT = Path(jitid.__file__).parent


def loaded(program: str, *places: Path) -> str:
    """Return the output of a program in a separate process, with extra folders first on its path."""
    paths = [*map(str, places), str(ROOT.parent)]
    program = f"import sys; sys.path[:0] = {paths!r}\n{program}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_tree_is_read_only_when_something_uses_it(tmp_path: Path) -> None:
    """The package is like cedarpy 4.12, with any installed version."""
    package = tmp_path / "cedarpy"
    package.mkdir()
    (package / "__init__.py").write_text("from cedarpy import pst\n")
    (package / "pst.py").write_text("print('read')\nWords = 1\n")
    unread = "from jitid.policy.safe_cedarpy import cedarpy\nprint('loaded')\n"
    assert loaded(unread, tmp_path) == "loaded\n"
    assert loaded(f"{unread}print(cedarpy.pst.Words)", tmp_path) == "loaded\nread\n1\n"


def test_a_policy_loads_no_dataclasses() -> None:
    """Only `cedarpy.pst` needs dataclasses."""
    program = (
        "before = 'dataclasses' in sys.modules\n"
        "from jitid.policy.safe_cedarpy import cedarpy\n"
        "assert cedarpy.PolicySet.from_str('permit (principal, action, resource);')\n"
        "print(not before and 'dataclasses' in sys.modules, [each for each in sys.meta_path if 'Tree' in str(each)])"
    )
    assert loaded(program) == "False []\n"


def test_no_other_module_imports_cedarpy_itself() -> None:
    """Another import of cedarpy before jitid's own would load `cedarpy.pst`."""
    imports = re.compile(r"^\s*(?:import|from) cedarpy\b", re.MULTILINE)
    found = [path.name for path in ROOT.rglob("*.py") if imports.search(path.read_text(encoding="utf-8"))]
    assert found == ["safe_cedarpy.py"]
