"""systemd units that run one command, at intervals or permanently, with minimal rights; and lines of a crontab."""

from __future__ import annotations

import re
from collections.abc import Sequence

from jitid.values.record import Record

_BARE = re.compile(r"[\w./:=,@+-]+", re.ASCII)


class Job(Record):
    """A command, and the resources that it needs."""

    about: str
    """Its purpose, in a few words of jitid's own."""
    command: Sequence[str]
    """The first word is an absolute path."""
    user: str
    writes: Sequence[str]
    """Folders that it writes to."""
    reaches_homes: bool
    """Whether it needs files in a user's home."""
    reaches_temporary: bool
    """Whether it needs files in a folder for temporary files."""
    reaches_network: bool = False
    """Whether it needs the network: for a ledger in a database, or for an external target."""


def service(job: Job) -> str:
    """Return the text of the service."""
    return f"""\
[Unit]
Description={job.about}

[Service]
Type=oneshot
User={job.user}
# The colon turns off the substitution of variables.
ExecStart={word(":" + job.command[0])} {line(job.command[1:])}
# Findings (10) are not a failure of the service. An incomplete sweep (11) is a failure.
SuccessExitStatus=10
TimeoutStartSec=1h
Nice=10
UMask=0077

{_confined(job, _REACHABLE if job.reaches_network else _ALONE)}"""


def server(job: Job, runtime: str | None, descriptors: int, stop: int) -> str:
    """Return the text of a service that runs permanently and reports when it is ready (sd_notify(3)).

    `runtime` is a folder below /run that systemd makes for it, `descriptors` is the maximum number of open files, and
    `stop` is the maximum number of seconds for its end.
    """
    runtime_lines = f"RuntimeDirectory={word(runtime)}\nRuntimeDirectoryMode=0755\n" if runtime else ""
    return f"""\
[Unit]
Description={job.about}
{_NETWORK}

[Service]
Type=notify
NotifyAccess=main
User={job.user}
# The colon turns off the substitution of variables.
ExecStart={word(":" + job.command[0])} {line(job.command[1:])}
# The server reads its certificate again.
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=1s
TimeoutStopSec={stop}s
LimitNOFILE={descriptors}
UMask=0077
{runtime_lines}
{_confined(job, _REACHABLE)}
[Install]
WantedBy=multi-user.target
"""


_NETWORK = """\
Wants=network-online.target
After=network-online.target"""
_ALONE = """\
PrivateNetwork=yes
RestrictAddressFamilies=AF_UNIX
IPAddressDeny=any"""
_REACHABLE = "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6"


def _confined(job: Job, network: str) -> str:
    root = job.user == "root"
    return f"""\
# The file system is read-only, except for the folders of the ledger and the results.
ProtectSystem=strict
ReadWritePaths={" ".join(word("-" + folder) for folder in job.writes)}
ProtectHome={"read-only" if job.reaches_homes else "yes"}
PrivateTmp={"no" if job.reaches_temporary else "yes"}
PrivateDevices=yes
# Omitted on purpose: ProtectProc=, ProcSubset=, PrivatePIDs= and PrivateUsers=. The rule orphaned-process must see
# the processes of other services in /proc. Otherwise it would report them as ended.

CapabilityBoundingSet={"CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER" if root else ""}
NoNewPrivileges=yes
{network}
# Protection of the kernel.
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
KeyringMode=private
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
{"SystemCallFilter=@chown" + chr(10) if root else ""}"""


def timer(about: str, name: str, every: int) -> str:
    """Return the text of the timer that starts the service `name` after boot and then every `every` seconds."""
    return f"""\
[Unit]
Description={about}, at intervals

[Timer]
Unit={name}.service
OnBootSec=1min
OnUnitActiveSec={every}s
AccuracySec={max(1, min(60, every // 10))}s

[Install]
WantedBy=timers.target
"""


def line(words: Sequence[str]) -> str:
    """Return words in the syntax of a unit file (systemd.syntax(7), "Quoting"; systemd.unit(5), "Specifiers")."""
    return " ".join(map(word, words))


def word(text: str) -> str:
    """Return one word for a unit file; it must hold no control character."""
    doubled = text.replace("%", "%%")
    if _BARE.fullmatch(doubled):
        return doubled
    escaped = doubled.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


MAX_COMMAND = 990
"""Maximum characters of a command: Debian's cron accepts 999."""

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400

TIMES: dict[int, str] = {
    _MINUTE: "* * * * *",
    **{_MINUTE * n: f"*/{n} * * * *" for n in range(2, 60) if 60 % n == 0},
    _HOUR: "0 * * * *",
    **{_HOUR * n: f"0 */{n} * * *" for n in range(2, 24) if 24 % n == 0},
    _DAY: "0 0 * * *",
    7 * _DAY: "0 0 * * 0",
}
"""By interval in seconds: its schedule. cron has no others: `*/7` restarts with each hour."""


def nearest_interval(every: int) -> int:
    """Return the nearest interval that cron supports; of two equally near ones, the shorter."""
    return min(TIMES, key=lambda interval: (abs(interval - every), interval))


def crontab_line(every: int, words: Sequence[str]) -> str:
    """Return the crontab line that runs a command at an interval of `TIMES`; no word may hold a control character."""
    return f"{TIMES[every]} {crontab_command(words)}\n"


def crontab_command(words: Sequence[str]) -> str:
    """Return words quoted for cron and then its shell."""
    return " ".join(map(_word, words))


def _word(text: str) -> str:
    if _BARE.fullmatch(text):
        return text
    # A percent sign ends the command unless a backslash precedes it. Some crons also remove a backslash before another
    # backslash, and some do not. So the quotation is closed and opened again between the two.
    apart = re.sub(r"\\(?=[\\%])", r"\\''", text.replace("'", r"'\''"))
    return "'" + apart.replace("%", r"\%") + "'"
