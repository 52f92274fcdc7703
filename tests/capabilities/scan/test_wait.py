"""Waiting for data from other processes."""

from __future__ import annotations

import fcntl
import os
import resource

from jitid.capabilities.scan.workers import readable

BEYOND = 1_500
"""A file descriptor number that `select` does not accept."""


def test_a_descriptor_of_any_number_is_waited_for() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, BEYOND + 1), hard))
    told, tell = os.pipe()
    high = fcntl.fcntl(told, fcntl.F_DUPFD, BEYOND)
    try:
        assert readable([high], 0) == []
        os.write(tell, b"x")
        assert readable([high], None) == [high]
        os.close(tell)
        assert os.read(high, 1)
        assert readable([high], None) == [high]
    finally:
        os.close(told)
        os.close(high)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
