"""A plugin of pytest for copies with a defect: it is enough that an example fails, whichever one."""

from __future__ import annotations

import pytest
from hypothesis import Phase, settings


@pytest.hookimpl(trylast=True)
def pytest_configure() -> None:
    """Let Hypothesis neither shrink nor explain what fails: that takes longer than to find it."""
    phases = (Phase.explicit, Phase.generate)
    settings.register_profile("plant", settings.get_profile("jitid"), phases=phases)
    settings.load_profile("plant")
