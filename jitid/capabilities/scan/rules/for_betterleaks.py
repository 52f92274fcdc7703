"""Rules for betterleaks 2: https://github.com/betterleaks/betterleaks/blob/main/docs/config.md."""

from __future__ import annotations

from collections.abc import Sequence

from jitid.capabilities.scan.rules.token_patterns import REVOKE, STATUS, Pattern

_HEADING = """\
# Rules for the tokens of jitid, for betterleaks 2:
#
#   betterleaks git --config THIS --output found.json .
#   jitid leak add --from found.json
#
# For the rules of betterleaks too, add two lines below the title:  [extend]  and  useDefault = true
# Private keys have no fixed form: jitid scan finds those of its certificates.
"""
_QUERY_HELP = """\
# Each token authenticates itself at {place}:
#
#   betterleaks git --config THIS --validate .
#   betterleaks revoke --config THIS --rule {name} < TOKEN-FILE
"""
_TITLE = """
title = "jitid"
"""

# Expr: https://expr-lang.org/docs/language-definition. A token has no character that a form would have to escape.
_AUTHORIZATION = '{{"Authorization": "Bearer " + finding["secret"]}}'
_REQUESTS = f"""\
validate = '''
let r = http.get("{{place}}{STATUS}", {_AUTHORIZATION});
r.status == 200 && r.json?.active == true ? {{{{"result": "valid"}}}}
  : r.status == 401 && r.json?.active == false ? {{{{"result": "invalid"}}}}
  : validate.unknown(r)
'''
revoke = '''
let r = http.post("{{place}}{REVOKE}", {{{{
  "Authorization": "Bearer " + finding["secret"],
  "Content-Type": "application/x-www-form-urlencoded"
}}}}, "token=" + finding["secret"]);
let s = http.get("{{place}}{STATUS}", {_AUTHORIZATION});
s.status == 401 && s.json?.active == false ? {{{{"result": "revoked"}}}} : revoke.unknown(r)
'''
"""


def rules(patterns: Sequence[Pattern], address: str | None) -> str:
    """Return the rule file, in TOML. `address` is that of the authority for queries; None leaves them out."""
    query_help = "" if address is None else f"#\n{_QUERY_HELP.format(place=address, name=patterns[0].name)}"
    return "\n".join([f"{_HEADING}{query_help}{_TITLE}", *(_rule(pattern, address) for pattern in patterns)])


def _rule(pattern: Pattern, address: str | None) -> str:
    requests = "" if address is None else _REQUESTS.format(place=address)
    return f"""\
[[rules]]
id = "{pattern.name}"
description = "{pattern.description}"
confidence = "high"
regex = '''{pattern.regex}'''
keywords = ["{pattern.keyword}"]
{requests}"""
