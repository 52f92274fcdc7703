"""How each verb can end, and the fields of what it shows."""

from __future__ import annotations

from collections.abc import Mapping

from jitid.commands import audit, policy
from jitid.errors import ExitStatus
from tests.generate import values

STATUSES: Mapping[int, str] = {
    ExitStatus.OK: "Done; also what was so already.",
    ExitStatus.BUG: "An internal error: a bug, never an answer.",
    ExitStatus.USAGE: "The line, the configuration or the policy cannot be used, or the ledger has a newer schema.",
    ExitStatus.NOT_FOUND: "Not found.",
    ExitStatus.DENIED: "Denied by the policy.",
    ExitStatus.STORAGE: "Storage: no ledger, or one that is busy, full or out of reach; may be tried again.",
    ExitStatus.REFUSED: "The ledger refuses this user.",
    ExitStatus.INTEGRITY: "Integrity: a damaged ledger, audit chain or key, loose permissions, a clock that jumped.",
    ExitStatus.INVALID: "The credential is not valid.",
    ExitStatus.PARTIAL: "Partly done; the output says what is not.",
    ExitStatus.FINDINGS: "Findings.",
    ExitStatus.INCOMPLETE: "Something was not examined.",
    ExitStatus.OUTPUT: "The output could not be written; what was just made is revoked.",
}

OF_RUN: Mapping[int, str] = {
    124: "The command was ended at its last moment.",
    125: "It was refused, or something failed, before the command started.",
    126: "The command cannot be executed.",
    127: "There is no such command.",
}

_CHANGED = {5: "", 6: "", 7: ""}
_READ = {5: "", 6: "", 7: "Integrity: the ledger or a key is damaged, or open to others."}
_SHOWN = {74: "The output could not be written."}
_LOOKS: Mapping[int, str] = {0: "Done.", 2: "", **_READ, **_SHOWN}
_POLICY: Mapping[int, str] = {
    5: "Storage: the policy in force cannot be read; may be tried again.",
    7: "Integrity: the folder of the policy in force is missing, or a file in it is a link or open to others.",
    **_SHOWN,
}
_SETTINGS: Mapping[int, str] = {0: "Done.", 2: "The line or the configuration cannot be used.", **_SHOWN}

ENDS: Mapping[str, Mapping[int, str]] = {
    "issue": {
        0: "The token was handed out.",
        2: "",
        4: "The policy, the parent's grant or the end of the task refuses it; or it lacks an approval, or nobody gave "
        "one in time.",
        **_CHANGED,
        8: "The parent's token or the ID token is not valid.",
        9: "Many were asked for, and only the first of them were issued.",
        74: "The token could not be written; the credential was revoked.",
    },
    "mcp": {
        0: "Standard input has ended, and with it what was given, unless --keep.",
        2: "The line or the configuration cannot be used, or FILE cannot be read.",
        3: "The ledger does not know what was given: it was replaced.",
        5: "What was given could not be ended; a warning says what. May be tried again.",
        6: "",
        7: "The same, for a ledger or a clock that is not as it must be.",
        74: "An answer could not be written; what was just made is revoked.",
    },
    "renew": {
        0: "The new token is printed, or FILE holds it.",
        2: "",
        4: "The policy refuses it.",
        **_CHANGED,
        8: "The token is not valid.",
        74: "The token could not be written; the successor was ended, and the old token works as before.",
    },
    "trace": {
        0: "Something that this ledger issued is there; with --revoke it has ended, now or before.",
        2: "The line cannot be meant, or nothing alive is proved, or more than --max would end; nothing was changed.",
        3: "Nothing that this ledger issued is there.",
        **_CHANGED,
        9: "What is proved has ended; something else that is alive and not proved was left alone, without --yes.",
        74: "The output could not be written; what was to end has ended.",
    },
    "leak add": {
        0: "Something that this ledger issued leaked, and is recorded, now or before; with --revoke it has ended too.",
        2: "The line cannot be meant, or nothing is proved to have leaked; nothing was changed.",
        3: "Nothing that this ledger issued is there.",
        **_CHANGED,
        9: "Something is recorded; something else is not proved, what ended is not, or more than --max would end, and "
        "nothing did.",
        74: "It is recorded, what was to end has ended, and the output could not be written.",
    },
    "leak list": _LOOKS,
    "leak show": {**_LOOKS, 3: "There is no such leak."},
    "leak close": {
        0: "They are closed, now or before.",
        2: "One of them still works, or the line cannot be meant; nothing was changed.",
        3: "There is no such leak; nothing was changed.",
        **_CHANGED,
        74: "They are closed, and the output could not be written.",
    },
    "delegator add": {
        0: "They are in the directory.",
        2: "They are there already, a name is somebody else's, or the line cannot be meant; nothing was changed.",
        **_CHANGED,
        74: "They are in the directory, and the output could not be written.",
    },
    "delegator change": {
        0: "It is so, now or before.",
        2: "A name is somebody else's, what goes would stay, or the line cannot be meant; nothing was changed.",
        3: "The directory has no such delegator.",
        **_CHANGED,
        74: "It is so, and the output could not be written.",
    },
    "delegator disable": {
        0: "They are disabled, now or before.",
        2: "More than --max would end, or the line cannot be meant; nothing was changed.",
        3: "The directory has no such delegator.",
        **_CHANGED,
        74: "They are disabled, what was to end has ended, and the output could not be written.",
    },
    "delegator enable": {
        0: "They may delegate, now or before.",
        2: "",
        3: "The directory has no such delegator.",
        **_CHANGED,
        74: "They may delegate, and the output could not be written.",
    },
    "delegator show": {**_LOOKS, 3: "The directory has no such delegator."},
    "delegator list": _LOOKS,
    "delegator import": {
        0: "The directory says what the list says, now or before.",
        2: "A line cannot be meant, or more than --max would be disabled or end; nothing was changed.",
        **_CHANGED,
        74: "The list is imported, and the output could not be written.",
    },
    "approve list": _LOOKS,
    "approve show": {**_LOOKS, 3: "There is no such request."},
    "approve grant": {
        0: "It is granted, now or before.",
        2: "The request has ended, or the line cannot be meant; nothing was changed.",
        3: "There is no such request.",
        4: "You may not grant it; the message names the rule.",
        **_CHANGED,
        8: "The ID token is not valid.",
        74: "It is granted, and the output could not be written.",
    },
    "approve deny": {
        0: "It is denied, now or before.",
        2: "The request has ended, or the line cannot be meant; nothing was changed.",
        3: "There is no such request.",
        4: "You have no say in it; the message names the rule.",
        **_CHANGED,
        8: "The ID token is not valid.",
        74: "It is denied, and the output could not be written.",
    },
    "doctor": {
        0: "All is well, warnings aside.",
        2: "The configuration or the policy cannot be used.",
        5: "The ledger is out of reach.",
        6: "",
        7: "Something is damaged, was tampered with or is open to others.",
        **_SHOWN,
    },
    "completion install": {**_SETTINGS, 74: "A file could not be written."},
    "completion show": _SETTINGS,
    "verify": {0: "The token is valid.", 2: "", **_READ, 8: "The token is not valid."},
    "authorize": {
        0: "Allowed; with --batch, each line has its answer.",
        2: "",
        4: "Denied: by the policy, the directory, or for want of a scope.",
        5: "Storage: the action could not be recorded, and is denied; may be tried again.",
        6: "",
        7: "Integrity: the ledger is damaged, or the clock has jumped; the action is denied.",
        8: "Denied: the token is not valid.",
        9: "With --batch: some lines could not be meant; their answers say why.",
        74: "The answer could not be written; the action is recorded.",
    },
    "inspect": {
        0: "It is told, dead or alive.",
        2: "",
        3: "No such id was ever issued.",
        **_READ,
        8: "The token is malformed or forged, or this ledger did not issue it.",
        **_SHOWN,
    },
    "list": {
        0: "Done, also if nothing matches.",
        2: "",
        3: "The id after --after is unknown.",
        **_READ,
        **_SHOWN,
    },
    "tree": {**_LOOKS, 3: "An id or a task is unknown."},
    "revoke": {
        0: "They have ended, now or before.",
        2: "Nothing is selected, or more than --max would end, or the line cannot be meant; nothing was changed.",
        3: "An id is unknown, or the selection matches nothing, dead or alive.",
        **_CHANGED,
        8: "A token is malformed or forged, or this ledger did not issue it.",
        74: "They have ended, and the output could not be written.",
    },
    "retire": {
        0: "The task has ended, now or before.",
        2: "",
        3: "There never was such a task.",
        **_CHANGED,
        74: "The task has ended, and the output could not be written.",
    },
    "report": {**_LOOKS, 74: "The output could not be written; an old FILE is as it was."},
    "sweep": {
        0: "Nothing is left at or above --fail-on.",
        2: "The line or the baseline cannot be used, or --fix would end more than --max; nothing was changed.",
        **_CHANGED,
        7: "The ledger is damaged, or the clock has jumped ahead: nothing was examined or changed.",
        9: "Ended only in part; the output says what.",
        10: "Something is left at or above --fail-on.",
        11: "Something could not be examined, whatever else was found; the output says what, and why.",
        74: "The output could not be written; what --fix has ended has ended.",
    },
    "explain": {
        0: "It is told, whatever was decided.",
        2: "The line cannot be meant, or the event tells of no decision.",
        3: "No such id was ever issued, or the audit log has no such event.",
        **_READ,
        8: "The token is malformed or forged, or this ledger did not issue it.",
        **_SHOWN,
    },
    "policy check": {
        0: "They are in order, warnings aside.",
        2: "There is an error in one of them, or there is none; or the line cannot be meant.",
        **_POLICY,
    },
    "policy test": {
        0: "Every case is as expected.",
        2: "The policy, a file of cases or the line cannot be meant; none was tried.",
        3: "There are no cases.",
        **_POLICY,
        10: "A case is not as expected; or, with --require-coverage, a rule is reached by none.",
    },
    "policy show": {
        0: "Done.",
        2: "The policy cannot be used, or the line cannot be meant.",
        3: "The policy has no such rule, or nothing was decided by one of that digest.",
        **_POLICY,
        5: "Storage: the policy in force, or with --digest the ledger, cannot be read; may be tried again.",
    },
    "policy init": {
        0: "The folder holds the example.",
        2: "The folder is not empty, or the line cannot be meant; nothing was changed.",
        74: "A file could not be written; none is left.",
    },
    "policy diff": {
        0: "Done, whatever changes.",
        2: "One of the policies cannot be used, or the line cannot be meant.",
        3: "Nothing was decided by a policy of that digest.",
        **_READ,
        7: "Integrity: the ledger is damaged, or it or the policy in force is open to others.",
        10: "With --exit-code: something would change.",
        **_SHOWN,
    },
    "task list": {**_LOOKS, 3: "The task after --after is unknown."},
    "task show": {**_LOOKS, 3: "There never was such a task."},
    "agent register": {
        0: "It is registered.",
        2: "It is registered already, or the line cannot be meant; nothing was changed.",
        3: "The directory has no such owner; nothing was changed.",
        4: "The owner is disabled, or may not hand out one of the scopes; nothing was changed.",
        **_CHANGED,
        74: "It is registered, and the output could not be written.",
    },
    "agent change": {
        0: "It is so, now or before.",
        2: "It was unregistered, or the line cannot be meant; nothing was changed.",
        3: "There is no such agent, or the directory has no such owner; nothing was changed.",
        4: "The owner is disabled, or may not hand out one of the scopes; nothing was changed.",
        **_CHANGED,
        74: "It is changed, and the output could not be written.",
    },
    "agent show": {**_LOOKS, 3: "There is no such agent."},
    "agent list": {**_LOOKS, 3: "The agent after --after is unknown."},
    "agent review": {
        0: "The review is recorded.",
        2: "It was unregistered, or the line cannot be meant; nothing was changed.",
        3: "There is no such agent.",
        **_CHANGED,
        74: "The review is recorded, and the output could not be written.",
    },
    "agent suspend": {
        0: "It is suspended, now or before.",
        2: "More than --max would end, it was unregistered, or the line cannot be meant; nothing was changed.",
        3: "There is no such agent.",
        **_CHANGED,
        74: "It is suspended, and the output could not be written.",
    },
    "agent resume": {
        0: "It is in service, now or before.",
        2: "It was unregistered, or the line cannot be meant; nothing was changed.",
        3: "There is no such agent, or the directory has its owner no more.",
        4: "Its owner is disabled.",
        **_CHANGED,
        74: "It is in service, and the output could not be written.",
    },
    "agent unregister": {
        0: "It is unregistered, now or before.",
        2: "More than --max would end, or the line cannot be meant; nothing was changed.",
        3: "There is no such agent.",
        **_CHANGED,
        74: "It is unregistered, and the output could not be written.",
    },
    "agent classify": {**_LOOKS, 3: "Nothing was ever issued under one of the names."},
    "agent suggest": {**_LOOKS, 3: "Nothing was issued to it in these days, or the task is unknown."},
    "audit log": _LOOKS,
    "audit head": _LOOKS,
    "audit verify": {
        0: "It holds.",
        2: "",
        **_READ,
        7: "It does not hold, or the head cannot be trusted; also loose permissions.",
        **_SHOWN,
    },
    "audit export": _LOOKS,
    "keys list": _LOOKS,
    "keys rotate": {**_LOOKS, **_CHANGED, 74: "The new key signs, and the output could not be written."},
    "keys revoke": {
        0: "The key is revoked, now or before.",
        2: "More than --max would end, or the command line cannot be meant; nothing was changed.",
        3: "This ledger never had such a key; or, with --dry-run, it has signed nothing.",
        **_CHANGED,
        74: "The key is revoked, and the output could not be written.",
    },
    "keys jwks": _LOOKS,
    "schedule systemd": {
        0: "Done.",
        2: "The line, an option of the sweep or the configuration cannot be used.",
        74: "A unit could not be written.",
    },
    "schedule cron": {
        0: "Done.",
        2: "The line, an option of the sweep or the configuration cannot be used, or cron cannot say the interval.",
        74: "The output could not be written.",
    },
    "config show": _SETTINGS,
    "config get": {**_SETTINGS, 3: "The setting has no value."},
    "config set": {**_SETTINGS, 74: "The file could not be written, and is as it was."},
    "config unset": {
        **_SETTINGS,
        0: "It is not set there, now or before.",
        74: "The file could not be written, and is as it was.",
    },
    "config path": _SETTINGS,
}
"""Verb -> how it can end, besides by a bug or a signal; without a sentence of its own it is the general one."""

FIELDS: Mapping[str, tuple[str, ...]] = {
    **{verb: fields for verb, fields in values.FIELDS.items() if fields},
    # With an option of theirs these show one more.
    "audit log": audit.LOG,
    "config show": ("key", "value"),
    "policy show": policy.RULE,
}
"""Verb -> the fields of what it shows."""
