"""Vendors that exchange jitid's tokens: the settings of each, the variables of its programs, its rule for `sub`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from jitid.values.record import Record

HOUR = 3_600


class VendorSetting(Record):
    """One setting of a vendor in the table `[federate.NAME]`."""

    meaning: str
    """With an example of a value."""
    variable: str | None = None
    """The variable that the programs of the vendor read; None if jitid writes it into a file, or only prints it."""
    required: bool = True
    is_address: bool = False
    """Whether programs of the vendor send the token to it: an https address."""
    is_label: bool = False
    """Whether it becomes a part of a host name to which programs of the vendor send the token."""


class Vendor(Record):
    """A vendor that accepts JWTs of other issuers."""

    title: str
    audience: str
    """The audience that the vendor expects unless the table states another; `{provider}` stands for that setting."""
    algorithm: str
    """The algorithm that is known to be accepted."""
    settings: Mapping[str, VendorSetting]
    token_file: str
    """The variable with the path of the token."""
    lifetime: int
    """The longest lifetime of an exchanged token in seconds, unless the table states another."""
    hidden: tuple[str, ...]
    """Further variables with which its programs would use another credential; they are hidden from the command."""
    families: tuple[str, ...]
    """Variables of its programs: names, and starts of names, which end with `_`.

    One of them may lead the token to another server, so each is hidden from the command unless it is `passed`.
    """
    passed: tuple[str, ...]
    """Names and starts of names of these families that choose neither a server nor a credential."""
    compares: Literal["prefix", "exact"] = "exact"
    """How the vendor's rule compares `sub`; `prefix`: a rule that ends with `*` matches every `sub` with that start."""
    by_subject_alone: bool = False
    """Whether its rules compare `sub` besides issuer and audience, and no other claim of jitid's tokens."""
    fetches_keys: bool = False
    """Whether it fetches the keys from the address of the issuer, and takes none inline."""
    kept: int = 0
    """The seconds for which its programs present a token again after they have read it."""
    once: bool = False
    """Whether the vendor accepts each `jti` once."""
    longest_subject: int = 255
    folders: tuple[str, ...] = ()
    """Variables with another folder for the settings of its programs; the command inherits them."""
    note: str = ""
    """A hint for users: values that its programs do not read by themselves."""
    one_of: tuple[str, ...] = ()
    """Settings of which its programs need one; which one depends on the program."""

    @property
    def variables(self) -> frozenset[str]:
        """The variables that the programs of the vendor read; an inherited value is hidden from the command."""
        named = [setting.variable for setting in self.settings.values() if setting.variable is not None]
        return frozenset({*self.hidden, *named, self.token_file})

    def hides(self, variable: str) -> bool:
        """Return whether an inherited variable is hidden from the command."""
        if variable in self.variables:
            return True
        return _is_among(variable, self.families) and not _is_among(variable, (*self.passed, *self.folders))


def _is_among(variable: str, names: tuple[str, ...]) -> bool:
    return any(variable.startswith(name) if name.endswith("_") else variable == name for name in names)


VENDORS: Mapping[str, Vendor] = {
    # anthropic 2.15: the variables, their order, and the refresh 120 s before the end.
    "anthropic": Vendor(
        "Anthropic",
        "https://api.anthropic.com",
        "ES256",
        {
            "rule": VendorSetting(
                "id of the federation rule, such as fdrl_01AbC", "ANTHROPIC_FEDERATION_RULE_ID"
            ),
            "organization": VendorSetting("id of the organization, a UUID", "ANTHROPIC_ORGANIZATION_ID"),
            "service_account": VendorSetting(
                "id of the service account, such as svac_01AbC",
                "ANTHROPIC_SERVICE_ACCOUNT_ID",
                required=False,
            ),
            "workspace": VendorSetting(
                "id of the workspace, such as wrkspc_01AbC", "ANTHROPIC_WORKSPACE_ID", required=False
            ),
            "base_url": VendorSetting(
                "address of a gateway", "ANTHROPIC_BASE_URL", required=False, is_address=True
            ),
        },
        "ANTHROPIC_IDENTITY_TOKEN_FILE",
        HOUR,
        (
            "ANTHROPIC_API_KEY",
            "ANTHROPIC_AUTH_TOKEN",
            "ANTHROPIC_PROFILE",
            "ANTHROPIC_IDENTITY_TOKEN",
            "ANTHROPIC_CUSTOM_HEADERS",
            "ANTHROPIC_SCOPE",
            "CLAUDE_CODE_OAUTH_TOKEN",
        ),
        (
            "ANTHROPIC_",
            "CLAUDE_CODE_OAUTH_",
            "CLAUDE_LOCAL_OAUTH_",
            "CLAUDE_CODE_API_BASE_URL",
            "CLAUDE_CODE_CUSTOM_OAUTH_URL",
            "CLAUDE_CODE_HOST_AUTH_ENV_VAR",
            "CLAUDE_CODE_SESSION_ACCESS_TOKEN",
            "CLAUDE_CODE_USE_GATEWAY",
            "CLAUDE_SESSION_INGRESS_TOKEN_FILE",
        ),
        (
            "ANTHROPIC_BETAS",
            "ANTHROPIC_CUSTOM_MODEL_",
            "ANTHROPIC_DEFAULT_",
            "ANTHROPIC_LOG",
            "ANTHROPIC_MODEL",
            "ANTHROPIC_OPEN_TELEMETRY",
            "ANTHROPIC_OPEN_TELEMETRY_",
            "ANTHROPIC_SMALL_FAST_MODEL",
        ),
        compares="prefix",
        once=True,
        folders=("CLAUDE_CONFIG_DIR",),
    ),
    # openai 3.57: the audience of its provider for Google, and no variable for the ids.
    "openai": Vendor(
        "OpenAI",
        "https://api.openai.com/v1",
        "ES256",
        {
            "rule": VendorSetting(
                "id of the federation rule, for Codex", "OPENAI_FEDERATION_RULE_ID", required=False
            ),
            "provider": VendorSetting(
                "id of the identity provider, for the SDK", "OPENAI_IDENTITY_PROVIDER_ID", required=False
            ),
            "service_account": VendorSetting(
                "id of the service account, for the SDK", "OPENAI_SERVICE_ACCOUNT_ID", required=False
            ),
            "base_url": VendorSetting(
                "address of a gateway, for the SDK", "OPENAI_BASE_URL", required=False, is_address=True
            ),
        },
        "OPENAI_IDENTITY_TOKEN_FILE",
        HOUR,
        ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "CODEX_API_KEY"),
        ("OPENAI_", "CODEX_"),
        (
            "OPENAI_API_VERSION",
            "OPENAI_DEFAULT_MODEL",
            "OPENAI_LOG",
            "OPENAI_MODEL",
            "OPENAI_ORGANIZATION",
            "OPENAI_ORG_ID",
            "OPENAI_PROJECT_ID",
            "CODEX_CA_CERTIFICATE",
            "CODEX_NON_INTERACTIVE",
            "CODEX_SANDBOX",
            "CODEX_SANDBOX_NETWORK_DISABLED",
            "CODEX_SESSION_ID",
            "CODEX_SQLITE_HOME",
            "CODEX_THREAD_ID",
        ),
        compares="prefix",
        folders=("CODEX_HOME",),
        note="the Python SDK takes ids and file as workload_identity=; see jitid-federation(7)",
        one_of=("rule", "provider"),
    ),
    # google-auth 2.63: `external_account` with `credential_source.file`, read at each refresh, with its line breaks.
    "google": Vendor(
        "Google Cloud",
        "https://iam.googleapis.com/{provider}",
        "ES256",
        {
            "provider": VendorSetting(
                "name of the pool's provider: projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/ID"
            ),
            "service_account": VendorSetting("e-mail of a service account to impersonate", required=False),
            "project": VendorSetting("id of the project", "GOOGLE_CLOUD_PROJECT", required=False),
            "token_url": VendorSetting(
                "address of the token service, if not Google's", required=False, is_address=True
            ),
        },
        "JITID_GOOGLE_TOKEN_FILE",
        HOUR,
        (
            "GOOGLE_APPLICATION_CREDENTIALS",
            "GOOGLE_API_KEY",
            "GEMINI_API_KEY",
            "GOOGLE_OAUTH_ACCESS_TOKEN",
            "GOOGLE_CREDENTIALS",
            "CLOUDSDK_AUTH_ACCESS_TOKEN",
            "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE",
            "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE",
        ),
        ("GOOGLE_", "GEMINI_", "CLOUDSDK_", "GCE_", "GCLOUD_"),
        (
            "GOOGLE_CLOUD_LOCATION",
            "GOOGLE_CLOUD_QUOTA_PROJECT",
            "GOOGLE_CLOUD_REGION",
            "GOOGLE_GENAI_USE_VERTEXAI",
            "GEMINI_MODEL",
            "CLOUDSDK_COMPUTE_REGION",
            "CLOUDSDK_COMPUTE_ZONE",
            "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
            "CLOUDSDK_CORE_DISABLE_PROMPTS",
            "CLOUDSDK_CORE_PROJECT",
            "CLOUDSDK_CORE_VERBOSITY",
            "CLOUDSDK_PROXY_",
            "CLOUDSDK_PYTHON",
            "CLOUDSDK_PYTHON_SITEPACKAGES",
            "CLOUDSDK_RUN_REGION",
        ),
        longest_subject=127,
    ),
    # azure-identity 1.27: it presents a token for 600 s after reading it.
    "azure": Vendor(
        "Microsoft Entra",
        "api://AzureADTokenExchange",
        "RS256",
        {
            "tenant": VendorSetting("id of the tenant, a UUID", "AZURE_TENANT_ID"),
            "client": VendorSetting("id of the application, a UUID", "AZURE_CLIENT_ID"),
            "authority": VendorSetting(
                "address of another cloud's authority",
                "AZURE_AUTHORITY_HOST",
                required=False,
                is_address=True,
            ),
        },
        "AZURE_FEDERATED_TOKEN_FILE",
        # Clients with continuous access evaluation get tokens for up to 28 hours.
        28 * HOUR,
        (
            "AZURE_CLIENT_SECRET",
            "AZURE_CLIENT_CERTIFICATE_PATH",
            "AZURE_CLIENT_CERTIFICATE_PASSWORD",
            "AZURE_USERNAME",
            "AZURE_PASSWORD",
            "AZURE_TOKEN_CREDENTIALS",
        ),
        ("AZURE_", "MSAL_", "MSI_", "IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IDENTITY_SERVER_THUMBPRINT"),
        (
            "AZURE_CORE_COLLECT_TELEMETRY",
            "AZURE_CORE_NO_COLOR",
            "AZURE_CORE_ONLY_SHOW_ERRORS",
            "AZURE_CORE_OUTPUT",
            "AZURE_DEFAULTS_",
            "AZURE_HTTP_USER_AGENT",
            "AZURE_LOCATION",
            "AZURE_LOG_LEVEL",
            "AZURE_RESOURCE_GROUP",
            "AZURE_SDK_LOGGING_MULTIRECORD",
            "AZURE_SDK_TRACING_IMPLEMENTATION",
            "AZURE_SUBSCRIPTION_ID",
            "AZURE_TRACING_ENABLED",
        ),
        by_subject_alone=True,
        fetches_keys=True,
        kept=600,
    ),
    # botocore 1.44: keys and profiles of the environment precede the file of a web identity.
    "aws": Vendor(
        "AWS",
        "sts.amazonaws.com",
        "ES256",
        {
            "role": VendorSetting("ARN of the role: arn:aws:iam::NUMBER:role/NAME", "AWS_ROLE_ARN"),
            "region": VendorSetting(
                "region, such as eu-central-1", "AWS_REGION", required=False, is_label=True
            ),
            "endpoint": VendorSetting(
                "address of the token service, if not AWS's",
                "AWS_ENDPOINT_URL_STS",
                required=False,
                is_address=True,
            ),
        },
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        # The longest session that a role can permit.
        12 * HOUR,
        (
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_SECURITY_TOKEN",
            "AWS_PROFILE",
            "AWS_DEFAULT_PROFILE",
            "AWS_DEFAULT_REGION",
            "AWS_ROLE_SESSION_NAME",
            "AWS_CONFIG_FILE",
            "AWS_SHARED_CREDENTIALS_FILE",
            "AWS_BEARER_TOKEN_BEDROCK",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        ),
        ("AWS_", "BOTO_CONFIG"),
        (
            "AWS_CA_BUNDLE",
            "AWS_CLI_AUTO_PROMPT",
            "AWS_CLI_FILE_ENCODING",
            "AWS_DEFAULTS_MODE",
            "AWS_DEFAULT_OUTPUT",
            "AWS_EC2_METADATA_DISABLED",
            "AWS_EXECUTION_ENV",
            "AWS_MAX_ATTEMPTS",
            "AWS_PAGER",
            "AWS_REQUEST_CHECKSUM_CALCULATION",
            "AWS_RESPONSE_CHECKSUM_VALIDATION",
            "AWS_RETRY_MODE",
            "AWS_SDK_LOAD_CONFIG",
            "AWS_SDK_UA_APP_ID",
            "AWS_STS_REGIONAL_ENDPOINTS",
            "AWS_USE_DUALSTACK_ENDPOINT",
            "AWS_USE_FIPS_ENDPOINT",
        ),
        compares="prefix",
        by_subject_alone=True,
        fetches_keys=True,
    ),
    # Vault and OpenBao: the method `jwt`; their programs do not read the file of a JWT automatically.
    "vault": Vendor(
        "Vault or OpenBao",
        "vault",
        "ES256",
        {
            "address": VendorSetting("address of the server", "VAULT_ADDR", is_address=True),
            "role": VendorSetting("role of the method `jwt`", "JITID_VAULT_ROLE"),
            "mount": VendorSetting("path of that method, if not `jwt`", "JITID_VAULT_MOUNT", required=False),
            "namespace": VendorSetting("namespace", "VAULT_NAMESPACE", required=False),
        },
        "JITID_VAULT_TOKEN_FILE",
        # The maximum of a server with its usual settings: 768 hours.
        768 * HOUR,
        ("VAULT_TOKEN", "BAO_TOKEN", "BAO_ADDR", "BAO_NAMESPACE"),
        ("VAULT_", "BAO_"),
        tuple(
            f"{program}_{name}"
            for program in ("VAULT", "BAO")
            for name in (
                "CACERT",
                "CACERT_BYTES",
                "CAPATH",
                "CLIENT_CERT",
                "CLIENT_KEY",
                "CLIENT_TIMEOUT",
                "CLI_NO_COLOR",
                "DISABLE_REDIRECTS",
                "FORMAT",
                "LOG_FORMAT",
                "LOG_LEVEL",
                "MAX_RETRIES",
                "RATE_LIMIT",
            )
        ),
        note="to log in: vault write auth/jwt/login role=$JITID_VAULT_ROLE jwt=@$JITID_VAULT_TOKEN_FILE",
    ),
}

UNSUPPORTED: Mapping[str, tuple[str, str]] = {
    "github": (
        "GitHub accepts no token of another issuer for its API and for git",
        "a program that makes installation tokens can be a target: --secret github=exec:TARGET, see jitid-exec(7)",
    ),
    "git": (
        "git uses a credential helper, and needs no exchange",
        "for a host that accepts jitid's tokens: jitid setup git",
    ),
}
"""Names that users expect, each with the reason and an alternative."""


def life_of(audience: str) -> int | None:
    """Return the longest lifetime of tokens that the vendor of an audience exchanges; None without a known vendor."""
    for name, vendor in VENDORS.items():
        if name == "vault":
            # Its usual audience is a word that other services may have as well.
            continue
        start = vendor.audience.partition("{")[0]
        if audience.startswith(start) or (
            start.startswith("https:") and audience.startswith(start[len("https:") :])
        ):
            return vendor.lifetime
    return None
