"""A transaction that changes rows must run alone. The store declares it, and PostgreSQL enforces it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import jitid

ROOT = Path(jitid.__file__).parent
CHANGES = re.compile(r"\b(?:UPDATE \w|DELETE FROM)")
EXCEPTIONS = {
    "PresentedChanges.add": "it deletes only marks that have expired",
    "CredentialChanges._end_doomed": "`end` has called it",
    "BarredChanges.bar_doomed": "`end` has called it",
    "CredentialChanges.renews_until": "only renewals set it, and a renewal locks its identity by `supersede`",
    "CredentialChanges.mark_reused": "it only sets a value that was not set",
    **dict.fromkeys(
        ("PruneChanges.condemn", "PruneChanges.remove", "PruneChanges._spare", "PruneChanges._remove_others"),
        "`retention` calls it first",
    ),
}


def classes() -> dict[str, ast.ClassDef]:
    """Return all classes by name. No two classes have the same name."""
    return {
        node.name: node
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    }


def methods(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """Yield the names and texts of a class's methods."""
    for each in node.body:
        if isinstance(each, ast.FunctionDef):
            yield each.name, ast.unparse(each)


def test_each_store_that_changes_rows_says_so() -> None:
    found = classes()

    def begins_alone(name: str) -> bool:
        """Return whether the class or one of its bases calls `alone` in its constructor."""
        node = found.get(name)
        return node is not None and (
            ".alone()" in dict(methods(node)).get("__init__", "")
            or any(begins_alone(ast.unparse(base)) for base in node.bases)
        )

    changing = {
        f"{name}.{method}"
        for name, node in found.items()
        if name.endswith("Changes") and not begins_alone(name)
        for method, text in methods(node)
        if CHANGES.search(text) and ".alone()" not in text
    }
    assert changing == EXCEPTIONS.keys()
