"""What a target can do about a standing secret that it has not made: by what it is told there."""

from __future__ import annotations

import re
from typing import assert_never

from jitid.errors import UsageError
from jitid.model.credential import Kind, sort_of
from jitid.values.text import quote

ACCESS_KEY = re.compile(r"(?:AKIA|ASIA)[A-Z0-9]{12,124}")
"""The id of AWS's access keys (IAM User Guide, "IAM identifiers"), which is no secret."""
_LONGEST_ROLE = 63


def reference_of(kind: str, reference: str | None) -> str:
    """Return what is kept of what a standing secret is called at a target that makes credentials of a kind.

    Raises UsageError for what nothing there is called, and for a kind that ends nothing but what it has made.
    """
    sort, kept = sort_of(kind), reference
    match sort:
        case Kind.POSTGRES_ROLE:
            wanted = "the name of the role"
            fits = reference is not None and len(reference.encode()) <= _LONGEST_ROLE
        case Kind.AWS_STS:
            wanted = "the id of the access key"
            fits = reference is not None and ACCESS_KEY.fullmatch(reference) is not None
        case Kind.OPENBAO_LEASE:
            from jitid.issuers.openbao.look_up import SecretReference

            wanted = "the accessor of the token"
            fits = reference is not None and " " not in reference
            kept = SecretReference(reference or "", adopted=True).text
        case Kind.EXEC:
            wanted = "what the program calls it"
            fits = reference is not None
        case Kind.JWT | Kind.OPAQUE | Kind.JWT_SVID | Kind.X509_SVID | Kind.SSH_CERT | Kind.ADOPTED:
            raise UsageError(
                f"credentials of the kind {quote(kind)} are made here, and the target ends nothing else",
                "leave --target out: then somebody has to end it, and says so with jitid adopt ended",
            )
        case _:
            assert_never(sort)
    if not fits or kept is None:
        raise UsageError(f"--reference is to say what it is called at the target: {wanted}")
    return kept
