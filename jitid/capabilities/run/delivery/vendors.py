"""Deliver tokens to the unmodified programs of vendors: the variables and the files that they look for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jitid.capabilities.run.delivery.delivery import Files
from jitid.errors import UsageError
from jitid.model.federation import Federation
from jitid.values.text import quote

_GOOGLE, _GCLOUD = "GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE"
_AWS_CONFIG, _AWS_KEYS = "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"
_STS = "https://sts.googleapis.com/v1/token"
_JWT = "urn:ietf:params:oauth:token-type:jwt"
_MOST_NAMES = 8


class Vendors:
    """The variables and files for the vendors of a run; they stay valid when a token is replaced."""

    def __init__(
        self, federations: Mapping[str, Federation], paths: Mapping[str, str], identity: str
    ) -> None:
        """Prepare them. `paths` are the files of the tokens by the names of the federations; `identity` is the id."""
        self._federations = federations
        self._paths = paths
        self._identity = identity
        self._files = Files()

    def environment(self) -> dict[str, str]:
        """Return the variables that lead the programs to the tokens. Raises StorageError."""
        variables: dict[str, str] = {}
        for name, federation in self._federations.items():
            variables |= self._of(federation, self._paths[name])
        return variables

    def hidden(self, environ: Mapping[str, str]) -> frozenset[str]:
        """Return the inherited variables with which the programs might use other credentials, servers or settings."""
        vendors = [federation.vendor for federation in self._federations.values()]
        return frozenset(name for name in environ if any(vendor.hides(name) for vendor in vendors))

    def destinations(self, environ: Mapping[str, str]) -> list[str]:
        """Return notes on other addresses than the vendors' own, and on variables that might name some."""
        notes = []
        for name, federation in self._federations.items():
            vendor, settings = federation.vendor, federation.settings
            notes += [
                f"{vendor.title}: the token is sent to {quote(settings[key])} (federate.{name}.{key})"
                for key, setting in vendor.settings.items()
                if setting.is_address and key in settings
            ]
            notes += [
                f"{vendor.title}: {variable} is set; settings in that folder may name another address for the token"
                for variable in vendor.folders
                if environ.get(variable)
            ]
            hidden = _surprising(federation, environ)
            if hidden:
                more = f" and {len(hidden) - _MOST_NAMES} more" if len(hidden) > _MOST_NAMES else ""
                # The values may have passwords.
                notes.append(
                    f"{vendor.title}: hidden from the command: {', '.join(hidden[:_MOST_NAMES])}{more}; for settings: "
                    f"jitid federate {name}; otherwise: -- env NAME=VALUE COMMAND"
                )
        return notes

    def close(self) -> None:
        """Delete the files."""
        self._files.close()

    def _of(self, federation: Federation, path: str) -> dict[str, str]:
        vendor, settings = federation.vendor, federation.settings
        variables = {
            setting.variable: settings[name]
            for name, setting in vendor.settings.items()
            if setting.variable is not None and name in settings
        }
        variables[vendor.token_file] = path
        match federation.vendor_name:
            case "google":
                written = self._files.write(_GOOGLE, json.dumps(external_account(settings, path)))
                variables |= {_GOOGLE: written, _GCLOUD: written}
            case "vault":
                variables["BAO_ADDR"] = settings["address"]
                if "namespace" in settings:
                    variables["BAO_NAMESPACE"] = settings["namespace"]
            case "aws":
                variables["AWS_ROLE_SESSION_NAME"] = self._identity
                region = settings.get("region")
                if region is not None:
                    variables["AWS_DEFAULT_REGION"] = region
                # A role or keys in the user's own files would precede the token, or replace it at an error.
                section = "[default]\n" + ("" if region is None else f"region = {region}\n")
                variables[_AWS_CONFIG] = self._files.write(_AWS_CONFIG, section)
                variables[_AWS_KEYS] = self._files.write(_AWS_KEYS, "")
        return variables


def external_account(settings: Mapping[str, str], path: str) -> dict[str, Any]:
    """Return the credential configuration of Google's libraries for a token file (AIP-4117)."""
    account = settings.get("service_account")
    document: dict[str, Any] = {
        "type": "external_account",
        "audience": f"//iam.googleapis.com/{settings['provider'].strip('/')}",
        "subject_token_type": _JWT,
        "token_url": settings.get("token_url", _STS),
        "credential_source": {"file": path, "format": {"type": "text"}},
    }
    if account is not None:
        document["service_account_impersonation_url"] = (
            f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{account}:generateAccessToken"
        )
    return document


def _surprising(federation: Federation, environ: Mapping[str, str]) -> list[str]:
    """Return the hidden variables that are neither credentials nor replaced by the table of the vendor."""
    vendor = federation.vendor
    stated = [setting.variable for key, setting in vendor.settings.items() if key in federation.settings]
    usual = {*vendor.hidden, vendor.token_file, *stated}
    return sorted(name for name in environ if vendor.hides(name) and name not in usual)


def check(federations: Mapping[str, Federation]) -> None:
    """Raise UsageError if a setting is missing, or if two of them would use the same variables."""
    vendors: dict[str, str] = {}
    for name, federation in federations.items():
        if missing := federation.missing:
            keys = " and ".join(f"federate.{name}.{key}" for key in missing)
            raise UsageError(
                f"{federation.vendor.title} needs the {'settings' if len(missing) > 1 else 'setting'} {keys}",
                f"jitid config set federate.{name}.{missing[0]} VALUE; "
                f"the value: {federation.vendor.settings[missing[0]].meaning}; for all settings: "
                f"jitid federate {name}, or before there is a ledger: jitid-federation(7)",
            )
        if (other := vendors.setdefault(federation.vendor_name, name)) != name:
            raise UsageError(
                f"{quote(other)} and {quote(name)} have the same variables of {federation.vendor.title}",
                "use one run for each",
            )
