"""The Cedar engine: cedarpy, without the syntax tree that its package loads and jitid does not use.

From 4.12 on `import cedarpy` imports `cedarpy.pst`: 40 dataclasses that take more time than the rest of the package,
20 ms at each start. Python's own lazy loader defers this until code reads a name of the module.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader

__all__ = ["cedarpy"]

_TREE = "cedarpy.pst"


class _TreeFinder:
    """A finder of the syntax tree's module that defers its loading."""

    @staticmethod
    def find_spec(
        name: str,
        path: Sequence[str] | None,
        target: object = None,  # noqa: ARG004 - the import system states it
    ) -> ModuleSpec | None:
        """Return the spec of the syntax tree's module; None for any other module."""
        spec = PathFinder.find_spec(name, path) if name == _TREE else None
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


sys.meta_path.insert(0, _TreeFinder)
try:
    import cedarpy
finally:
    sys.meta_path.remove(_TreeFinder)
