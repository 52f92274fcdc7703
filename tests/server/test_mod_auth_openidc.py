"""Apache's mod_auth_openidc reads the metadata, and introspects tokens with a client's name and secret."""

from __future__ import annotations

import json
from pathlib import Path

from tests.apache import apache
from tests.nginx import get
from tests.real import free_port
from tests.server.asking import API, Asked, configured, grant
from tests.serving import serving

SETTINGS = """
OIDCProviderMetadataURL {issuer}/.well-known/openid-configuration
OIDCClientID {name}
OIDCClientSecret {secret}
OIDCRedirectURI http://127.0.0.1:PORT/login/redirect
OIDCOAuthServerMetadataURL {issuer}/.well-known/oauth-authorization-server
OIDCOAuthClientID {name}
OIDCOAuthClientSecret {secret}
OIDCOAuthRemoteUserClaim sub
OIDCOAuthTokenIntrospectionInterval -1
<Location /login>
 AuthType openid-connect
 Require valid-user
</Location>
<Location /api>
 AuthType oauth20
 Require claim sub:{name}
</Location>
"""


def test_it_lets_tokens_in_while_they_are_valid_and_nobody_logs_in(tmp_path: Path) -> None:
    """A login ends at the authorization endpoint, which refuses it without redirecting back."""
    name, port = "system:gate", free_port()
    issuer = f"http://127.0.0.1:{port}"
    shell = configured(tmp_path, (), issuer=issuer)
    with serving(tmp_path, "--bind", f"127.0.0.1:{port}", ledger=shell.ledger) as served:
        secret = grant(shell, name, "verifier")
        asked = Asked(served, shell)
        own = asked.form("/token", bearer=secret, grant_type="client_credentials", audience=API)
        token = own.json["access_token"]
        settings = SETTINGS.format(issuer=issuer, name=name, secret=secret)
        with apache(tmp_path, settings, "api", "login") as front:
            place = f"{front}/api/"
            assert get(place, Authorization=f"Bearer {token}")[::2] == (200, "the page of api")
            assert get(place, Authorization="Bearer x")[0] == 401
            assert get(place)[0] == 401
            # The browser is redirected to the authorization endpoint.
            status, headers, refusal = get(f"{front}/login/", Accept="text/html")
            assert (status, json.loads(refusal)["error"]) == (400, "unauthorized_client")
            assert "Location" not in headers
            assert asked.form("/revoke", bearer=secret, token=token).status == 200
            assert get(place, Authorization=f"Bearer {token}")[0] == 401
