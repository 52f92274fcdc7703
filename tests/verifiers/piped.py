"""Verifiers that are commands: a script receives one token on its standard input."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.real import need
from tests.verifiers.cases import AUDIENCE, ISSUER
from tests.verifiers.inside import Verdicts

LATCHSET = "latchset jose"
"""The command `jose` of latchset, which is not the library of that name."""

_SCRIPT = """
set -eu
cat >token
grep -Eqx '[[:alnum:]_-]+([.][[:alnum:]_-]+){2}' token
cut -d. -f1 token | jose b64 dec -i - -O header
kid=$(jq -er .kid header)
jq -e --arg kid "$kid" '.keys[] | select(.kid == $kid)' jwks.json >key.json
jose jws ver -i token -k key.json -O claims
jq -es --arg alg "$ALGORITHM" 'length == 1 and (.[0] | .alg == $alg and
    .typ == "at+jwt" and (has("crit") | not))' header
jq -es --arg iss "$ISSUER" --arg aud "$AUDIENCE" 'length == 1 and (.[0] |
    .iss == $iss and (.aud == $aud or
        (.aud | type == "array" and index($aud) != null)) and
    ([.exp, .iat, .nbf // 0] | map(type) | unique) == ["number"] and
    .exp > now and .iat <= now and (.nbf // 0) <= now)' claims
"""


class Piped:
    """The commands, with their files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def verify(self, algorithm: str, jwks: dict[str, Any], tokens: Sequence[str]) -> Verdicts:
        """Verify with latchset's `jose` and with `jq`."""
        need("jose")
        need("jq")
        self._folder.mkdir(exist_ok=True)
        (self._folder / "jwks.json").write_text(json.dumps(jwks))
        return [self._verdict(algorithm, token) for token in tokens]

    def _verdict(self, algorithm: str, token: str) -> str | None:
        done = subprocess.run(
            ["sh", "-c", _SCRIPT],
            input=token.encode(),
            env={"PATH": os.environ["PATH"], "ALGORITHM": algorithm, "ISSUER": ISSUER, "AUDIENCE": AUDIENCE},
            cwd=self._folder,
            capture_output=True,
            timeout=60,
        )
        said = done.stderr.decode(errors="replace").strip()
        return None if done.returncode == 0 else f"{done.returncode} {said[-200:]}"
