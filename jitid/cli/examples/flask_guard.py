"""A guard for Flask: no request reaches the application without a valid token for it.

    pip install flask                     # beside jitid
    flask --app flask_guard run

The views find the verified token at `flask.g.token`.
"""

from flask import Flask, Response, g, jsonify, request

import jitid

AUDIENCE = "https://api.example"

app = Flask(__name__)


@app.before_request
def guard() -> None:
    """Verify the bearer token of the request (RFC 6750)."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    presented = token if scheme.lower() == "bearer" else ""
    g.token = jitid.verify(presented, audience=AUDIENCE, timeout=10)


@app.errorhandler(jitid.InvalidCredentialError)
def refused(error: jitid.InvalidCredentialError) -> tuple[Response, int, dict[str, str]]:
    """Return the answer to a request without a valid token."""
    return jsonify(error=str(error)), 401, {"WWW-Authenticate": 'Bearer error="invalid_token"'}


@app.get("/issues")
def issues() -> tuple[Response, int, dict[str, str]]:
    """Answer a request that requires a scope."""
    if not g.token.permits("repo:read:acme"):
        return jsonify(), 403, {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}
    # Both names belong into the service's own log: the delegator, and the acting agent.
    return jsonify(delegator=g.token.delegator, agent=g.token.agent), 200, {}
