"""Texts of the man pages beyond the help and the examples; paragraphs have a blank line between them."""

from __future__ import annotations

from collections.abc import Mapping

WHAT_IT_IS = """\
An AI agent starts, does one task for somebody, and is gone. jitid gives it an identity when it starts and
takes it away when the task ends: a short-lived, scoped credential that says who acts, for whom, for what,
with which rights and until when. A ledger remembers every credential that was ever issued, never the secret.

There is nothing to set up: the first `jitid issue` makes the ledger, a signing key and a policy, and says so
on standard error."""

WORDS: Mapping[str, str] = {
    "task": """\
The unit of work, named by its user. Its first issue fixes purpose, sensitivity (low, moderate, high or
critical) and deadline. It belongs to the delegator for whom it was opened; another one's task of the same name is
another task. `OWNER/NAME`, such as `user:alice/INC-4821`, names one whoever asks. The name of a task that has ended is
never used again by its owner.""",
    "delegator": """\
Who asks: `user:alice`, `system:ci`, or an agent through its own credential. A bare name means `user:`. It is
a claim unless it is proved.""",
    "agent": "Who acts.",
    "identity": """\
One agent on one task for one delegator, with an id that begins with `jid_`. Identities delegate to
identities, and so they form trees.""",
    "credential": """\
What the agent holds: a token of kind `jwt` or `opaque`, with an id that begins with `jti_`, with scopes,
audiences and an expiry.""",
    "scope": """\
A right, as segments between colons. A segment may be or end in `*`. The number of segments counts: `repo:*`
covers `repo:acme`, and not `repo:acme:read`.""",
}

FORMS = """\
Names have 1 to 128 ASCII letters, digits and characters of `._@:/+-`. Durations are written as `90s`, `15m`,
`1h30m` or `2d`; a number alone is seconds. Times are those of RFC 3339, as `2026-11-24T12:00:00Z`; in claims
and in the fields of RFC 7662 they are integers.

A secret comes from a file or from standard input, never from the command line. `-` in the place of a file is
standard input."""

OUTPUT = """\
Data goes to standard output, talk to standard error. On a terminal there are tables; elsewhere there are
tab-separated lines, not cut off and without a header. `json` is one document with a member `schema`, `jsonl`
one object a line, `csv` has a header and is safe to open in a spreadsheet. With --field there is one value a
line. The names of fields are a stable interface; each verb's page lists them.

In tables, lines and messages, characters that act on a terminal or hide in it are shown as escapes. JSON
gives every text back unchanged.

An error is a sentence and perhaps a hint. With a JSON format it is one line of JSON, with the members `code`,
`message`, `hint` and `retryable` inside `error`."""

TOKENS = """\
A `jwt` is a compact JWS, signed with Ed25519, or with P-256 for audiences that the configuration says. An identity
token has the type `jitid-identity+jwt` and names the authority alone: by it the agent renews, delegates and obtains
service tokens. A service token has the type `at+jwt` (RFC 9068) and names services, never the authority. Claims:
`sub` is the root delegator; `act` is the agent that acts now, with earlier ones nested inside (RFC 8693);
`client_id` is the agent's name; `txn` is the task; `may_act` says who may exchange a service token (RFC 8693,
section 4.4); `delegator_proof` says how the root delegator was proved, at every depth; `jitid` holds purpose,
sensitivity and depth; `authorization_details` stands where some were given (RFC 9396).

An `opaque` token is `jitid_`, 32 random characters and a checksum of 6. Only the ledger can say what it is."""

GLOBAL = """\
They stand before or after the verb; only --version stands before it alone. The last one given counts."""

BLANK = """\
An option on the line goes before its variable. A variable that is set and blank is an error."""

NO_VARIABLE = """\
No selection comes from a variable, nor does --yes, --max or --accept-clock. Nor does a guard rail: see
CONFIGURATION."""

ENVIRONMENT: Mapping[str, str] = {
    "JITID_CONFIG": "The user's configuration file, which must then exist.",
    "JITID_PROFILE": "The profile to lay over the configuration.",
    "JITID_TOKEN_FILE": "The token that a command shows to a service, as `jitid run` keeps it.",
    "CREDENTIALS_DIRECTORY": "Where systemd puts a service's credentials; `jitid-credential` is looked for there.",
    "HOME": "The home folder, where the default places are.",
    "XDG_CONFIG_HOME": "The folder of the user's configuration instead of ~/.config/.",
    "XDG_DATA_HOME": "The folder of the default ledger instead of ~/.local/share/.",
    "XDG_CONFIG_DIRS": "The folders of the system's configuration instead of /etc/xdg/.",
    "NO_COLOR": "No colours, whatever the terminal.",
    "FORCE_COLOR": "Colours, whatever the terminal; `0` means nothing.",
    "TERM": "No colours if it is `dumb`.",
    "COLUMNS": "How wide tables are drawn.",
}
"""Variables that belong neither to a setting nor to an option of a verb."""

CONFIGURATION = """\
A value comes from the first of these that has it: the command line, the environment, the project's file, the
user's file, the system's files, the default. `jitid config show` tells each value, with --origin where it
came from. Files are TOML; a table `[profile.NAME]` lays over its own file. A file that others may write is
refused.

A setting without a variable is a guard rail: `max`, `max_issue`, `delegators`, `timezone`, `detail_types`, and those
that begin with `sweep_`, `approval_`, `recurs_`, `retain_` or, as limits, `serve_`. A file or profile that
JITID_CONFIG, JITID_PROFILE, XDG_CONFIG_HOME, XDG_CONFIG_DIRS or HOME names may make a guard rail stricter, never
looser: the stricter value counts, with a warning. These files count fully: the one that --config names, with the
profile that --profile names; without --config, the one in the home folder of the password database; and the system's in
/etc/xdg/. Floors of these files hold as well, whatever file is named.

A project's file comes with other people's code. It may name the work and make it stricter; what it may not
say makes it unheeded as a whole, with a warning."""

TABLES = """\
Besides the settings there are tables, in the user's and the system's files only: the least sensitivity of
what a scope or an audience touches (see jitid-policy(7)), the algorithm for an audience, and the issuers
whose ID tokens prove a delegator. `jwks` is a file or an https address, `audience` is what the issuer writes
for us, `claim` names the delegator (`sub` unless set), `kind` is `user` or `system`, `names` are patterns of the
names that the issuer may prove, `clients` says which caller of the authority a client of the issuer is."""

REMOTE = """\
With --remote, JITID_REMOTE or the setting `remote`, an authority elsewhere is asked, the one of jitid-serve(1), and no
ledger here: `https://HOST[:PORT][/PATH]`, `unix:///PATH` for a Unix socket of this machine, or `http://127.0.0.1:PORT`
and nothing else without TLS. --remote and --ledger cannot go together; where they come from different places, the
nearer one counts. The verbs do what they do beside the ledger, with the same output and the same status; those that
need the ledger's own files (`serve`, `schedule`, `ledger copy`, and `policy` about the policy in force) say so and end
with 2.

Who asks proves it. Over a Unix socket the kernel does. Otherwise there is a credential, from the first of these
that has one: the descriptor that --credential-fd names; the file that --credential-file,
JITID_REMOTE_CREDENTIAL_FILE or the setting `remote_credential_file` names; the file that JITID_PARENT_FILE names,
which is the agent's identity token under jitid-run(1); `jitid-credential` in $CREDENTIALS_DIRECTORY, where systemd
puts it (LoadCredential=). It is a line of text in a file of mode 0600, read for each request; one that others may
read is not used. There is no option and no variable for the credential itself. Without --delegator, `issue` and
`run` delegate as whom the caller is proved to be.

Who answers proves it as well: by a certificate that the system's authorities vouch for, or those in the file of the
setting `remote_ca`, for the host of the address, over TLS 1.2 or newer. Nothing turns that off, and no redirection is
followed. A certificate that is not in order is status 7, since trying again does not help and somebody may stand
between; an authority that cannot be reached, or does not answer within --timeout, is 5; one that does not know the
caller, or does not serve them, is 6; one whose answer cannot be used is 5.

Without --timeout (or its setting) a wait has its own limit: 30 seconds, and 15 minutes for what looks at the whole
ledger. A stated one bounds all waits of the command together, its retries and targets included. The time that the
caller takes does not count: to answer a question, to write standard input, to read the output. What --timeout cuts
ends with 5; a sweep ends with 11 and lists the rules that it did not examine. For `run` it bounds the start; `serve`,
`mcp` and `audit log --follow` wait without it, and --wait has its own time. What was made and could not be handed out
is revoked within 30 more seconds.

What may be asked twice is asked again within --timeout when its answer was lost: what only reads, revoking and
retiring, and what issues or renews, under a key by which the authority knows it again; what the first try made then
ends in the same moment. Anything else whose answer was lost ends with 5, and may have been done; so may what a gateway
before the authority answers in its place. Nothing that was
answered is kept here, so that nothing outlives a revocation."""

EXAMPLE_CONFIGURATION = """\
[floor.scope]
"prod:*" = "high"

[floor.audience]
"https://payments.example" = "critical"

[algorithm.audience]
"https://aws.example" = "ES256"

[oidc."https://token.actions.example"]
jwks = "https://token.actions.example/.well-known/jwks"
audience = "jitid"
kind = "system"

[oidc."https://login.example"]
jwks = "https://login.example/jwks"
audience = "jitid"
names = ["*@example.com"]
"""

FILES: Mapping[str, str] = {
    "~/.local/share/jitid/": """\
Ledger, keys, policy and lock, unless --ledger says otherwise; see jitid-ledger(5). `authority/` in it holds the keys of
a ledger in PostgreSQL. Where that was there first, the ledger is in `ledger/` beside it.""",
    "~/.config/jitid/config.toml": "The user's configuration.",
    ".jitid.toml": """\
A project's configuration, in the working directory or the nearest folder above it that has one, up to the
home folder.""",
    "/etc/xdg/jitid/config.toml": "The system's configuration.",
}

ELSEWHERE = """\
On systems other than Linux these are the platform's own folders."""

STANDARDS = """\
RFC 3339 (times), RFC 7515 and RFC 7519 (tokens), RFC 7517 (key sets), RFC 7662 (names of what `inspect`
tells), RFC 8037 (Ed25519), RFC 8693 (actors), RFC 9068 (access tokens), RFC 9396 (authorization details), RFC
9562 (ids)."""

ELSEWHERE_OPTIONS = "The global options are told in jitid(1)."

ANY_VERB = "What any verb can end with is told in jitid(1)."

SIGNAL = "Ended by signal n."

OWN_STATUS = "The command's own; 128+n if signal n ended it."

MORE: Mapping[str, str] = {
    "issue": """\
The first issue on a task fixes its purpose, its sensitivity and its deadline; a later one that states another
value is an error. Without --scope the credential holds the identity alone. What is too long a life is
shortened, with a note. One refused scope refuses all, unless --allow-narrower is given.

Without --audience it is an identity token: for jitid alone, to renew, to delegate, and to obtain service tokens for
what --may-audience names. With --audience it is a service token, to be shown to these services; an authority
accepts it as no right. An audience of --may-audience is a name, or an origin in which a `*` is one whole label of
the host: https://*.example.com is https://api.example.com, and neither https://example.com nor
https://a.b.example.com nor a URL with a path. Scheme and port are the same. The authority's own names are neither.

--may-act CALLER=AUD,... lets a service to which the token is shown exchange it at the authority for a token for
AUD, if `jitid access grant --audience` makes an audience of the token the caller's own. Without AUD that is an
audience of the token. A second --may-act is for what the first caller obtains, and so on.

With --parent-file, the task is the parent's, or one below it, such as INC-4821/tests; on a task that another delegator
shares it is the parent's. Nothing can be more than the parent holds:
scopes, details, kinds, expiry, and the audiences that it may obtain tokens for. The delegator is then the parent's:
JITID_DELEGATOR is not heeded, and --delegator is an error.

A line of --from-file is an object with the members `task`, `delegator`, `agent`, `kind`, `scope`, `audience`,
`ttl`, `purpose`, `sensitivity`, `deadline`, `detail`, `may_audience`, `may_act` and `may_kind`; what it leaves out
is as on the command line. Up to a thousand credentials are one transaction: of the one that holds a bad line,
nothing is done.

More credentials than the setting max_issue (10,000) need --yes; at a terminal jitid asks for the number instead. A list
is counted before anything is issued. Of a list that is too long to be held in memory, the lines before the limit are
issued, and the message says how many. One credential has at most 128 scopes, 128 audiences and 128 details.
One transaction has at most 1,000 credentials, and 8,192 scopes and kinds, each credential counting as one more.

An approval is one of exactly what was asked for: agent, delegator and how they were proved, task with its purpose,
sensitivity and deadline, kind, template, kinds and audiences to obtain, scopes, audiences, who may exchange it,
details, lifetime, parent, public key, --allow-narrower, and the number of copies. Whatever differs is another
request; the same one again, while it is open, has the same id. Only its requester can use it: the same person, or
the same agent's identity, also after a renewal. Another caller with the same request makes a request of its own. It
is used once, within minutes (jitid-approve-grant(1)), and the credential is not renewed. --wait looks at the ledger
every few seconds without holding it, and decides by the policy as it is then; an ID token or a parent's token must
still be valid then. Of --from-file all lines that lack an approval are asked for together. Of --count each thousand
is a request. With --allow-narrower nobody is asked as long as something is left. A thousand requests of
agents for one delegator can be open at once, and as many of others.

KIND is `jwt`, `opaque`, `jwt-svid`, `x509-svid` or `ssh-cert`, which are made here; or `aws-sts`, `postgres-role`,
`openbao-lease` or `exec:NAME`, which a target of the configuration makes (jitid-targets(5)). KIND:TEMPLATE makes it
from a template of a target. What is printed is what its users read: a token alone on a line; of an `x509-svid` the
certificates and then the key, both PEM; of an `ssh-cert` the key and then the line of the certificate; of a
`postgres-role` its URL; of an `aws-sts` what `credential_process` prints, on one line; of the others one JSON object
with their parts by their names. With --out an `ssh-cert` is two files, FILE with the key and FILE-cert.pub.
FILE is new, or a regular file of your own, which is replaced: another user's file, a link or a named pipe is refused
before anything is issued. If FILE holds a token of this ledger that is still valid, a note says which one, until when
it stays valid, and how to revoke it. /dev/fd/3 names a descriptor that your shell opened. In JSON the
parts are members of `secret`, and --field takes the name of a part.

With --may-kind the holder may obtain credentials of these kinds by the token, and delegate them; without it, `jwt` and
`opaque`. KIND alone means the kind without a template. A rule of the policy must name each kind other than `jwt` and
`opaque`, and each template; below a parent they are among the parent's. With --allow-narrower the others are left out.

With --public-key the certificate is of a key that whoever asks has made, and no key is printed: a public key or a
certificate request (PKCS#10) as PEM, or a line of OpenSSH.""",
    "run": """\
The command runs under your user unless it changes that itself, and then it is not confined: it can do what you can. It
can read the signing key where you can. At the socket of an authority the kernel names the user, so the command acts as
you there, without its token. Only another user closes this: the authority runs under one (`jitid serve --socket`), the
command under another that may not connect to that socket. As root:

`HOME=/var/lib/jitid setpriv --reuid=jitid --regid=jitid --clear-groups jitid serve --socket /run/jitid/sock &`

`jitid run --remote unix:///run/jitid/sock --task INC-1 --env TOKEN -- env HOME=/var/lib/agent setpriv --reuid=agent
--regid=agent --clear-groups ./agent.sh`

jitid-doctor(1) in there names the state: `key readable`, `person impersonable` or `confined`. The command has its token
in `$TOKEN`, and can show it; the file in the memory of `run` it cannot read. So `jitid issue`, `list` and `renew` in
there need more. Let the authority listen on loopback too: `jitid serve` with --bind 127.0.0.1:8477. Let the command
begin with:

`umask 077; printf %s "$TOKEN" > ~/token; export JITID_PARENT_FILE=~/token JITID_REMOTE=http://127.0.0.1:8477`

Without --audience both variables name the identity token, and a note says so: a service wants a token that names
it. With --may-audience a `jitid` inside obtains tokens for further services. The command also gets JITID_ID, its
identity, JITID_TASK and JITID_LEDGER, or JITID_REMOTE in its place, and JITID_CONFIG and JITID_PROFILE where
--config and --profile are given. JITID_DELEGATOR, JITID_DELEGATOR_TOKEN_FILE, JITID_AGENT, JITID_SCOPE,
JITID_SECRET, JITID_MAY_AUDIENCE, JITID_MAY_KIND and JITID_REMOTE_CREDENTIAL_FILE are not passed on: an authority
elsewhere is asked with the command's own credential.

The file in memory is for the same user in the same PID namespace. Where the command becomes another user, or
runs in a container, let it be a file: --file. Without memory files or a /proc of its own it is a file in a
private folder by itself. With --env the token is not renewed, and the command is ended when it expires; nor is a
token that was issued by an approval (jitid-issue(1)).

Signals are passed on to the command, and to it alone: what it has started is its own to end. A key at the
terminal reaches both of them by the terminal. Whoever signals a whole process group, as `timeout` does,
reaches the command twice.

If `jitid run` itself is killed, the command is killed with it, on Linux, and its credential lives until its
expiry. Then `jitid list` and `jitid doctor` tell that the process is gone, where it can be seen, and how to
end what it had. Not killed with it are processes that the command has started, and a command that has gained
another user's rights, which cannot be signalled either; the identity ends for all of them.

With --secret NAME=KIND[:TEMPLATE] the command has further credentials of its identity, each asked of the policy by its
kind and template. NAME is the run's own word for it. All of them are made before the command starts, or it does not
start, and what was made for it ends. Each is renewed with a third of its life left: its files then give the successor,
and the earlier one works until its own expiry. At the end of the command all end, at their targets too, within 20
seconds for each target; what a target does not confirm by then is said, and the next sweep goes on with it.

The identity of the run may obtain `jwt` and `opaque`; with a --secret of another kind it may obtain its own kind, and
the kinds of its --secret with exactly their templates. --may-kind names others, in place of `jwt`, `opaque` and its
own: a `jitid helper` or a `jitid run` within obtains those that the outer run permits. A rule of the policy must name
each kind (jitid-policy(7)).

JITID_SECRET_NAME is a file in memory with the whole secret, as jitid-issue(1) prints it; JITID_SECRET_NAME_PART is
one with a part of it, where it has several: `certificate` and `key`, `username`, `password` and `url`, and so on;
beside an `x509-svid` JITID_SECRET_NAME_BUNDLE has the certificates by which its peers are checked. They are for the
same user in the same PID namespace; --file is about the token alone. Besides, each kind is where its users look:

A `postgres-role` is a service of libpq: PGSERVICEFILE and PGPASSFILE are in memory; PGSERVICE, PGUSER, PGHOST, PGPORT
and PGDATABASE say what the first one is; another one is `psql service=NAME`. A renewal is another role, which the
service names from then on.

An `aws-sts` is a profile NAME, and the first one is `default` too: AWS_CONFIG_FILE has a `credential_process` that
gives the keys, AWS_SHARED_CREDENTIALS_FILE is empty, and variables that lead to other keys are taken away.

A token or an `x509-svid` whose template names a cluster (`kube_server`) is a context NAME, and the first one is the
current one: KUBECONFIG has it, with an exec plug-in that gives the token or the certificate.

An `ssh-cert` is in an ssh-agent that dies with the run: SSH_AUTH_SOCK leads to it, and the user's own one is out of
reach.""",
    "mcp": """\
FILE has the agent's identity token. It is what `jitid run` names in JITID_PARENT_FILE, and renews in place. Many
clients hand only a few variables on to the servers that they start: then give FILE, and --ledger where it is not the
usual one. `jitid run` with its own --file puts the token where a client's configuration can name it.

Beside a ledger the server has more rights than the agent that it serves. What the agent asks for is done as over an
authority (jitid-authority(7)), by the right of the token in FILE alone: the agent gets the name of a registered agent
only where the record of that lets it (--may-use of jitid-agent-register(1)), and a service token in FILE gives it
nothing. The audit log says `agent:NAME` of it, with the `jti` of the token as `bearer`. Three things the server does as
whoever started it: it accepts the clock (--accept-clock), ends what could not be handed out and, at its own end, what
was given, and asks targets to end what has ended.

`whoami` takes nothing. It tells identity, task, delegators, scopes, audiences and expiry, and what was given here and
not handed back.

`request_identity` takes `agent` and `audiences`, and `scopes`, `ttl`, `purpose` and `task` if they are needed,
which mean what the options of jitid-issue(1) mean. The token is for these services, never an identity token. It is
the issue that `jitid issue` would do with --parent-file FILE where an authority is asked by that token: decided by the
policy, within what the agent's own credential holds. With a `task` of its own it opens a sub-task, as sensitive as the
agent's at least. The answer has ids, scopes, expiry, and in `token_file` the path of a file with the token.

`what_may_i_do` takes the same, all of it optional, and does nothing: `permitted` says whether the request would pass,
with what would be granted, or the reason and the nearest that would pass. Without `agent` it is asked for an agent of
the same name as the one that asks.

`hand_back` takes an `id`, and ends that identity with all that descends from it. It must be the agent's own or one that
descends from it; anything else is refused and recorded, whether the ledger knows it or not.

A token file has the mode 0600, in a new folder of the mode 0700 under $XDG_RUNTIME_DIR, $TMPDIR or /tmp. It goes when
its identity is handed back, when that has expired, and at the end. An identity given here is not renewed by the server:
it lives until its own expiry, which is at most that of the agent's credential as it was then. Whoever has its file may
renew it (jitid-renew(1)). With --keep both identities and files are left.

At most --most identities are out at a time. Calls that write to the ledger (`request_identity` and `hand_back`, refused
ones too) are done at most --rate times a second on the average, and after a rest ten seconds' worth of them at once. A
call beyond these limits is refused before the ledger is touched; the answer says when to try again. Calls are
answered one after the other.

What is refused is the result of a tool, with `isError` and an `error` that has `code`, `message`, `hint`, `retryable`
and, where a limit is the reason, `retry_after_seconds`. Where the policy wants an approval, `approvals` has the ids of
the requests for it: once they are granted, the same call passes. A credential of the agent's that has expired or was
revoked is such an error, and so is a ledger that is missing or busy; the server goes on. Mistakes of the protocol are
errors of JSON-RPC.

Messages are JSON, one a line, of at most 65536 bytes; batches are not taken. The revisions 2024-11-05, 2025-03-26,
2025-06-18 and 2025-11-25 of the protocol are spoken.

If the server itself is killed, what it gave lives until its expiry, and its files stay. `jitid list --process gone`
shows it, and `jitid sweep` finds it.""",
    "doctor": """\
The check `confinement` names what programs of this user can do beyond the credential that an agent was given. The worst
that is found counts.

`key readable`: this user can read the signing key or write the ledger, runs the authority, or is root. That is every
right and every role.

`person impersonable`: the key is out of reach, but this user is a person or a service at the authority: at its socket,
where the kernel names the user, or by a credential in a file that this user can read. So is a command that this user
started by `jitid run` with such a credential: JITID_STARTED_BY has the number of the user.

`confined`: neither. It is judged by the ledger or the authority that the configuration names, and by nothing else on
this machine. The other two are `ok` for a person, and the line says that an agent under this user is not confined.
Where JITID_PARENT_FILE says that an agent asks, they are warnings; jitid-run(1) says what closes them.""",
    "serve": """\
Without options it listens on 127.0.0.1, port 8477. Beyond loopback it speaks TLS, version 1.2 or later, and nothing
else; behind what ends TLS itself, let it listen on loopback or on a socket. The first use makes ledger, keys and
policy, as an issue does. Any number of processes and machines may serve the same ledger at once: they keep nothing of
their own. What is changed in the policy counts within a second.

Whoever asks proves who they are: by a credential in the header `Authorization: Bearer`, or by being the user that the
kernel names at the other end of the Unix socket. Over the socket they delegate as `user:LOGIN`, and no password is
needed: an agent under another user can neither read ledger and keys nor ask in another's name. The tables
`[socket.delegator]` and `[socket.role]` of the configuration say otherwise: what stands there is a login, the number of
a user, or a group after an `@`, as in `alice = "user:alice@example.com"` and `"@oncall" = ["responder", "auditor"]`.
Roles of a user and of all their groups add up.

An agent that may connect to the socket is, without its token, the person that its user is. So let the socket be for the
group of people (mode 0660), and run agents under users that are not in it; with --bind they reach the authority on
loopback, by their tokens alone.

With --bootstrap, FILE gets what jitid-access-bootstrap(1) makes. A service that starts again, where FILE is there or
somebody has the role admin, says so and goes on.

The socket lies in a folder that belongs to the service's user or to root, and that nobody else may write to. One that
nobody listens on any more is replaced.

`/healthz` says that the process answers, `/readyz` whether the ledger does, by the status 200 or 503, and in `issues`
whether policy and signing key are there to issue with; without them it still verifies and revokes. `/metrics` has
counters of all processes for Prometheus. Nobody needs a credential for these. `/v1/openapi.json` tells of the
operations.

A request line and its headers have 16384 bytes at most and arrive within 10 s; a body has as many bytes as
`serve_body` says and arrives within `serve_time`, and an answer is found within it again. A connection without a
request is closed after 5 s. Beyond `serve_connections`, `serve_requests` and `serve_rate` a client is told to come
again, by the status 503 or 429 and the header `Retry-After`. All of these count for each process. Over a database each
has a connection for every one of its `serve_threads`, and three more.

Each request is a line on standard error: time, method, the template of its path, status, milliseconds, who asked, and
the trace that it belongs to. No line has a token, nor a path as it was asked for. The trace of the header `traceparent`
(W3C Trace Context), or a new one, stands in the audit events of the request.

A process that ends is started again. When systemd started it (Type=notify), it is told once it listens, and when it
ends.""",
    "access grant": """\
The roles: `issuer` issues for any delegator, whomever it names; `verifier` verifies tokens and authorizes actions;
`responder` looks credentials up, traces leaked strings, revokes and retires; `sweeper` sweeps, fixes and reports;
`auditor` reads everything and changes nothing; `admin` keeps delegators, agents, keys and access. None of them has
another's duty, and an administrator who is to revoke gets the role responder as well.

What is issued for somebody who came with it has the proof `credential`. A name is that of a person or of a service;
an agent asks by its identity token.

A verifier names its own audiences (--audience), or says --all-audiences: introspection, verification and
authorization treat a token for another audience as one that is not known. A verifier that states no audience sees
tokens for each of its own, and one of all audiences sees every token. Forward authentication answers for the
audiences of the setting `audience`, if that is set. A service with an audience of its own may exchange a token for
it whose `may_act` names the service: the new token has the name of the service as its agent, the scopes and the
expiry of the token at most, and is never renewed or delegated from at the authority.

The ledger keeps the fingerprint of the bearer alone. Whoever has the ledger's own files needs no access; over an
authority the role admin grants it. It ends at its time, by jitid-access-revoke(1), and with the delegator whose
name it has (jitid-delegator-disable(1)).""",
    "access list": """\
`by` says whether it is a bearer or a key. `ends_at` is when it counts no longer: at its expiry, or before that
where another has taken its place. `state` is active, expired, revoked, rotated, disabled (with its delegator) or
spent (a bootstrap credential that has done what it is for). `audiences` are those of which it sees tokens.""",
    "access rotate": """\
It counts as long as the one before it was to count from its beginning on, unless --ttl says for how long.""",
    "access bootstrap": """\
Beside the ledger jitid-access-grant(1) does the same without it: this is for whoever starts an authority where nobody
sits, and hands FILE over. FILE has mode 0600. Another bootstrap credential ends the one before it.""",
    "approve list": """\
`missing` are the groups that have still to grant it; it can be used until `usable_until` once all have, which is
empty before. A grant that has run out, or whose approver was disabled or has left the group, counts no longer, and
the group is missing again. A request waits for as long as the setting `approval_patience` says, for a day.""",
    "approve show": """\
On a terminal the rules stand beneath it with their text, as it was when they asked; elsewhere they are in `rules`.
`words` is what each group has said. `deadline` is that of the task, counted from its opening unless a time was
stated. The purpose is the words of whoever asks, and so is everything else that nobody proved: `delegator_proof`
says how the delegator was.""",
    "approve grant": """\
Whose ID tokens are believed is configured: jitid-config-set(1). The name that one gives is looked up in the directory,
or its subject (`jitid delegator add --subject`). An ID token counts for the client that it names, else for the caller
who uses it first: another caller is refused with status 6.

An approver who may not grant it is told the rule: `approver-unknown` (the directory does not have them),
`approver-disabled`, `approver-subject` (the directory binds that person to other subjects of ID tokens),
`approver-group` (they are of no group that has to approve), `approver-requester` (it is asked
for them, through an agent that carries their name, or under their login; or they are behind the agent that asks, that
acts in it, or that is its parent: it acts for them, or they had one of its credentials issued or renewed, themselves or
by way of another agent). If that cannot be found out, since one of these agents has too long a history or its rows
were pruned, no approver may grant it. The refusal is in the audit log.

At an authority the same rule refuses a caller that presents the ID token of an approver and may not grant the request
itself by this rule; and an agent presents none. Approvers log in there themselves, or a person or a service without a
part in the request presents their tokens. The audit event has the caller as
`presenter`.

With several groups each has to grant it; who is of two may speak for both. It holds for as long as the setting
`approval_lifetime` says at most, and not beyond the end of the request. It is used up by the issue that it is for,
when its requester (`asked_by`) repeats the line; if two do at once, one of them gets it. It counts only if the
approver is still known, enabled and of the group by then: whoever has left the group and comes back speaks for it
again, as long as the grant holds.

Being proved by the login takes being that user, with access to the ledger: root, or its owner. An agent that runs
under a login has the word of that login; where agents and approvers share one, let approvers prove themselves by ID
tokens, which agents do not get. An authority cannot tell users of one login apart: there, approvers need another
login.""",
    "approve deny": """\
Who of any group that has to approve says no ends it. The one who asks can do so too, if they are of such a group.
Who waits for it is told at once, with the reason.""",
    "renew": """\
What was issued by an approval is not renewed where the policy still asks for one: an approval is for one credential,
and for what is attached to it while it lives.

Whoever holds the token can renew it. FILE is replaced whole, and two who renew it take turns. If the
successor cannot be handed out it ends at once, and the old token stands as before.

A credential has one successor. A second renewal of it is refused (status 4, rule `renewed-twice`), recorded, and
reported by jitid-sweep(1): two holders have a copy, and one of them may have stolen it. Other credentials of the
identity, such as attached ones, are not touched. While the old token works it means only what the successor holds too.
The successor lives no longer than the old token was given to live, unless a rule of the policy says `@renew_ttl`.""",
    "verify": """\
Without --audience it must be meant for one of those that the setting `audience` names, or for the ledger's
issuer where that is not set; over an authority for any audience whose tokens the caller sees
(jitid-access-grant(1)).

Without a ledger, by what jitid-publish(1) wrote: a token has to name its place in a status list, which the setting
`publish_url` makes it do; the list has to be the one that it names, signed by a key of the same set, and not stale.
What was ended after the list was written is not seen, and a note says of when it is. The end of what a token descends
from is seen too, since all that descends from it ends with it. A token that names no list is refused: nobody could
tell. With --jwks and --status-list the issuer has to be said, by --issuer or the setting `issuer`; --published finds
it in DIR.""",
    "authorize": """\
Without --audience the token must be meant for one of those that the setting `audience` names, or for the ledger's
issuer where that is not set; over an authority for any audience whose tokens the caller sees
(jitid-access-grant(1)).

A right is an action, or an action and a resource. An action is written as a scope is, without a `*`:
`s3:GetObject`. A scope of the credential covers the use of it if it covers the action alone, and then for whatever
resource; or if it covers `ACTION:RESOURCE`, where that can be a scope. So `s3:GetObject` and `s3:*` cover
that action on every resource, `repo:read:acme/*` covers `repo:read` on `acme/web`, and `repo:*:acme/web` any
action `repo:ANYTHING` on `acme/web`. A resource with two colons in a row, as in many names of AWS, is in no scope:
for those the action alone counts, and a policy may look at the resource. Names are compared as text: whoever asks
brings a resource into the one form that it has, since `acme/*` covers `acme/../other` too, and takes no action
that is the beginning of another, since `repo` on `read:acme` is the same right as `repo:read` on `acme`.

What is asked is whether the credential would be issued now, and used so: whether the token, its task and all that
it descends from are alive; whether the directory takes delegator, agent and chain as they are, and still lets the
credential use the agent's name; whether the limits of all of them
cover the action, as a scope would; whether the policy permits the issue, with the lifetime that the credential was
given, and the scope; whether that is younger than the policy lets it become; and whether the rules about
`Action::"authorize"` permit the action on the resource. Approvals that were given at the issue count. A rule reads
the context as `context.use`: an address is text where `use.cedarschema` beside the policy declares it so. Without
a rule that permits `Action::"authorize"` by its name, what may be issued may be used unless one forbids it.

In the answer, `reason` says why an action is denied, and `rules` names the rules of the policy or
the directory, or has `scope` where no scope covers the action. `identity` is the id of
the identity. Whatever is not answered with `allow` is denied.

Each action is recorded before it is answered, allowed or denied, with whoever held the token, the action, the
resource, the scope that covers it and the reason; a token of nobody's is recorded without a holder, and the context
not at all. What cannot be recorded is denied. `jitid audit log --at TIME` shows the records, jitid-audit-verify(1)
holds them against the audit log, and jitid-inspect(1) tells which scopes an identity has used. What the command
line cannot mean, such as an action with a `*`, is an error and no action.

With --batch, lines that are there together are decided together, a thousand at most and those of one second at most,
and are answered in their order when all of them are recorded. So whoever waits for each answer has it at once. A line
has at most 64 KiB, a resource 4096 bytes, and so has a context. `id`, text or a whole number, comes back in the
answer. A line that cannot be meant is answered with `deny`, its number `line` and an `error`, and nothing of it
is recorded; so is each whose action could not be. A ledger that is busy or full is tried again with the next
lines. A policy that was changed is read anew within a second; other settings are those of the start. Answers
that nobody reads end it.""",
    "list": """\
The field `left`, how long it still lives, is shown on a terminal, and wherever --field asks for it.

--unsettled lists what is dead in the ledger and may still work at its target (jitid-targets(5)); jitid-inspect(1) tells
of each what was seen there.""",
    "revoke": """\
A jti or an id ends its whole identity. At a terminal, more than --max is asked about instead of refused. An
empty value or an empty list is an error and never means everything.

The answer has two facts about all that was selected, whether it was live or had ended before. `refused_since`: the
ledger, and each verifier that asks it, refuses all of it since then. `accepted_until`: from then on no verifier accepts
any of it. A verifier with the published keys alone accepts a signed credential until its expiry; so `accepted_until` is
the latest expiry of what was signed, and 5 minutes for clocks that differ. No revocation and no status list makes it
earlier, for the ledger does not know which verifiers read a list. It is empty as long as a target has not confirmed the
end. `offline_until` is the latest expiry of what was live, without the 5 minutes.

Of what was reported as leaked (jitid-leak-add(1)) and is dead then, with all of its identity and below it, it is
proved that the ledger refuses it.

What a target has made (jitid-targets(5)) is ended there at once too, all targets at the same time, each within its own
time limit. What is not confirmed then stays in a queue of the ledger, which each sweep goes on with: `unconfirmed`
counts it, the status is 9, and the error says of each why. With --wait it is tried again for so long.""",
    "report": """\
Each figure is told as it was at one time: now, or --at TIME. Then a credential is alive that was issued by that
time and not dead yet, and the leaks are those that the ledger knew of. What a sweep finds is left out for a time
that has passed, and so is `prometheus`.

Live credentials are told by the state of their root delegator (`known`, `unverified`, `disabled`) and by the record of
their agent (`registered`, `ephemeral`); beside that stands how many delegators and agents the directory has, how many
of the agents are overdue for review, suspended, or without an owner who may delegate. Of a time that has passed, states
and records are told by what the directory has now: when somebody was added, disabled, registered or unregistered for
the last time. What was undone since, such as a disabling, is not seen, and what the directory had is left out.

Lines and CSV have a figure each, with the fields `metric`, `labels` and `value`; JSON is the whole report. --field
names a total.

An identity counts as used if it was renewed, delegated from, or allowed something by jitid-authorize(1): what
verifiers accept without asking is not recorded in the ledger. `use.unknown` counts those without any use on record of
which it is not known that there was none, since for their audiences no use was reported after their issue
(jitid-sweep(1) tells when one is). `use.over_scoped` counts the live credentials with scopes that nothing uses, and
`directory.over_privileged` the agents whose record allows more than their owner may hand out, as the rules over-scoped
and over-privileged of a sweep find them.

A leaked secret counts once, from its first report, whether that was closed or not; what is still valid, and
closed, is told besides. There are two exposures and two percentages. By the ledger: `exposure` goes from the report to
the end of the secret itself in the ledger, and `percent` is the share that the ledger still accepted five days after
the report, of those that it accepted at the report. By verifiers: `exposure_verifiers` goes from the report to the time
from which no verifier accepts the secret, nor anything of its identity or below; `percent_verifiers` is the share that
the ledger or a verifier may have accepted five days after the report. A verifier with the published keys alone accepts
a signed credential until its expiry, and for `leeway_seconds` more where clocks differ. Where a target has not
confirmed the end (`target_unconfirmed`), no such time is known: the secret counts as accepted, and not in
`exposure_verifiers`.

A secret that was renewed has ended when its overlap is over, while its identity lives on by the successor, or by what
was delegated: how many there are of those is told too, as of that time, and they do not count as proved. Time from a
task's end to the last death is told over the tasks that were retired or passed their deadline; 0 is in the same
transaction. Standing is a credential whose lifetime is over the limit of its sensitivity, as the settings
sweep_standing_low to sweep_standing_critical say. Percentiles are by nearest rank, days those of UTC.

What to end first is the gravest of what `jitid sweep` finds, without what is for information only, and without
examining the audit chain or asking the policy.

The page of `html` holds all that it shows: it has no script, asks for nothing and forbids the browser to. FILE is
for its owner alone, and for everybody to read where it is `prometheus`.""",
    "trace": """\
The answer comes at the end of the text: of a log that is still being written it comes when the writer ends.

A token is found in a text of any size, also under what mail, terminals and programs put over it: lines of 16 or more
characters, with the marks of a quotation, a list, a comment, a shell, a diff, string literals or the line numbers of
`grep -n` before and behind each; UTF-16; percent-encoding; escapes of JSON, HTML and quoted-printable; base64 and
base64url, up to three times. Escapes and line breaks are taken off before each base64 and after the last one. A part
of a signed token is enough to find it, of an opaque one all is needed. A longest token of 16 KiB may take 128 KiB in
such a form.

Not covered, and not reported as missed: hexadecimal digits, base32, octal escapes and escapes as `\\u{6a}` or
`\\U0000006a`; what is compressed and then encoded; lines with a name, a time or colours of a terminal before each; a
`<wbr>` within a token. In a text of more than 64 KiB also: base64 in groups of fewer than 5 characters or with blanks
between its groups, UTF-32 of base64, and a few tokens of which every character is escaped and whose lines end within
escapes.

What could not be searched is named, and the status is 11: text in more than three layers of base64, text that takes
too many steps to decode, and what is compressed: `zcat FILE | jitid trace`.

A text of up to 64 KiB is searched for more: for private keys in DER and as the ledger keeps them, for fingerprints in
base64, and for the secrets of other credentials: a password, a key in PEM. In a longer one, private keys are found in
PEM; adopted secrets by how they begin and how long they are, as jitid-scan(1) does. Where targets or adopted secrets
of unknown length are alive, the status is 11: their secrets are not found in it.

The field `match` says what was found: `opaque`, `jwt`, `private-key` (of a certificate, by its public half: PKCS#8,
SEC 1, PKCS#1 or OpenSSH's own form), `secret` (of a credential of another kind, or a part of it), `fingerprint`,
`truncated-jwt` (a part of a signed token, or its payload), `forged-jwt` (a whole one that no key of ours signed,
changed or made up) or `id`. The field `proof` is `fingerprint` or `signature`; without one, anybody who knows an id
could have written it. `honoured_until` is of the whole identity: an offline verifier accepts a predecessor too until
that expires, and up to 5 minutes longer where clocks differ. Of a private key behind a passphrase OpenSSH's form says
whose it is, which proves nothing; other forms do not say it. A key that certifies many credentials names those that
can still be used, and of what has run out the latest one.

A claim that a key of ours signed and the ledger does not know means that somebody else has the key, and so does that
key itself: then a warning names it, and `jitid keys revoke` ends it.""",
    "scan": """\
What is looked for, and by which --only means it alone: `opaque` and `jwt`, tokens of ours whole or cut; `certificate`,
those that the ledger issued, which are no secrets and are told as `info`; `private-key`, those of its certificates and
its own; `adopted`, what jitid-adopt-add(1) has recorded, by how it begins and how long it is; where its beginning is
not known, by every word of its length, which takes several times as long. One whose length is not known either is left
to jitid-trace(1). Ids are no secrets, and are passed over. A token is found under all that jitid-trace(1) takes off:
broken lines, UTF-16, escapes, base64. The place is where it begins.

Every file is searched, whatever its name or its bytes; UTF-16 is read, gzip and zip files are opened, two deep. What
comes out of one of them is at most 256 MiB, or 200 times its size if that is more; one that would be more, is damaged,
encrypted or cannot be read is told as not searched, and the status is 11. Comments, names and whatever else stands in
its bytes is found too. What is compressed in another way is searched as it is, and counted; a zip file behind a
program, too, and not counted. A file that is nothing but a key or a certificate in DER, or a key as the ledger keeps
it, is known too. A name is told as it is, but for stars in the place of a token; bytes of it that are no UTF-8 are
percent-encoded in SARIF, and escaped as `\\udcXX` in JSON.

Links, FIFOs, sockets and devices are passed over unless they are named on the line; so is the ledger's own folder. A
folder is never left: whoever swaps a part of it for a link meanwhile leads nowhere. File systems of the kernel such as
`/proc` are not entered, others are, unless --one-file-system says no.

In a git repository `.gitignore` in each folder and `.git/info/exclude` say what is passed over, as gitignore(5) has
it, also of what is tracked all the same; outside of one nothing is ignored, and a file of more than 256 KiB or 2,000
globs names nothing. The folder `.git` is left out too. --no-ignore searches all of that.

--git searches the objects of a git repository instead, each once: what any branch, tag, note, stash, worktree or other
ref leads to, messages of commits and tags too, and what is staged; --unreachable adds what only a reflog or nothing
leads to. --commits narrows that to what a range brings (gitrevisions(7)), as `origin/main..HEAD` in CI, which needs the
history for it. Of each string the path and the oldest commit that has it there are told, and in JSON `in_head`, whether
what is checked out still does; of many versions of a file that have it the oldest is told. Of strings that the ledger
does not know the first 100,000 places are. To remove a secret from the newest commit does not end it, --revoke does.

git (2.31 or later) is asked for plain objects only, and nothing that a repository configures is run: no hook, filter,
textconv, fsmonitor, signature check or fetch of what is missing; replacements and grafts hide nothing. What is
missing, damaged or beyond the end of a shallow clone is told as not searched. Submodules are repositories of their
own. An object store that the repository shares (`objects/info/alternates`) is read as git does. In a hook of git that
names no PATH the repository is the one that git tells it, with what is on its way into it:
`jitid scan --git --commits NEW` in pre-receive.

--staged searches what is about to be committed, and tells what HEAD has not already in one of the files that change.
--install-hook writes a pre-commit hook that runs it with `--fail-on medium`, where git looks for hooks: core.hooksPath
counts, unless the repository's own configuration leads out of the repository by it. Another hook is left alone, and may
call `jitid scan --staged` itself. The hook needs no ledger; with one it tells whether what is staged lives.

The rules are `secret-live` (critical; high where only verifiers that do not ask this ledger honour it),
`signing-key` and `access-live` (critical), `standing-secret` (high), `secret-unknown` (medium) and `secret-dead`
(low). What neither a signature nor a fingerprint proves is at most medium, and neither ended nor recorded. Of one
string the first hundred places are told at least, and of the others how many there are.

For secrets of others there are other scanners, and --rules has them look for ours too: it prints rules for gitleaks,
kingfisher or betterleaks. The latter two can ask an authority whether a token works, and end it, by the token itself:
the one that --authority names, or the one that is configured. jitid-scanners(7) tells how, and how what they report
comes back.""",
    "leak add": """\
The text is searched as jitid-trace(1) tells. What cannot be told from the outside, a part of a signed token or
one that no key of ours signed, anybody could have written who knows its jti; it is recorded with --yes only.

Of what leaked the ledger keeps which credential it was, where it was found and when that was reported, never the
string. Strings that look like ours and words like fingerprints that the ledger does not know are counted, and
nothing more.

--from reads what gitleaks, kingfisher, betterleaks or trufflehog have written as JSON, or SARIF of any scanner; see
jitid-scanners(7). Of each finding of ours the path, line, commit, time and rule are kept beside the leak, up to a
hundred places of each; beyond that they are counted. The same report again, or that of another scanner, adds the places
that are new. A report that was made with the secrets left out shows nothing that could be looked up.

A report may be older than the ledger's knowledge of it: --at says when it was made. It is not in the future, and
what was issued only later counts from its issue on. What was recorded from a source once stays as it was
recorded, its time and its being closed too.

A hundred thousand strings are one transaction. If it is ended in the middle, report it again: what is recorded is
recorded once, and what --revoke was to end ends then.

Whoever holds a token can renew it and delegate from it. So it is proved that the ledger refuses what was reported, and
jitid-sweep(1) no longer finds it, only when nothing of its identity is alive, nor of what descends from that; --revoke
ends all of it.

Whenever --revoke, jitid-revoke(1), jitid-retire(1), `jitid keys revoke` or `jitid sweep --fix` has ended something, it
is proved of whatever leaked and is dead that the ledger refuses it, as jitid-verify(1) would, in a new look at what was
committed. `proved_at` says when. That is about the ledger alone: offline verifiers accept a signed token of the
identity, or below it, until `accepted_until` (jitid-leak-list(1)).""",
    "adopt add": """\
A standing secret is one that somebody made before and that works until somebody ends it. What is adopted is a
credential of the ledger, of kind `adopted`, on a task `adopted/NAME` of its own: jitid-trace(1) and `jitid leak add`
know it again, jitid-sweep(1) reports it as `standing`, and as `orphaned-delegator` once its owner is disabled, and
jitid-revoke(1) ends it. It is no token: nothing verifies it, and no policy is asked, since it exists already.

The secret comes from standard input or from --file; a line end behind it is no part of it. The ledger keeps SHA-256
of it, how long it is, and how it begins where that is told with --prefix or known of a widely used service. Whoever
reads a ledger could try likely secrets until one has the fingerprint; so one of fewer than 16 characters, or of the
same few over and over, is refused. With --fingerprint that is for you to see to. Of a private key its public half is
kept too, of a public key or a certificate only that.

With --target, a target of the configuration ends it when it is revoked: `postgres-role` locks the role whose name is
--reference, ends its sessions and leaves what it owns alone; `aws-sts` makes the access key inactive;
`openbao-lease` revokes the token of that accessor; `exec` asks the program. The target is asked before whether it
has the secret. Without --target somebody has to end it where it is kept. Then revoking it ends with status 9, and it
is found as `revocation-stuck`, until jitid-adopt-ended(1) says that it is done.

A file of --from-file is CSV with a header, or has a JSON object a line. Its columns are those of the options,
`name`, `owner`, `place`, `purpose`, `agent`, `sensitivity`, `expires`, `target`, `reference`, `prefix` and
`access_key_id`, and one of `secret`, `fingerprint` and `public_key`; options on the line hold where it says nothing.
All of it is adopted in one transaction with one audit event, 100,000 at most, or nothing. What is adopted just so
already stays as it is.""",
    "adopt change": """\
What a delegator has ends when they are disabled (jitid-delegator-disable(1)), adopted secrets too: at a target, or
with an errand for somebody. So give them another owner before. What a secret is known by does not change, nor its
name and its sensitivity: another secret under the same name is adopted once the first has ended. Each change is an
event.""",
    "adopt probe": """\
A target is asked about what the secret is called there, so that no secret is needed. Without a target nobody can be
asked. What is seen changes nothing: what is gone there and lives here is found by jitid-sweep(1).""",
    "adopt suggest": """\
It goes by the target that the secret is at, by how it begins, and by the words of its name, its place and its
purpose; so look whether it is right. What only you know stands in capitals. A role of a PostgreSQL database stays
when its secret is ended, without a login: the roles that take its place are its members and may what it may.

Set up the target (jitid-targets(5)) and the policy (jitid-policy(7)), run the command once with the new secret, and
only then end the old one: what uses it fails from then on.""",
    "adopt ended": """\
A secret that no target ends is not dead because it was revoked here. Somebody deletes it where it is kept, and says
so. What is said is believed, and stands in the audit log with who said it: then it is dead, and what leaked of it
counts as proved.""",
    "leak list": """\
`dead_at` is when the credential ended, for whatever reason, recorded or not; `exposure` goes from the report to
that, or until now where it is still alive. What had ended before the report was not exposed.

The holder of a leaked credential can renew it, attach others, delegate and exchange. Two facts are about all of that:
the identity of the credential and all identities below it. `refused_since` says since when the ledger refuses all of
it; it is empty while the ledger accepts any. `accepted_until` is the time from which no verifier accepts any of it: the
latest expiry of all that was signed, superseded and ended credentials included, and 5 minutes for clocks that differ.
For what is not signed, such as an `opaque` token, it is `refused_since`; at a target it is when the target confirmed
the end, and empty until then. It is an upper bound. A verifier that reads the status list refuses a token earlier; but
the ledger does not know which verifiers do, so a list never makes it earlier. `exposure_verifiers` goes from the report
to `accepted_until`; `offline_until` is the expiry of the leaked credential alone.

`successors` counts the other live credentials of its identity, `delegated` those of what descends from it, and
`lives_until` is when the last of all these ends, itself included. Who renewed a leaked token, or delegated from it,
has those: where `valid` is false and `lives_until` stands, the leak is not over. --valid asks about the token that
leaked, and does not show those.""",
    "leak show": """\
`revoke` is the command that ends it with its identity and all below, where anything of that is alive.""",
    "leak timeline": """\
What it tells is what the ledger knows, and nothing else: each step names its audit event, by which
`jitid audit log --event` shows it whole. Uses are those that enforcement points have asked about or reported; whoever
never asks is not seen here. `seen` is when a finder says that it stood there, which for a commit is the time of the
commit. Of what was made, done and ended the first fifty of each sort are told one by one; the numbers are of all.

Its first sentence has two facts: since when the ledger refuses the leaked credential and all that was made with it,
and until when offline verifiers accept any of that, or since when no verifier does (jitid-leak-list(1)). The exposures
go from the report to both; besides, from the report to the proof that the ledger refuses it, and from the report, the
first sighting and the issue to the end of the credential itself. A step `lapsed` says from when on no verifier accepts
it. Whatever others have written stands in Markdown as code, so that it does nothing wherever it is shown. JSON has the
same and all fields of jitid-leak-show(1); other formats have a row for each step.""",
    "leak close": """\
Closing says that somebody has looked at it, and why that was enough: that the report was wrong, or that you renewed
the token yourself, and its identity may live on. It ends nothing. A closed leak stays closed, and part of the history
that jitid-report(1) tells; when the same is reported again from the same source, that is a new leak, which is open.""",
    "delegator add": """\
A delegator whom the directory does not know may ask too, as far as the policy lets whoever is unverified, unless the
setting `delegators` is `known`. Of one whom it knows, this is asked at each issue and renewal before the policy is:
whether they are disabled, whether the task is more sensitive than --sensitivity, and whether their entitlements cover
each scope. Policies can ask for their groups and their manager (jitid-policy(7)).

A delegator with a --subject is proved by an ID token of one of these subjects alone (rule `delegator-subject`): no
issuer proves that delegator by a name or an alias. What was issued by such a token before the directory knew the
subject is theirs too, whatever name the token gave: jitid-delegator-disable(1) and jitid-revoke(1) end it, and their
limits bind it. jitid-list(1) shows it under the name that it has.

A name or an alias belongs to one delegator alone. Whoever is named by an alias is named by their own name in whatever
is issued. What was issued to an alias before the directory knew of it belongs to them too: jitid-list(1),
jitid-revoke(1) and jitid-delegator-disable(1) meet all their names.

A group has 1 to 128 printable characters. The order of entitlements does not matter; one that another one covers is
left out. The manager need not be in the directory.""",
    "delegator change": """\
To take a right away takes nothing from what was issued: it is refused when that is renewed, and ends with
jitid-revoke(1). The audit event has what was changed as it was and as it is.

What --remove-entitlement takes away is gone: it is refused if another entitlement still covers any of it, and where
the policy alone decides.""",
    "delegator disable": """\
All of it is one transaction and one audit event. Nothing more is issued for them, nor renewed, under any of their
names; an issue that was decided when they were not disabled, and not committed, is refused.

Agents are suspended with their owner, so that nothing more is issued to them, whoever asks. What such an agent holds
for another delegator already lives on, and a note says so: that one asked for it, and jitid-revoke(1) with --agent
ends it. With --keep-live what descends from the delegator lives on too; to disable them again without it ends that.

At a terminal, more than --max is asked about instead of refused. Verifiers that do not ask the ledger honour a signed
token until it expires; the preview and the answer say until when that is. Of what was reported as leaked and is dead
then it is proved that the ledger refuses it.

Whom the directory does not know cannot be disabled: add them first, and nothing is issued for them, whatever the
policy says.""",
    "delegator enable": """\
What is older than the disabling counts no more: their ID tokens and logins from before, what they requested, and what
they approved. They log in again.

A note names each agent that stays suspended, and the command that resumes it.""",
    "delegator show": """\
`live` is how many live credentials descend from them, `agents` are those that they own, `suspended` those of them that
are suspended. `requests` are their requests for approval that are open, `grants` what they approved and nobody has
used yet: with them, jitid-delegator-disable(1) withdraws these. `access` is how many credentials they have that let
them ask an authority, which end then.

But in JSON, several values are parted by semicolons; `(policy)` stands for entitlements that the policy alone decides,
`(none)` where there are none.""",
    "delegator list": """\
But in JSON, several values are parted by semicolons; `(policy)` stands for entitlements that the policy alone decides,
`(none)` where there are none. jitid-delegator-import(1) takes CSV and JSON lines as they are printed here.""",
    "delegator import": """\
All is one transaction and one audit event, which has the SHA-256 of FILE. Nothing changes if nothing is different. Of
whom the list says something, that becomes so; what it does not tell of stays as it is, or is as for one of whom nothing
is stated. Whoever is in the list has come with an import from then on. With --full, those who have, are not disabled
and are not in the list are disabled: the list must then have everybody, and one that names nobody is refused.

With --dry-run it is told what would be different of whom: of ten people in sentences, of a thousand in the field
`changes`, with what was and what would be. A manager who is neither in the directory nor in the list is taken as a
name, with a note.

Whom the list says to be active is enabled, also whoever was disabled by hand: disable them where the list comes from
too. Where it does not say, whoever is disabled stays so, and a note says so.

A name that the directory has as an alias is the person who has that alias, unless the list gives it to somebody else;
an alias may move from one to another. One that is somebody's who is not in the list is refused.

`csv` has a header, with the columns `name` and any of `entitlements`, `sensitivity`, `groups`, `manager`, `aliases`,
`external_id`, and one of `active`, `disabled` (true or false) and `state` (enabled or disabled). Cells are parted by
commas, or by semicolons where the header has no comma. Several values in a cell are parted by semicolons, entitlements
by blanks too; a value with a semicolon in it stands between quotes. A blank cell says that there is none: no
entitlement at all, unless it is `(policy)`. A column that is not there, as opposed to a blank cell, says nothing.

`scim` has users of SCIM 2.0 (RFC 7643, section 4.1): a list response, an array, or one after another. `userName` is
the name, the addresses in `emails` are aliases, the `display` or `value` of each in `groups` is a group, the `value`
of each in `entitlements` a scope, `active` says whether they are enabled, and the manager of the enterprise extension
is found by `value` or `$ref` among the ids of the list and of the directory. A user whom the directory knows by `id`
is the same person under another user name: they keep their name here, and the new one becomes an alias. Of groups,
addresses, entitlements and managers, a user without any has none if another one of the list has some; where nobody
has any, the list does not tell of them. Subjects of ID tokens stay as they are. An address that is no name here is
left out. A list response that says there are more users than it has is refused with --full.

`jsonl` has an object a line, as jitid-delegator-list(1) prints it, with the member `name` and any of the columns above;
lists are arrays. `null` for `entitlements` leaves it to the policy alone. `imported` says whether they have come with
an import.

An error names the line, or the place in the list as in `.Resources[3]`.""",
    "sweep": """\
The rules are in five groups. Orphans are alive, and nobody is there to whom they belong: their task is over, their
parent is dead, the wrapper of `run` is gone, their delegator was disabled, they were never confirmed, or a target has
them and the ledger does not. Others are valid where they should not be: reported as leaked and alive, by themselves or
by what was made with them, ended and still taken by their target or not to be ended there, ended and still honoured by
offline verifiers, expired and not recorded. Sprawl is more, or for longer, than
anybody needs or uses. Governance is about registered agents, without an owner, overdue for review, or with more than
their owner may hand out, and about whatever the policy or the directory would not permit today. The rest is about the
ledger: what it has and its target has not, keys, audit log, clock. --list-rules says of each what it reports, and the
nearest to that which it does not; their limits are the settings that begin with `sweep_`, which no environment variable
sets.

Where the setting `delegators` is `known`, whatever was issued for somebody unknown before is an orphan too, and --fix
ends it.

The rule policy-drift asks today's policy for just what each live credential holds, as of the time of its issue, so that
no hour of the day makes a finding; the directory counts as it is now, and what was approved as approved. Requests that
the policy cannot tell apart are decided once; where all that lives was decided by this policy, and the directory has
not changed since, none is. A policy that cannot be read is told as not examined, and keeps no other rule from its
answer.

Targets are asked what exists there before the ledger is looked at, all at the same time: those of the configuration,
and those where something lives or is to be ended by the ledger; with --target only these. Each has --target-timeout;
what does not answer in time, or is no longer in the configuration, is told as not examined, and the rest goes on. What
a target cannot list is told as not known. Of a credential that was made or ended while a target was asked the next
sweep judges. With --fix, what targets take and should not is ended there: what is still to be ended at once, whenever
it was to be tried again; what was confirmed before, or was never in the ledger and bears a name of ours, once more, and
an audit event `clear` tells of it. What bears no name of ours is told alone.

Wrappers of `run` on other machines cannot be seen: one that has not renewed when it should have is gone. Of those that
renew nothing (--env) it is told that they cannot be seen.

Of use the ledger knows what jitid-authorize(1) was asked. An audience reports use if something that is for it alone
was authorized, or refused, since a credential was issued; of a credential for several audiences each must. Only of
those credentials the rules never-used and over-scoped say anything. Of the others it is not known whether they are
used: every output says how many those are, or `not known: use is reported nowhere` (in JSON `unknown`). That is neither
a finding nor a reason for the status 11, and does not count as examined completely either.

Each finding has its evidence and the command that ends it. What was examined and what was not, and why, is part of
every output: as rows whose state is `examined` or `missed` where there is no other place. What cannot be examined
never counts as clean, nor do rows that contradict themselves, as only an edited ledger has them. A command that ends
more than the setting max has --max with the number that is foreseen.

With --fix, what is found is ended inside the transaction that finds it, at most a thousand findings at a time; so
two sweeps at once end nothing twice, and what a sweep that was killed has left the next one ends. It is counted
beforehand: where more than --max would end and nobody confirms it, nothing ends, the findings are told all the same,
and the status is 10, or 9 where nothing is grave enough. Each audit event names the sweep and the rule. What has ended
is looked at again: `proof` says how many of it a verifier that asks this ledger still takes. `offline_until` is the
latest expiry of what has ended, as in jitid-revoke(1), without the 5 minutes that text and page add. Leaks of which
nothing is alive any more are proved refused. What could not be ended is told as not examined. Where a sweep breaks
off, the output says so (in JSON `broken_off`) and FILE is as it was; what has ended is shown by jitid-audit-log(1)
with --sweep.

A baseline is a file of JSON lines. A finding that is in it is `known`: it does not count for the status, and --fix
leaves it alone. It is news again when it is graver, or about more credentials. What is critical never becomes known.

The audit log is read on from the last signed head that a sweep has kept, in the file `audit.head` of the ledger's
folder and where --head-out says; from its beginning where neither is there, or the file of --head-out is new. Every
head that is there must fit; one that cannot be read is a finding until it is put away. What
earlier sweeps have verified is read again by jitid-audit-verify(1).""",
    "agent register": """\
No name is `ephemeral` or begins with `ephemeral/`: so others read the names of agents that are not registered.

Without a record an agent is ephemeral, and is issued whatever the policy permits. With one, nothing is issued to it,
or renewed, that its record does not allow: each scope must be covered by one of the record, each audience be among
those of the record (without any: the setting `audience`, or the ledger's issuer), the kind be among its kinds; what
would live longer is shortened; and no more identities of it live at once than `concurrency` says. Nothing is issued
while it is suspended or its review is overdue; nor does it delegate then.

The same counts for the audiences and the kinds that its token may obtain (--may-audience, --may-kind): so what is
delegated from it to an agent of another name stays within the record too. A request that names no kinds gets `jwt` and
`opaque` as far as the record has them.

The owner must be known to the directory, by any of their names, and not disabled. If they have entitlements, the scopes
must be within those: the rule `delegator-entitlement` refuses others.

What lives under the name already ends, with what descends from it: anybody could have called an agent so. An agent
that was unregistered is registered anew in the record that it had. What `agent unregister --keep-live` left alive ends
then too, unless its root delegator is the new owner or one of --may-use.""",
    "agent change": """\
To have something else reviewed at another time is no change: `jitid agent review` does that. The owner, or the scopes,
are checked as by `jitid agent register` if either is stated.""",
    "agent show": """\
`beyond` are those of its scopes that its owner may not hand out by now. `live` counts identities. `issues` are the
latest five credentials under its name.""",
    "agent list": """\
`beyond` are those of its scopes that its owner may not hand out by now. `live` counts identities. `last_issued_at` is
when its latest identity was given a credential for the last time.""",
    "agent review": """\
A suspended agent stays suspended. Who has reviewed it is in the audit log, with what there was to look at.""",
    "agent suspend": """\
Whatever holds a credential under its name ends, and everything below that, in the transaction that suspends it: who
asks at the same moment is refused, or ends with it. At a terminal, more than --max is asked about instead of refused.
Verifiers that do not ask the ledger honour a signed token until it expires; the answer says until when.""",
    "agent unregister": """\
At a terminal, more than --max is asked about instead of refused. Verifiers that do not ask the ledger honour a signed
token until it expires; the answer says until when. The record stays, and says when it ended.

What is kept alive is not renewed, and ends when the name is registered again for an owner who is not its root
delegator, unless --may-use lists that delegator (jitid-agent-register(1)).""",
    "agent classify": """\
What counts is what was issued in the last --days days of UTC, 90 unless it is said, the present one included. A name
recurs if it had at least five tasks in them, or was issued identities on at least three of the days; the settings
`recurs_tasks` and `recurs_days` say otherwise. Then:

A name without a record that recurs should `register`. One that does not should `stay ephemeral`, and so should the name
`agent`, which is that of whoever states none.

A record should `stay registered` as long as something is issued under it. It should `unregister` when nothing was
issued, nor was it registered, for so many days; or for three times the longest interval that there was between two days
with an issue, if that is less, and at least for 14 days.

`command` registers the agent with the least that all of its past would have needed: the scopes that were used, if
enforcement points reported the use of anything of it (`scopes_from` is `used`), otherwise those that were granted;
audiences, if the usual ones are not enough; kinds; the longest that one of its credentials lived, or would have lived
without a revocation, in whole minutes; and as many identities as were alive at the same second. More than ten scopes
that differ in one segment alone, such as `tickets:INC-1:write`, become one, `tickets:INC-*:write`. The owner is the
delegator behind most of it, and no more than a suggestion; `why` says what keeps them from it, and if they may not own
it, DELEGATOR stands in their place. The purpose is that of its latest task; what acts on a terminal or hides in it is
written visibly.

`run_time` is from the issue of an identity to the end of its last credential, over those that have ended; `p50` and
`p95` are by nearest rank. `interval` is the median of the days from one day with an issue to the next. `delegated` is
how many identities the delegator was behind. `live` counts identities.

At most --limit names are told, 1000 unless it is said: those with a record, then those that recur, then the others, by
the number of their identities.""",
    "agent suggest": """\
What is looked at is the last --days days of UTC, 90 unless it is said. Where enforcement points reported the use of
anything of the agent, all is about the identities that were used, and about those scopes; where none did, it is about
all that was issued.

The policy of an agent has two rules. One permits an issue for the delegators that there were, proved as they were, up
to the highest sensitivity, of the kinds and templates, for the audiences and at the depths that there were; the other
permits the scopes. Both do so in the least range of hours, and of days of the week, in which something was issued or
used, as the setting `timezone` tells them; with fewer than five credentials, or all of them on one day, the times are
left open, and a comment says so. `@max_ttl` is the longest that an identity took from its first issue to its last
use, or to its end; where no use was reported, one that was revoked counts to when it would have expired. Scopes stand
letter by letter; where more than ten without a wildcard differ in one segment alone, what they have in common stands
for them.

Every request that was looked at passes this policy; but it is a permission, and what other rules permit is not taken
away by it. Put it in the place of what permits the agent more, such as the rules of the default policy; look at it
first: what was seen may not be all that is needed, nor all of it right. Rules that forbid hold beside it as ever.""",
    "explain": """\
`reason` says why, and `rules` are those that decided; of a denial those that refused. `asked` is what was asked: who
acts, for whom and how they were proved, the task, scopes, audiences and lifetime, and what the directory had of the
delegator and the agent. `event`, `operation`, `at` and `by` are those of the audit event that tells of it; `count` is
how many were issued alike. `approvers` says who has approved, group by group.

`policy` is the digest of the policy that decided, `stored` says whether the ledger has its text, and `texts` has the
rules that decided, of the issue and of its scopes, as they were written then, each with file, line and SHA-256. For
each `now` says what today's policy has under that name: the `same`, one that was `changed`, or none (`gone`). A text
that is no longer the one of that digest is not shown; a warning says so.

`now` is what would be decided today, with `hint` as the nearest that would pass, and `differs` is whatever is not as it
was then, in the decision or in what it rests on. It is the time of now, too: what was permitted in the morning may be
refused at night. An approval that was given counts as given, and its rule is among the texts; where a new request
would need one again, the reason says so. Where today's policy cannot be read, its decision is `unknown`, and the past
is told all the same.""",
    "policy check": """\
An error stands on a line of standard error as FILE:LINE:COLUMN; a warning is about what is valid and hardly meant, such
as conditions that exclude each other, a fact compared with what it never is, an annotation that jitid does not know, a
rule that permits by the name of a task and does not ask for its owner, or a policy that permits nothing; not all that
has no effect is found, and cases find more. `rule` is empty where no name could be read. What keeps a file from
deciding, such as that others may write it, is a warning too, since a copy is in order for all that.

Files that are named one by one belong together if they are of the same folder; whether a policy permits anything
is then not told.""",
    "policy test": """\
The form of cases is told in jitid-policy(7). Each is tried with the policy beside it, or with that of --policy, and
nothing of the ledger is asked. `rules` decided it, `granted` are the scopes, `needs` the groups whose approval it
lacks; `expected` has what is not as it was expected to be.

A rule is reached if it has decided something in a case, or would have if those had approved whose approval the case
lacks. At a terminal the rules that no case reaches stand below; elsewhere they are told on standard error, and
in JSON they are `unreached`.""",
    "policy show": """\
`reads` are the facts that a rule looks at, and `principal` and `resource` where it looks at who they are. `sha256` is
that of the text of the rule, as `jitid explain` tells it. With RULE there is the field `text` too; at a
terminal, and in a pipe, the text alone is shown.

With --text the files are shown as they are, each after a line with its name; it is what decides, byte for byte, apart
from what acts on a terminal where one is there.""",
    "policy init": """\
The example is that of jitid-policy(7): who may hand what to an agent named release-bot, and when. With the default
policy there are cases of that too; its prohibitions apply to all agents, release-bot among them. Files have the mode
0644 and the folder 0755, whatever the umask, since a policy that others may write is refused.

Rules of the default policy permit much that the example does not tell of: with it beside the example, agents but for
release-bot get what they got before; without it they get nothing.""",
    "policy diff": """\
What is replayed are issues, renewals and denials, each as it was asked: with the time, the zone, the directory and the
approvals of then. What the directory, a parent or the end of a task refused stays refused, whatever policies say, and
is not replayed. Requests are put together that neither policy can tell apart; `count` is how many credentials were
issued so, or how often it was denied, and what differs among them, such as the task, is left out. `event` is the first
of them, to be explained by `jitid explain`.

`change` says what would become of it: it would be `refused`, need an `approval`, or one of other groups (`needs`), be
`permitted`, live for another time (`lifetime`), or hold other scopes (`scopes`). `recorded` is the operation of
the event. `old` and `new` are the decisions; what is recorded may be another one than either.

Nothing of it is about what lives now: that is asked by the rule policy-drift of jitid-sweep(1).""",
    "retire": """\
There is no limit to how many end with a task: look with --dry-run first.

At an authority, these end a task: its owner; the role responder; and the agent whose request opened it, while all that
lives on it descends from that agent's identity.""",
    "task share": """\
A share is an offer: a delegator joins the task by its whole name, `--task OWNER/NAME`. A bare name means the
delegator's own task of that name, then an open one that they have joined; where there are several, the error lists
them. What is issued on a shared task is judged by the higher of two sensitivities: that of the task, and the one that
is stated, or the configured default. The task's purpose is shown to those who have joined it, and to the roles
responder and auditor. The owner retires the task with all that was issued on it, for those who have joined too.

The tasks of a disabled delegator are nobody's to join: a responder gives them to another owner.""",
    "task give": """\
What was issued on it stays as it is; its shares end, and the new owner says with whom it is shared from then on. The
new owner must have no task of that name. For the new
owner, too, what is issued on it is judged by the higher sensitivity, since somebody else chose that of the task.""",
    "audit log": """\
With --task, --agent and --delegator those events are shown that say so themselves. What ended credentials by
their ids, or with something above them, names no task: look for it with --operation revoke, or by the event
that jitid-inspect(1) tells. Without --after and --since, --limit gives the oldest ones, and --follow begins
with the newest ten.

Where many write to a database at once, an event may be committed after one with a higher number. --after and --follow
therefore show events only as far as nothing can come before them any more, so that whoever goes on after the last
number that was seen misses nothing.

With --members there is the field `members` too.

What is shown with --at, --action or --resource has the fields at, decision, agent, delegator, chain, task, purpose,
action, resource, scope, rules, reason, id, jti and event, and comes in the order of its time, at most 1000 unless
--limit says how many. With --at it is what was recorded at most --within before or after; with --event, what that
one accounts for. --task, --agent, --delegator, --rule, --since and --until narrow it further.
What a token that is none of this ledger's was used for has neither agent nor task.""",
    "audit export": """\
As syslog (RFC 5424) an event has the facility 10 and the severity 4 if it is a denial, 5 if it ends something
or changes what is believed, 6 otherwise; the time of the event; this host; the operation as MSGID; its number,
its hash and who did what as structured data of `jitid@32473`; and its whole body as the message, JSON in ASCII.
Only JSON lines can be verified.""",
    "prune": """\
What goes: identities of which every credential has ended and expired before that time, and all below them; what
targets had of them, once it was settled there; their places in status lists, their processes, their actions; requests
for approval that were over by then; and what the ledger keeps for a while only, such as keys of repeated requests.
Until its expiry a credential may be honoured by whoever does not ask the ledger, and stands in status lists, CRLs and
KRLs: so long it stays, whatever ended it.

What stays: whatever leaked, with its identity and those above, since that is evidence, so that the percentages of
jitid-report(1) about leaks do not change; the names of tasks; delegators, agents, keys and access; what was adopted;
what was given out in answer to a request that may still be repeated; and the newest identity. A token that was pruned
is refused as unknown. With --export, what leaked goes too once its leaks were closed and proved refused before
--evidence-after; reports say so from then on.

The log is verified first, as by jitid-audit-verify(1). Then one audit event tells how many rows go, the digest of the
credentials among them, and the digests of what is left of the events so far; jitid-audit-verify(1) compares these.
After that the rows are deleted, some thousands at a time, so that others hardly wait. If it is killed, the ledger is in
order, and the next `jitid prune` deletes what is left. SQLite's file does not get smaller by that and has room for
what comes; jitid-ledger-vacuum(1) gives the room back.

Of a time before that of the last pruning jitid-report(1) can no longer tell what lived. What is pruned can no longer
be inspected or explained; its events are in the audit log: jitid-audit-log(1).

With --export the audit log is cut: all events from before that time, up to the first one that is younger, are written
into a new file of the folder, for its owner alone, with a signed head at their end. The file is read again and verified
before anything goes; `jitid audit verify --file FILE` verifies it at any time, and with a head that was kept elsewhere
proves that it is this ledger's. Events that a row remembers stay, and so do those about delegators, agents, access,
keys, the ends of tasks and proofs of leaks: rows are compared with them as before. An audit event tells where the log
was cut, what the file is, and the digest of what stays. From there on the chain is verified; a head that was kept
before tells of events that are only in the file then, and jitid-audit-verify(1) says so. Keep the files: with them goes
what the ledger cannot tell any more.

Rows of an authority elsewhere go at the request of whoever has the role admin there; its log is cut on its own
machine.""",
    "ledger copy": """\
Every row is copied, and of each table the number and the SHA-256 digest of its rows are compared; then the audit log
of the copy is verified as jitid-audit-verify(1) does it. A ledger that does not hold by itself is not copied.

From the beginning to the end the ledger is locked against writers, who wait as long as their --timeout says; reading
and verifying go on. The copy is filled beside its place, in a folder whose name begins with a dot and ends in
`.copying`, or in a schema whose name ends in `_copy`, and gets its name at the end: before that, nobody takes it for
a ledger. Whatever breaks the copy off, the same command goes on with it, unless the ledger has changed since: then it
begins anew. Whoever gives it up removes that folder or schema.

A folder gets the policy, and the private keys that are here and sign. What signs for a database lies in the folder
that the setting `home` names: the policy is put there if there is none yet, the private keys with --keys alone.
Without them jitid-keys-rotate(1) makes a key of this machine's own there, and the keys that the ledger knows go on
verifying what they signed.

Uuid, keys and policy are the same in the copy, and so is the issuer unless --issuer names another, so that what was
issued verifies there, and what was ended stays ended. With another issuer the copy remembers the earlier name as
jitid-ledger-issuer(1) does: until the last credential under it expires. A name by which live credentials or a granted
access mean a service is refused, as jitid-ledger-issuer(1) refuses it.

The audit chain of the ledger ends in the copy, where another begins with the event `ledger-copy`; heads that were
kept before still prove what they proved.

The source is sealed before the copy becomes live: two live ledgers never share keys or credentials, with --keys,
without it, and with another --issuer. Its setting `sealed` and its event `ledger-seal` say where it went. A sealed
ledger can be read: jitid-list(1), jitid-inspect(1), jitid-trace(1) and jitid-audit-verify(1) go on. It refuses each
change and each verification with status 7, also in a process that had it open before, and publishes nothing. No
command takes a seal away. If the copy breaks off between the two, neither ledger is live: repeat the command with the
same --to and --issuer, which completes it. A second ledger to try things out comes from jitid-ledger-backup(1) and
jitid-ledger-restore(1), which ends what lived and makes new keys.""",
    "ledger check": """\
It is the part of jitid-doctor(1) that is about the ledger, and nothing of it is about this machine, its configuration
or the targets; jitid-audit-verify(1) is the check `audit` alone. The checks are `ledger` (it is all there),
`permissions`, `leftovers` (what somebody who was killed has left), `log` (how much is in the write-ahead log alone),
`integrity` (every page, index and text, and what rows refer to), `schema`, `names`, `size`, `clock`, `keys`, and
`audit`: the chain, every row against its event, and the head that a sweep has left. What cannot be read for one damage
is told once. Damage is never mended: restore a backup.

A backup is unpacked into a private folder in TMPDIR for that, which needs room for the ledger, and goes at the end.""",
    "ledger issuer": """\
ACTION `show`, the default, lists the issuer and the names that it had before: `state` is current, accepted or former.
ACTION `set` changes the issuer to URL: an https address without query and fragment (RFC 8414), http on a loopback
address, or a URN. Going back to a former name is allowed. Its fields are issuer, former, until, live and event.

From the change on, new credentials name the new issuer, as `iss` and as the audience where none is stated; so do
renewals, children and further credentials of what lives. What was issued before stays valid until it expires. Until the
last of it expires, the former name is accepted as an audience; after that it is not. A credential cannot be requested
for a former name. Programs that have the ledger open, such as a running jitid-serve(1), use the new name from their
next request on.

The change is the audit event `ledger-issuer`, and jitid-audit-verify(1) compares the names in the ledger with these
events. Verifiers that pin the former issuer refuse new credentials: tell them first. Repeat jitid-publish(1), and go on
serving the keys at the former address until then. A target with `web_identity` (jitid-aws(7)) needs an OIDC provider
for the new issuer. Where a ledger is copied or restored from a backup, it has the names of that ledger.

It works beside the ledger only, not at an authority elsewhere.""",
    "ledger vacuum": """\
SQLite writes the database anew into a file beside it, then back through the write-ahead log; the private folder of the
ledger needs twice the room of what it holds, and that is looked for beforehand. Until the end the database is as it
was, whatever breaks it off. No event tells of it, since nothing that the ledger says is another afterwards.

In PostgreSQL each table is vacuumed and analyzed while others go on. That makes room for new rows, and gives room back
to the file system where it is at the end of a file; the login must own the tables. Behind a connection pooler it ends
with exit status 2: name the database server itself.""",
    "ledger backup": """\
The copy is of one moment, and is made by SQLite page by page while others write; nobody waits for it. Then it is
examined: the database, the audit chain, and every row against its event. Indexes are not compared with their tables,
which jitid-ledger-check(1) does; restoring builds them anew. A ledger that does not hold by itself has no backup,
unless --no-verify says so. What is copied while the ledger's disk can only be read is whole as well.

A backup has the members `ledger.sqlite`, `policy/`, with --keys `keys/`, `manifest.json`, and `audit.head`. The
manifest tells the ledger's uuid and schema, the time, the last event, and of each other member size and SHA-256. The
signed audit head vouches for the manifest by its member `backup`, and is a head as any other: jitid-audit-verify(1)
takes it with --expect-head. A tar file has the same members, in this order.

All of it is for its owner alone, whatever the umask says, and is put together beside its place, in a folder whose name
begins with a dot (for standard output in that of TMPDIR). It gets its name at the end, when it is on the disk, and
never the name of something that is there. A tar file needs twice the room while it is made. What somebody who was
killed has left goes with the next backup there.

Without --keys nothing in it is secret, though it tells who does what for whom. With --keys whoever reads it signs in
the name of the ledger: keep it as a key. Keys that a target keeps stay there in any case.

A ledger in a database is backed up with the database.""",
    "ledger restore": """\
Before anybody can use it, all of it is checked: sizes and digests by the manifest, the manifest by the signed head, the
head by the ledger's keys, the database, the audit chain, and every row against its event. What is damaged, cut short,
open to others, of a newer jitid or of another ledger is refused, and nothing is restored.

A backup does not know what was ended after it was made: what was revoked since would live again. So unless it is known
to be the newest state, everything that lived in it ends: each open task is retired with all that lives on it, access to
an authority is revoked, requests for approval and what was granted are withdrawn, and each key that signs tokens is
revoked and replaced. Credentials at targets are ended there
by the next jitid-sweep(1), as any others. What was adopted lives on: it lives whatever a ledger says. Authorities for
SSH and X.509 certificates go on if their private keys are there, since their successors would have to be made known
everywhere; if one was revoked since, revoke it again.

With --keep-live too, requests for approval and what was granted are withdrawn, and ID tokens and logins at their
issuers from before the restore count no more: people log in there again. Access to an authority, and the keys, then go
on with the rest. If the ledger of the backup still exists elsewhere, there are then two live ledgers with the same
keys: use --keep-live only where that one is gone.

It is known to be the newest state where the ledger that --replace moves aside holds by itself and ends with the same
event. --keep-live says so where nobody else can; it is refused if something tells of later events: the ledger that is
there, the head that a sweep has left beside it, or that of --expect-head. The output says how many are known to be
lost, and the audit event `ledger-restore` keeps it.

Private keys come from the backup, or from the ledger that is replaced; where there are none, new ones are made. The
replaced folder stays beside the ledger, with its time in its name, and the two change places at once where the system
can do that. Whoever has the old one open, as a server has, is refused from then on, and has to be started anew.

Heads that were kept of events that are lost disagree with the restored ledger from then on, as they must: put them away
once you have seen why.""",
    "schedule systemd": """\
The units name the jitid that runs, the ledger and the configuration by absolute paths; paths among the options
of the sweep become absolute too. Variables that are set here are not set there, and are warned of.

The service sees the file system read-only but for the ledger and the folders that the sweep writes to, which
must exist. It has no network, unless the ledger is in a database or the configuration has targets. It sees all
processes, since the rule orphaned-process looks for them.""",
    "schedule cron": """\
What cron can say are minutes that divide an hour, hours that divide a day, a day and a week. Others are
refused, with the nearest that it can. The line is quoted for any cron and a POSIX shell. What is published for
verifiers has a line of its own: see jitid-publish(1).""",
    "audit verify": """\
The chain alone cannot tell a history that was rewritten from its beginning, or from some event on: for that a
head is needed that was kept where the writer of the ledger cannot reach it. jitid-promises(7) tells what is
not found.

A ledger in a database has several chains, and one head over all of them; a ledger that was copied has those of its
past too. A head that was kept before proves what it did: each chain must run through the link that it tells of.""",
    "keys revoke": """\
With --dry-run the fields are those of jitid-revoke(1).

Of an X.509 authority that ends the certificates too. One under a root gets no successor by itself, and whoever has the
root must revoke its certificate, for those who trust the root.""",
    "publish": """\
DIR has, afterwards: `jwks.json`, the keys (RFC 7517); `status/DAY.jwt`, a Token Status List for each day on which
something that lives may expire (draft-ietf-oauth-status-list), and `status/DAY.es256.jwt` for verifiers that take no
EdDSA; `.well-known/openid-configuration` and `.well-known/oauth-authorization-server`, by which federations find the
keys, if the issuer is an address; `ssh/authorities.pub` and `ssh/revoked.krl`, if certificates for SSH hosts were
ever issued; `spiffe/bundle.json`, `spiffe/jwt-bundle.json`, `x509/roots.pem`, `x509/crl.pem` and `x509/KID.crl`, what
verifiers of SVIDs trust and which certificates are revoked, if there is an authority; `jitid.json`, which tells whose
files these are, and which former names of the issuer still count. They are for everybody to read (0644). Only this
ledger may publish there, and one process at a time; a folder with such files of others is left alone. No link in DIR is
followed: one in the place of a file is replaced.

With the setting `publish_url`, which is the address of DIR as others see it, every signed token that is issued from
then on names its place in a list, which nobody can count tokens by. A list is good for as long as `publish_lifetime`
says (15 minutes), so that publishing every five minutes lets two runs fail; afterwards verifiers refuse every token,
since nobody could tell what was ended. The lists of the next seven days lie ready; a token that lives for longer can
be verified as soon as the next run has written its list. Do not change `publish_url` while tokens live that name the
old one.

A new key is there from the next run on, and so are lists in ES256 after the first token that is signed so: publish
right after `jitid keys rotate`, and after `jitid keys revoke`.

Serve DIR as it is. Lists are of the type application/statuslist+jwt, keys of application/jwk-set+json, what is in
`.well-known` of application/json. AWS and Kubernetes take an https address as the issuer, find
`/.well-known/openid-configuration` under it, and take ES256 (the settings of algorithm.audience say for whom), not
EdDSA.

If it is cut off at any moment, what lies in DIR is in order: each file is whole, and no list is signed by a key that
`jwks.json` lacks.""",
    "keys rotate": """\
A key has one use. Those for `jws` sign tokens and audit heads, one for `x509` is the authority of X.509-SVIDs, one for
`ssh` certifies the keys of SSH. The first of each is made when it is needed.

Another X.509 authority signs at once: whoever trusts the bundle must fetch it again (jitid-keys-bundle(1)) before they
take what it certifies. The older one stays in the bundle, and its private key where it is to sign revocation lists,
until all that it certified has expired. An authority under a root is not rotated but asked for:
jitid-keys-request(1).""",
    "keys request": """\
The ledger's own root is made with the first certificate and needs nothing. Where there is a root already, kept
elsewhere and offline, an authority under it takes its place: it certifies agents and signs what it revokes, and
certifies no other authority (path length 0). What the request asks for is in it: `-copy_extensions copy` of openssl
takes it over.""",
    "keys bundle": """\
Sequence and refresh hint are in it, as SPIFFE Trust Domain and Bundle has them. Some libraries for JWT-SVIDs refuse a
bundle with roots, which have no `kid`: give them --format jwt. A verifier with this bundle needs no
ledger, and does not learn of a revocation: see jitid-keys-crl(1).""",
    "keys crl": """\
On a list are the certificates that were revoked, retired with their task, or superseded, until they expire. The number
grows with time and with the audit log. The authority's key is needed where it is signed; in a ledger in a database each
machine signs for its own authority. An authority that serves others signs a list for more than 24 hours only for the
role admin: such a list hides for as long what is revoked meanwhile.""",
    "keys jwks": """\
A verifier with these keys needs no ledger, and does not learn of a revocation: it honours a token until it
expires.""",
    "keys ssh": """\
A host takes certificates of these keys when `TrustedUserCAKeys` in its sshd_config(5) names a file with these lines;
old keys stand there as long as something that they signed may be alive, so that a host may fetch the whole again and
again. It lets in whom its `AuthorizedPrincipalsFile` names: `agent:NAME` of a registered agent, for certificates
without a template. Without such a file a principal that is a login is let in as that login, which only a template of
the configuration can say.""",
    "keys krl": """\
The list is one of OpenSSH, and `ssh-keygen -Q -f FILE CERTIFICATE` looks into it. It has each certificate that was
revoked, retired or superseded before its expiry, until an hour after that, and each revoked key of an authority for
ever. A host reads it at each login, from the file that `RevokedKeys` in its sshd_config(5) names; if the file is
missing or damaged, nobody with a key is let in. So it is fetched to another name first and then renamed.""",
    "config set": """\
An issuer of ID tokens is believed by what is set of it. ISSUER is what its tokens have as `iss`, letter by letter. Two
fields are needed: `jwks` is where its keys are (RFC 7517), a file or an https address, such as the `jwks_uri` of its
/.well-known/openid-configuration; `audience` is what its tokens have as `aud` for jitid, and for nobody else. Five
more may be set: `claim` names the delegator (default: `sub`; `email` counts only if it is verified), `kind` says
whether that is a `user` or a `system` (default: `user`), `algorithms` are those that sign (default: RS256 ES256 EdDSA
PS256), and `names` and `clients`. An issuer that lacks something keeps no other from being believed; `jitid doctor`
names it.

`names` are the names, without their kind, that the issuer may prove: names, or names with one `*` at the start or end,
with blanks between them. A single issuer of a kind may leave them out. Of two or more issuers of one kind each needs
them, and no name may match patterns of both: until then such issuers prove nobody, which is status 2. `ci-*` and
`*@example.com` have a name in common, `ci-1@example.com`.

`clients` are pairs CLIENT=CALLER with blanks between them: the client that a token names in `azp`, `client_id` or
`may_act`, and the caller of the authority that this is. A token that names a client counts for that caller; any other
token counts for its first presenter. See jitid-oauth(7).

A relative path is kept as it is meant in the working directory. One that is written into the file by hand begins in the
folder of that file.""",
    "config show": """\
With --origin there is the field `origin` too.""",
}
"""Verb -> text after the help and the fields."""
