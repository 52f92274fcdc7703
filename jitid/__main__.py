"""The entry point: answers `--version` and the shells' questions by itself, and leaves without tidying up."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    """Run one command line and end the process with its exit status."""
    # Nothing that is made while modules load becomes garbage; the command switches the collector on again.
    gc.disable()
    try:
        from jitid.formats import output

        output.claim_descriptors()
        if sys.argv[1:2] == ["__complete"]:
            status = _complete()
        else:
            status = 0 if sys.argv[1:] in (["--version"], ["-V"]) and _say_version() else _run()
    except KeyboardInterrupt:
        # Before `run` listens to signals there is nothing to clean up.
        status = 130
    # All output is written without buffers, so the interpreter can be left as it stands: taking it down
    # costs more than a millisecond.
    os._exit(status)


def docker() -> None:
    """Answer docker, which calls `docker-credential-jitid OPERATION`: no options could be named there."""
    sys.argv[1:1] = ["helper", "docker"]
    main()


def _say_version() -> bool:
    from jitid import __version__
    from jitid.formats import output

    try:
        output.write(f"jitid {__version__}\n")
    except Exception:  # noqa: BLE001 - whatever it is, the long way meets it too and tells it properly
        return False
    return True


def _complete() -> int:
    try:
        from jitid import completing
        from jitid.formats import output

        output.write(completing.answer(sys.argv[2:]))
    except Exception:  # noqa: BLE001, S110 - a message would land in the middle of the line that is being typed
        pass
    return 0


def _run() -> int:
    from jitid.cli import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    main()
