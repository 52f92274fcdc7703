"""Rules for kingfisher 2: https://github.com/mongodb/kingfisher/blob/main/docs/RULES.md."""

from __future__ import annotations

from collections.abc import Sequence

from jitid.capabilities.scan.rules.token_patterns import CHECKSUM_LENGTH, REVOKE, STATUS, TOKEN, Pattern
from jitid.redaction.token_format import OPAQUE_PREFIX, RANDOM_LENGTH

_NAMESPACE = "custom."
_HEADING = """\
# Rules for the tokens of jitid, for kingfisher 2:
#
#   kingfisher scan --rules-path THIS --load-builtins=false --format json --output found.json .
#   jitid leak add --from found.json
#
# Without --load-builtins=false, the rules of kingfisher apply too. It reports one place of each token;
# with --no-dedup, all places.
# Private keys have no fixed form: jitid scan finds those of its certificates.
"""
_QUERY_HELP = """\
#
# Each token authenticates itself at {place}:
#
#   kingfisher revoke --rules-path THIS --rule {name} - < TOKEN-FILE
#
# For private addresses, add --allow-internal-ips.
# The commands that kingfisher suggests have the token on the command line, where other users see it.
# Use a file instead, as above.
"""

_EXPECTED = f'replace: "{OPAQUE_PREFIX}", "" | prefix: {RANDOM_LENGTH} | crc32 | base62: {CHECKSUM_LENGTH}'
_SCHEME = "Bearer"
"""The scheme of the header (RFC 6750)."""
# Single quotes protect all characters that have a meaning in Liquid or YAML.
_CHECKSUM = f"""\
    pattern_requirements:
      checksum:
        actual:
          template: '{{{{ MATCH | suffix: {CHECKSUM_LENGTH} }}}}'
        expected: '{{{{ MATCH | {_EXPECTED} }}}}'
        skip_if_missing: false
"""


def rules(patterns: Sequence[Pattern], address: str | None) -> str:
    """Return the rule file, in YAML. `address` is that of the authority for queries; None leaves them out."""
    query_help = "" if address is None else _QUERY_HELP.format(place=address, name=_id(patterns[0]))
    return f"{_HEADING}{query_help}\nrules:\n" + "\n".join(_rule(pattern, address) for pattern in patterns)


def _id(pattern: Pattern) -> str:
    return _NAMESPACE + pattern.name


def _rule(pattern: Pattern, address: str | None) -> str:
    return f"""\
  - name: '{pattern.description}'
    id: {_id(pattern)}
    pattern: '({pattern.regex})'
    min_entropy: 0.0
    confidence: high
{_CHECKSUM if pattern is TOKEN else ""}{"" if address is None else _requests(address)}"""


def _requests(address: str) -> str:
    """Return the requests that validate and revoke a token.

    A token counts as revoked only if the authority then reports it as inactive.
    """
    status = f"""\
method: GET
url: '{address}{STATUS}'
headers:
  Authorization: '{_SCHEME} {{{{ TOKEN }}}}'
response_matcher:
  - type: StatusMatch
    status: [%d]
  - type: WordMatch
    words: ['"active":%s']
"""
    revoke = f"""\
method: POST
url: '{address}{REVOKE}'
headers:
  Authorization: '{_SCHEME} {{{{ TOKEN }}}}'
  Content-Type: application/x-www-form-urlencoded
body: 'token={{{{ TOKEN }}}}'
response_matcher:
  - type: StatusMatch
    status: [200, 401]
"""
    return f"""\
    validation:
      type: Http
      content:
        request:
{_indented(status % (200, "true"), 10)}    revocation:
      type: HttpMultiStep
      content:
        steps:
          - name: revoke the token
            request:
{_indented(revoke, 14)}          - name: check that the token is refused
            request:
{_indented(status % (401, "false"), 14)}"""


def _indented(text: str, spaces: int) -> str:
    return "".join(f"{' ' * spaces}{line}\n" for line in text.splitlines())
