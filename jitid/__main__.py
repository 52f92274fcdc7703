"""The entry point: answers `--version` and shell completion directly, and exits without cleaning up the interpreter."""

from __future__ import annotations

import gc
import os
import sys
import warnings


def main() -> None:
    """Run one command line and end the process with its exit status."""
    # Loading modules makes no garbage; the command switches the collector on again.
    gc.disable()
    # Warnings of libraries are for developers; `-W` or PYTHONWARNINGS shows them.
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    try:
        from jitid.system import output

        output.claim_descriptors()
        if sys.argv[1:2] == ["__complete"]:
            status = _complete()
        else:
            status = 0 if sys.argv[1:] in (["--version"], ["-V"]) and _print_version() else _run()
    except KeyboardInterrupt:
        # Before `run` handles signals there is nothing to clean up.
        status = 130
    except BaseException as error:  # noqa: BLE001 - the last boundary: a module may fail to load, or an error to be printed
        status = _fail(error)
    _end_programs()
    # All output is unbuffered, so the interpreter can be left without cleanup, which would cost more than a
    # millisecond.
    os._exit(status)


def _end_programs() -> None:
    """Kill programs of targets that the command no longer waits for; they do not end with this process."""
    issuers = sys.modules.get("jitid.issuers.exec")
    if issuers is not None:
        issuers.end_running()


def docker() -> None:
    """Answer docker, which calls `docker-credential-jitid OPERATION` and passes no options."""
    sys.argv[1:1] = ["helper", "docker"]
    main()


def _print_version() -> bool:
    from jitid import __version__
    from jitid.system import output

    try:
        output.write(f"jitid {__version__}\n")
    except Exception:  # noqa: BLE001 - the long way meets the same error, and reports it properly
        return False
    return True


def _complete() -> int:
    try:
        from jitid.cli import complete
        from jitid.system import output

        output.write(complete.answer(sys.argv[2:]))
    except Exception:  # noqa: BLE001, S110 - a message would land in the middle of the line that is being typed
        pass
    return 0


def _run() -> int:
    from jitid.cli.main import run

    return run(sys.argv[1:])


def _fail(error: BaseException) -> int:
    """Report an error that `cli` could not report, with the standard library alone; return the exit status."""
    try:
        message, hint, status, code = _described(error)
        line = _in_json(message, hint, code) if _json_requested() else None
        if line is None:
            line = f"jitid: error: {message}\n" + (f"jitid: hint: {hint}\n" if hint else "")
        if _debugs():
            line = _traceback(error) + line
        os.write(2, line.encode("utf-8", "backslashreplace"))
    except BaseException:  # noqa: BLE001 - out of memory, or standard error is closed: the status is all that is left
        status = 1
    words = (word for word in sys.argv[1:] if not word.startswith("-"))
    # Like `timeout`, `run` leaves the statuses below 125 to the command that it runs.
    return max(status, 125) if next(words, None) == "run" else status


def _described(error: BaseException) -> tuple[str, str | None, int, str]:
    """Return the message, the hint, the exit status and the code for an unexpected error."""
    if isinstance(error, MemoryError):
        return "the system refuses: out of memory", None, 5, "storage"
    try:
        from jitid.system import dependencies

        fault = dependencies.fault(error)
    except Exception:  # noqa: BLE001 - the code that reads the installation may be the broken part
        fault = None
    if fault is not None:
        return *fault, 2, "configuration"
    # The message of a foreign exception may quote its input, so only its type is shown.
    hint = None if _debugs() else "to see its origin, repeat the command with --debug"
    return f"internal error: {type(error).__name__}; this is a bug", hint, 1, "internal"


def _debugs() -> bool:
    return "--debug" in sys.argv


def _json_requested() -> bool:
    formats = [os.environ.get("JITID_FORMAT", "")]
    for word, following in zip(sys.argv, (*sys.argv[1:], ""), strict=True):
        if word == "--json":
            formats.append("json")
        elif word == "--format":
            formats.append(following)
        elif word.startswith("--format="):
            formats.append(word.partition("=")[2])
    return formats[-1] in ("json", "jsonl")


def _in_json(message: str, hint: str | None, code: str) -> str:
    import json

    document = {"code": code, "message": message, "hint": hint, "retryable": code == "storage"}
    return json.dumps({"error": document}) + "\n"


def _traceback(error: BaseException) -> str:
    import traceback

    from jitid.redaction.token_format import masked

    text = masked("".join(traceback.format_exception(error)), wide=True)
    return "".join(
        character if character.isprintable() or character == "\n" else ascii(character)[1:-1]
        for character in text
    )


if __name__ == "__main__":
    main()
