"""The types of declared fields about tasks and kinds of credentials; `field_types` has the others."""

from __future__ import annotations

from jitid.model.credential import MADE, Kind, check_issuable, named_kind, parse_kind
from jitid.model.task import MAX_PURPOSE, SENSITIVITIES, check_task
from jitid.values.field_types import choice, kept_text, only_typed, texts

TASK = texts(
    check_task, "NAME", {"minLength": 1, "maxLength": 512, "pattern": "^[A-Za-z0-9._@:/+%-]+$"}, "tasks"
)
KIND = texts(
    check_issuable,
    "KIND",
    {
        "maxLength": 69,
        "pattern": f"^({'|'.join(kind for kind in MADE if kind != Kind.EXEC)}|exec:[A-Za-z0-9_][A-Za-z0-9._-]*)$",
    },
    words=tuple(MADE),
)
MAY_KIND = texts(
    lambda value: named_kind(*parse_kind(value)),
    "KIND",
    {"minLength": 1, "maxLength": 200, "pattern": "^[A-Za-z0-9._:/-]+$"},
    words=tuple(Kind),
)
REQUESTED_KIND = texts(parse_kind, "KIND", {}, "kinds")
"""A kind to issue, with a template of the configuration."""
ANY_KIND = only_typed("KIND", words=tuple(Kind))
PURPOSE = kept_text(MAX_PURPOSE, "the purpose")
SENSITIVITY = choice(*SENSITIVITIES, metavar="LEVEL", label="sensitivity")
