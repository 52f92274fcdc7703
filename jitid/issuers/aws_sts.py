"""The kind `aws-sts`: sessions of AWS roles. `aws/sts.py` makes and ends them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from jitid.issuers.issuer import KindSpec
from jitid.issuers.target_issuer import AdoptedReference, KindOptions
from jitid.model import adopted
from jitid.values.secret import Secret

if TYPE_CHECKING:
    from jitid.issuers.target_issuer import OutsideIssuer, TargetCall
    from jitid.model.target import Target

ACCESS_KEY = re.compile(adopted.ACCESS_KEY)
"""The id of an access key (IAM User Guide, "IAM identifiers"). It is not a secret."""


def _target(target: Target, call: TargetCall) -> OutsideIssuer:
    from jitid.issuers.aws.sts import AwsStsIssuer

    return AwsStsIssuer(
        target,
        timeout=call.timeout,
        issuer=call.issuer,
        trust_domain=call.trust_domain,
        signer=call.signer,
    )


def _options() -> KindOptions:
    from jitid.issuers.aws import session_policy

    return KindOptions(session_policy.OPTIONS, session_policy.TEMPLATE_OPTIONS)


def credential_process(secret: Secret, expires_at: int) -> str:
    """Return the output of a `credential_process` program (AWS SDKs and Tools, process credential provider)."""
    from jitid.formats.json import dumps
    from jitid.values.times import format_time

    return dumps(
        {
            "Version": 1,
            "AccessKeyId": secret.reveal("access_key_id"),
            "SecretAccessKey": secret.reveal("secret_access_key"),
            "SessionToken": secret.reveal("session_token"),
            "Expiration": format_time(expires_at),
        }
    )


KIND = KindSpec(
    target=_target,
    options=_options,
    adopted=AdoptedReference(
        "the id of the access key", lambda text: text if ACCESS_KEY.fullmatch(text) else None
    ),
    text=credential_process,
    delivery="aws_profile",
)
