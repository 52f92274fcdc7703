"""A pytest plugin for copies with a defect: any one failing example is enough."""

from __future__ import annotations

import pytest
from hypothesis import Phase, settings


@pytest.hookimpl(trylast=True)
def pytest_configure() -> None:
    """Let Hypothesis neither shrink nor explain a failure: that takes longer than finding it."""
    phases = (Phase.explicit, Phase.generate)
    settings.register_profile("plant", settings.get_profile("jitid"), phases=phases)
    settings.load_profile("plant")
