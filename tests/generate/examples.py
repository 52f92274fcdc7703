"""Texts of the man pages beyond the help: examples of every verb, and related pages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple


class Example(NamedTuple):
    """A command as a user would type it, and its purpose."""

    what: str
    command: str
    tried: bool = True
    """Whether a test can run it; false if it needs another machine, an issuer of ID tokens, or a signal to end."""


NOT_YET = frozenset({"--follow", "--process"})
"""Options in examples that no verb has yet; pages omit these examples until then."""

FIRST = (
    Example(
        "An agent gets a credential for a task; the first use makes ledger, signing key and policy:",
        "TOKEN=$(jitid issue --task INC-4821 --delegator alice)",
    ),
    Example(
        "It hands a narrower one to another agent:",
        """jitid issue --task INC-4821 --delegator alice --agent planner \\
    --scope 'repo:*' --out planner.jwt
jitid issue --parent-file planner.jwt --agent coder \\
    --scope repo:acme --out coder.jwt""",
    ),
    Example(
        "The other one goes astray; what would end is shown first:",
        """jitid revoke --token-file coder.jwt --dry-run
jitid revoke --token-file coder.jwt --reason 'it went astray'""",
    ),
    Example("The task is done:", "jitid retire INC-4821"),
    Example(
        "Who did what, and does the log still hold:",
        """jitid audit log
jitid audit verify""",
    ),
)
"""The examples of jitid(1) itself."""

EXAMPLES: Mapping[str, tuple[Example, ...]] = {
    "agent register": (
        Example(
            "An agent that alice answers for:",
            """jitid agent register release-bot --owner alice \\
    --purpose 'rolls out what was released' --scope 'deploy:*' \\
    --kind jwt --max-ttl 15m --concurrency 3""",
        ),
    ),
    "agent change": (
        Example("Shorter lives, and a kind less:", "jitid agent change crawler --max-ttl 10m --kind opaque"),
        Example(
            "No scopes any more, and any number of it at once:",
            "jitid agent change crawler --clear scope --clear concurrency",
        ),
    ),
    "agent show": (
        Example("All about one:", "jitid agent show crawler"),
        Example("Who answers for it:", "jitid agent show crawler --field owner"),
    ),
    "agent list": (
        Example(
            "Those that are issued nothing until somebody reviews them:", "jitid agent list --state overdue"
        ),
        Example("What alice answers for:", "jitid agent list --owner alice"),
    ),
    "agent review": (Example("Look at it, and again in a month:", "jitid agent review crawler --next 30d"),),
    "agent suspend": (
        Example(
            "First what would end with it:",
            """jitid agent suspend crawler --dry-run
jitid agent suspend crawler --reason 'reads what it should not'""",
        ),
    ),
    "agent resume": (Example("Once it is in order again:", "jitid agent resume crawler"),),
    "agent unregister": (
        Example(
            "Its work is done, and what it is at may be finished:",
            "jitid agent unregister crawler --keep-live --reason 'replaced'",
        ),
    ),
    "agent classify": (
        Example("What should be done, and why:", "jitid agent classify"),
        Example(
            "The commands alone, to be looked at and run:",
            "jitid agent classify --field command | grep register > register.sh",
            tried=False,
        ),
        Example("One agent in all its numbers:", "jitid agent classify planner --format json"),
    ),
    "agent suggest": (
        Example(
            "A policy for one agent, from the last month:",
            "jitid agent suggest planner --days 30 > planner.cedar",
        ),
        Example("A policy for all agents of a task that went well:", "jitid agent suggest --task INC-4821"),
    ),
    "issue": (
        Example(
            "A credential for alice's task; nothing but the token goes to the variable:",
            "TOKEN=$(jitid issue --task INC-4821 --delegator alice)",
        ),
        Example(
            "To a file that only its owner can read, with a scope and a purpose:",
            """jitid issue --task INC-4821 --delegator alice --agent planner \\
    --scope 'repo:*' --purpose 'triage the incident' \\
    --out planner.jwt""",
        ),
        Example(
            "Delegate a narrower one; whoever holds the parent's token may:",
            """jitid issue --parent-file planner.jwt --agent coder \\
    --scope repo:acme --ttl 5m --out coder.jwt""",
        ),
        Example(
            "Ask what the policy would say, and change nothing:",
            """jitid issue --task DEPLOY-7 --delegator "$(id -un)" \\
    --sensitivity moderate --purpose 'roll out 1.2' \\
    --scope prod:web --dry-run""",
        ),
        Example(
            "Prove the delegator by the ID token of a CI system:",
            'jitid issue --task "$CI_JOB_ID" --delegator-token-file id.token',
            tried=False,
        ),
        Example(
            "Wait for somebody to approve of it, where the policy wants that:",
            """jitid issue --task PAY-7 --delegator alice --scope pay:out \\
    --wait 10m --out payer.jwt""",
        ),
        Example(
            "A hundred copies, and one for each line of a list:",
            """(umask 077; jitid issue --task LOAD-3 --delegator system:ci \\
    --count 100 > tokens.jsonl)
printf '%s\\n' '{"task":"A-1"}' '{"task":"A-2","ttl":"5m"}' |
    jitid issue --delegator alice --from-file - > more.jsonl""",
        ),
    ),
    "run": (
        Example(
            "An agent with an identity of its own, which ends when the program does:",
            """jitid run --task INC-4821 --delegator alice \\
    --scope 'repo:*' -- ./agent.sh""",
        ),
        Example(
            "With ten seconds to finish in when its time is over:",
            """jitid run --task INC-4821 --delegator alice --grace 10s \\
    -- ./agent.sh""",
        ),
        Example(
            "With a certificate for hosts in an ssh-agent, and one for services in files:",
            """jitid run --task INC-4821 --delegator alice \\
    --secret host=ssh-cert --secret web=x509-svid \\
    -- sh -c 'ssh-add -L; openssl x509 -noout -text \\
        -in "$JITID_SECRET_WEB"'""",
            tried=False,
        ),
    ),
    "mcp": (
        Example(
            "What the client of an agent reads, and the agent under an identity from which its server delegates:",
            """cat > .mcp.json <<'END'
{"mcpServers": {"jitid": {"command": "jitid", "args": ["mcp"]}}}
END
jitid run --task INC-4821 --delegator alice \\
    --scope 'repo:*' -- ./agent.sh    # starts jitid mcp""",
        ),
        Example(
            "For a client that hands no variables on, the token in a file of a name that is known before:",
            """cat > .mcp.json <<'END'
{"mcpServers": {"jitid": {"command": "jitid", "args":
  ["mcp", "--token-file", "/run/user/1000/agent/token"]}}}
END
jitid run --task INC-4821 --delegator alice --scope 'repo:*' \\
    --file /run/user/1000/agent -- ./agent.sh  # jitid mcp""",
            tried=False,
        ),
        Example(
            "By hand, what a client writes: who it is, and a call of a tool:",
            """{ echo '{"jsonrpc":"2.0","id":1,"method":"initialize",'\\
'"params":{"protocolVersion":"2025-06-18"}}'
echo '{"jsonrpc":"2.0","method":"notifications/initialized"}'
echo '{"jsonrpc":"2.0","id":2,"method":"tools/call",'\\
'"params":{"name":"what_may_i_do","arguments":{"ttl":"5m"}}}'
} | jitid mcp --token-file planner.jwt""",
        ),
    ),
    "serve": (
        Example(
            "On one machine, for agents under other users; the kernel says who asks:",
            "jitid serve --socket /run/jitid/jitid.sock --socket-mode 0666",
            tried=False,
        ),
        Example(
            "For a network, with a certificate, and two processes that answer:",
            """jitid serve --bind 0.0.0.0:8477 --workers 2 \\
    --tls-cert server.pem --tls-key server.key \\
    --public-url https://jitid.example.com""",
            tried=False,
        ),
    ),
    "renew": (
        Example(
            "A later credential of the same identity, in the same file:",
            "jitid renew --token-file planner.jwt",
        ),
    ),
    "trace": (
        Example("Which credentials stand in a log:", "jitid trace < build.log"),
        Example("End them:", "jitid trace --revoke < build.log"),
    ),
    "scan": (
        Example("What of ours stands in this folder, and lives:", "jitid scan ."),
        Example("The unknown counts too, as before a release:", "jitid scan --fail-on medium ."),
        Example("What was ever committed, in any branch:", "jitid scan --git", tried=False),
        Example(
            "In CI, what a branch brings, whoever's it is:",
            "jitid scan --git --commits origin/main..HEAD --fail-on medium",
            tried=False,
        ),
        Example(
            "Record what was found, and end it:",
            "jitid scan --report --revoke build.log",
        ),
        Example("Rules of ours for a scanner of others:", "jitid scan --rules gitleaks > gitleaks.toml"),
    ),
    "adopt add": (
        Example(
            "A token of GitHub that a build uses:",
            """jitid adopt add github-ci --owner alice --purpose releases \\
    --place 'vault kv/prod/github' < github.token""",
        ),
        Example(
            "A role of a database that a target of the configuration can end:",
            """jitid adopt add report-db --owner alice --place 'vault kv/db' \\
    --purpose 'the monthly report' --file db.password \\
    --target db --reference report""",
            tried=False,
        ),
        Example(
            "A key, by its public half:",
            """jitid adopt add deploy-key --owner bob --place 'a build host' \\
    --purpose 'deploys to web1' --public-key id_ed25519.pub""",
        ),
        Example("Thousands, all or none:", "jitid adopt add --from-file secrets.csv --owner ops"),
    ),
    "adopt list": (
        Example("What may still work where it is kept:", "jitid adopt list --live"),
        Example(
            "All of one owner, for a spreadsheet:", "jitid adopt list --owner alice --format csv > alice.csv"
        ),
    ),
    "adopt show": (Example("All about one:", "jitid adopt show github-ci"),),
    "adopt change": (
        Example(
            "Alice leaves, and Bob answers for it from now on:", "jitid adopt change github-ci --owner bob"
        ),
        Example(
            "All that she has:",
            """jitid adopt list --owner alice --live --field name |
    xargs jitid adopt change --owner bob --""",
            tried=False,
        ),
    ),
    "adopt probe": (Example("Ask its target whether it works:", "jitid adopt probe github-ci"),),
    "adopt suggest": (
        Example("What can take the place of one:", "jitid adopt suggest github-ci"),
        Example("Of all that still work, what kinds:", "jitid adopt suggest --all --format csv > plan.csv"),
    ),
    "adopt ended": (
        Example(
            "It was deleted at GitHub:",
            """jitid adopt ended github-ci --proof 'deleted at GitHub'""",
        ),
    ),
    "leak add": (
        Example(
            "A scanner has found tokens in a repository; record it, and end them:",
            """jitid leak add build.log --source 'git:acme/web' --revoke \\
    --reason 'in a public repository'""",
        ),
        Example(
            "The report of a scanner as it is, with all places:",
            """gitleaks git -f json -r found.json .
jitid leak add --from found.json --source 'git:acme/web' --revoke""",
            tried=False,
        ),
        Example(
            "By its fingerprint, where the token itself may not be passed on:",
            """tr -d '\\n' < planner.jwt | sha256sum |
    jitid leak add --source 'support case 1093'""",
        ),
    ),
    "leak list": (
        Example("What leaked and still works:", "jitid leak list --valid"),
        Example("For how long each worked after the report:", "jitid leak list --format csv > leaks.csv"),
    ),
    "leak show": (Example("All about one:", "jitid leak show 1"),),
    "delegator add": (
        Example(
            "Ada may hand out what deploys, in a task of any sensitivity; by her address she is the same:",
            """jitid delegator add ada --entitlement 'deploy:*' --group sre \\
    --alias ada@example.com""",
        ),
        Example(
            "Who somebody is in the ID tokens of an issuer, and whom they report to:",
            """jitid delegator add bob --manager ada \\
    --subject 'https://id.example 00u1a2b3c'""",
        ),
    ),
    "delegator change": (
        Example(
            "Into another team, with one right more:",
            """jitid delegator add carol --entitlement 'log:*' --group support
jitid delegator change carol --entitlement 'deploy:staging' \\
    --group sre --remove-group support""",
        ),
        Example(
            "Exactly these groups, and entitlements no longer:",
            """jitid delegator add dave --entitlement 'log:*' --group night
jitid delegator change dave --no-groups --group day --policy-alone""",
        ),
    ),
    "delegator disable": (
        Example(
            "Somebody leaves; what would end is shown first:",
            """jitid delegator add erin
jitid delegator disable erin --dry-run
jitid delegator disable erin --reason 'has left'""",
        ),
        Example(
            "Nobody is to be given anything for mallory, whom the directory does not know:",
            "jitid delegator add mallory && jitid delegator disable mallory",
        ),
    ),
    "delegator enable": (
        Example(
            "Back again:",
            """jitid delegator add frank && jitid delegator disable frank
jitid delegator enable frank --reason 'back from leave'""",
        ),
    ),
    "delegator show": (
        Example(
            "All about one, by any of their names:",
            """jitid delegator add grace --alias grace@example.com
jitid delegator show grace@example.com""",
        ),
    ),
    "delegator list": (
        Example("Who is in a group:", "jitid delegator list --group sre"),
        Example(
            "Everybody, for another ledger:",
            "jitid delegator list --limit 1000000 --format jsonl > people.jsonl",
        ),
    ),
    "delegator import": (
        Example(
            "From a spreadsheet; what would be changed is shown first:",
            """printf '%s\\n' 'name,entitlements,groups,manager' \\
    'heidi,deploy:*;log:*,sre;on call,ivan' \\
    'ivan,,leads,' > people.csv
jitid delegator import people.csv --dry-run
jitid delegator import people.csv""",
        ),
        Example(
            "Each night all users of an identity provider, and nobody else who came with it:",
            """curl -fsS -H @scim.header \\
    'https://id.example/scim/v2/Users?count=100000' |
    jitid delegator import - --as scim --full --max 20""",
            tried=False,
        ),
    ),
    "leak timeline": (
        Example("For the report of an incident:", "jitid leak timeline 1 --format markdown > incident.md"),
    ),
    "leak close": (
        Example(
            "End what leaked, and be done with it:",
            """jitid revoke "$(jitid leak show 1 --field jti)"
jitid leak close 1 --reason 'the page was taken down'""",
        ),
    ),
    "access grant": (
        Example(
            "Alice may issue for herself from another machine, for half a day:",
            "jitid access grant alice > alice.bearer",
        ),
        Example(
            "A gateway verifies, and can do nothing else:",
            """jitid access grant system:gateway --role verifier \\
    --audience https://api.example --ttl 30d \\
    --out gateway.bearer""",
        ),
        Example(
            "A launcher proves itself by a key that never leaves it:",
            "jitid access grant system:launcher --role issuer --key launcher.jwk",
        ),
    ),
    "access list": (
        Example("Who may ask:", "jitid access list"),
        Example("What bob ever had:", "jitid access list --name bob --all --format csv"),
    ),
    "access rotate": (
        Example(
            "The gateway gets a new bearer, and has five minutes to take it:",
            'jitid access rotate "$ACCESS" --overlap 5m --out gateway.bearer',
        ),
    ),
    "access revoke": (
        Example("One that leaked:", 'jitid access revoke "$ACCESS" --reason "in a log"'),
        Example("All that bob has:", "jitid access revoke bob"),
    ),
    "access bootstrap": (
        Example("Before anybody may ask the authority:", "jitid access bootstrap first.bearer"),
    ),
    "approve list": (
        Example("What waits for the word of security:", "jitid approve list --open --group security"),
        Example("What became of all that was ever asked for:", "jitid approve list --all --format csv"),
    ),
    "approve show": (
        Example(
            "All about a request, with the rule that asks:",
            'jitid approve show "$REQUEST"',
            tried=False,
        ),
    ),
    "approve grant": (
        Example(
            "Grant it for five minutes, as your ID token proves you:",
            """jitid approve grant "$REQUEST" --for 5m \\
    --reason 'change 4711' --delegator-token-file id.token""",
            tried=False,
        ),
    ),
    "approve deny": (
        Example(
            "Deny it, and say why:",
            """jitid approve deny "$REQUEST" --reason 'not before the audit'""",
            tried=False,
        ),
    ),
    "doctor": (Example("See whether everything is as it must be:", "jitid doctor"),),
    "completion install": (
        Example("Make zsh complete verbs, options, ids and tasks:", "jitid completion install --shell zsh"),
    ),
    "completion show": (
        Example(
            "Put the completions of bash where the system looks:", "jitid completion show bash > jitid.bash"
        ),
    ),
    "verify": (
        Example("In a script:", "jitid verify planner.jwt && echo valid"),
        Example(
            "For a service that is not the ledger's own audience, from standard input:",
            "jitid verify --audience https://api.example < api.jwt",
        ),
        Example(
            "On a host without the ledger, by what was published:",
            "jitid verify --published tokens < api.jwt",
            tried=False,
        ),
    ),
    "authorize": (
        Example(
            "In a script that is about to do something for an agent:",
            """jitid authorize --token-file coder.jwt --action repo:acme \\
    --resource web > decision && ./deploy""",
            tried=False,
        ),
        Example(
            "What was decided, and why:",
            """jitid authorize --token-file coder.jwt \\
    --action repo:acme --resource web""",
        ),
        Example(
            "With what the enforcement point knows, for policies that ask for it:",
            """jitid authorize --token-file coder.jwt --action repo:acme \\
    --resource web --context '{"ip":"192.0.2.1"}'""",
        ),
        Example(
            "As a service beside an enforcement point, which writes lines and reads answers:",
            "jitid authorize --batch < requests > answers",
            tried=False,
        ),
        Example(
            "A line of such requests, and its answer:",
            """TOKEN=$(cat coder.jwt)
echo '{"token":"'$TOKEN'","action":"repo:acme","resource":"web"}' |
    jitid authorize --batch""",
        ),
    ),
    "inspect": (
        Example("What is this token, and who is behind it:", "jitid inspect planner.jwt"),
        Example("How many live on below it:", "jitid inspect planner.jwt --field live_descendants"),
        Example(
            "As JSON, by an id:",
            'jitid inspect "$(jitid list --limit 1 --field jti)" --format json',
        ),
    ),
    "list": (
        Example("What lives on alice's account:", "jitid list --live --delegator alice"),
        Example("What ends next:", "jitid list --live --sort expires_at --limit 10"),
        Example("What a `jitid run` that was killed has left:", "jitid list --process gone"),
        Example("For a spreadsheet:", "jitid list --task INC-4821 --format csv > credentials.csv"),
        Example(
            "The states of all that one agent ever had:",
            "jitid list --agent crawler --field state | sort | uniq -c",
        ),
    ),
    "tree": (
        Example("The delegations of a task, drawn:", "jitid tree --task INC-4821 --format table"),
        Example("The same as the source of a picture:", "jitid tree --task INC-4821 --as mermaid > tree.mmd"),
        Example(
            "From the root down to whatever hangs beside one token:",
            'jitid tree "$(jitid inspect coder.jwt --field id)"',
        ),
    ),
    "revoke": (
        Example(
            "One identity with all below it; first what that would be:",
            """jitid revoke --token-file coder.jwt --dry-run
jitid revoke --token-file coder.jwt --reason 'it went astray'""",
        ),
        Example(
            "What one agent holds for one person, on whatever task:",
            "jitid revoke --agent fetcher --delegator alice",
        ),
        Example(
            "Whatever is selected by other means, however many:",
            """jitid list --live --task INC-4821 --limit 100000 --field id |
    jitid revoke --ids-file - --yes""",
        ),
    ),
    "retire": (
        Example("What would end with the task:", "jitid retire INC-4821 --dry-run"),
        Example("End it:", "jitid retire INC-4821 --reason 'the incident is closed'"),
    ),
    "report": (
        Example("The state of things:", "jitid report --format table"),
        Example("A page for a browser or for paper:", "jitid report --format html --out report.html"),
        Example("How it was last night:", 'jitid report --at "$AT" --format json', tried=False),
        Example(
            "For the node exporter's textfile collector, from cron:",
            """jitid report --format prometheus \\
    --out /var/lib/prometheus/node-exporter/jitid-report.prom""",
            tried=False,
        ),
        Example("One figure for a script:", "jitid report --field live"),
    ),
    "sweep": (
        Example(
            "From cron: end orphans and leaks, and leave figures for Prometheus:",
            """jitid sweep --fix --format prometheus --out jitid-sweep.prom""",
        ),
        Example("What should not be alive now:", "jitid sweep"),
        Example(
            "End standing credentials too; first what that would be:",
            """jitid sweep --fix --rule standing --dry-run
jitid sweep --fix --rule standing""",
        ),
        Example(
            "What is there today is known, and tomorrow only what is new counts:",
            """jitid sweep --baseline known.jsonl --update-baseline
jitid sweep --baseline known.jsonl""",
        ),
        Example("What the rules ask:", "jitid sweep --list-rules"),
    ),
    "explain": (
        Example("Why somebody got this token, and whether they would today:", "jitid explain planner.jwt"),
        Example(
            "Why the latest request that was refused was refused:",
            """jitid issue --task DROP-1 --delegator alice --purpose 'tidy up' \\
    --sensitivity high ||
    jitid explain --event "$(jitid audit log --operation denial \\
        --field seq | tail -n 1)\"""",
        ),
        Example(
            "The inputs alone, for another program:",
            "jitid explain planner.jwt --format json | jq .asked",
            tried=False,
        ),
    ),
    "policy check": (
        Example("The policy in force:", "jitid policy check"),
        Example(
            "One that is to be in force:",
            """jitid policy init checked
jitid policy check checked""",
        ),
        Example(
            "In a repository of policies, each time that one was changed:",
            """jitid policy init infra
jitid policy check infra &&
    jitid policy test infra --require-coverage""",
        ),
    ),
    "policy test": (
        Example(
            "The cases that stand beside a policy:",
            """jitid policy init tested
jitid policy test tested""",
        ),
        Example(
            "Whether they hold under another one, too:",
            """jitid policy init moved
jitid policy test moved/release.test.toml --policy moved""",
        ),
    ),
    "policy show": (
        Example("What decides, rule by rule:", "jitid policy show"),
        Example("One rule, as it is written:", "jitid policy show high-needs-purpose"),
        Example(
            "The policy by which a token was issued, as it was then:",
            """jitid policy show --text \\
    --digest "$(jitid explain planner.jwt --field policy)\"""",
        ),
    ),
    "policy init": (
        Example(
            "A policy instead of the default one, in force once it is what it should be:",
            """jitid policy init ./policy
jitid policy check ./policy && jitid policy test ./policy
jitid config set policy "$PWD/policy\"""",
        ),
        Example("One that is more than the default one:", "jitid policy init both --with-default"),
    ),
    "policy diff": (
        Example(
            "What would have been decided otherwise, had a policy been in force:",
            """jitid policy init next
jitid policy diff current next""",
        ),
        Example(
            "In a script, for the last month:",
            """jitid policy diff current default --exit-code \\
    --since "$(date -u -d '30 days ago' +%FT%TZ)\"""",
        ),
        Example(
            "What a policy that decided once has decided otherwise than the one of today:",
            """jitid policy diff \\
    "$(jitid explain "$ID" --field policy)" current""",
            tried=False,
        ),
    ),
    "task list": (
        Example("Tasks that nobody retired in time:", "jitid task list --state overdue"),
        Example("The names of the open ones:", "jitid task list --state open --field task"),
    ),
    "task show": (
        Example("One task:", "jitid task show INC-4821"),
        Example("How much of it lives:", "jitid task show INC-4821 --field live"),
    ),
    "task share": (
        Example(
            "Let bob and a group issue on it:", "jitid task share INC-4821 --with bob --with group:oncall"
        ),
        Example("End that for bob:", "jitid task share INC-4821 --with bob --end"),
    ),
    "task give": (Example("Let bob own it from now on:", "jitid task give INC-4821 --to bob", tried=False),),
    "audit log": (
        Example(
            "What was refused since a certain time:",
            "jitid audit log --operation denial --since 2026-11-24T00:00:00Z",
        ),
        Example(
            "Who ended by each revocation:", "jitid audit log --operation revoke --members --field members"
        ),
        Example(
            "Who did this, and for whom:",
            "jitid audit log --at 2026-03-02T14:03:00Z --action s3:GetObject",
        ),
        Example(
            "What was tried on a task, allowed or not:",
            "jitid audit log --task INC-4821 --action repo:acme",
        ),
        Example("Whole events, for another program:", "jitid audit log --task INC-4821 --format jsonl"),
        Example("Go on as events come in:", "jitid audit log --follow --format jsonl", tried=False),
    ),
    "audit head": (
        Example("To a file:", "jitid audit head --out head.jws"),
        Example(
            "From cron, to another machine:", "jitid audit head | ssh archive 'cat > jitid.head'", tried=False
        ),
    ),
    "audit verify": (
        Example("The ledger:", "jitid audit verify"),
        Example(
            "The ledger against a head that was kept elsewhere:", "jitid audit verify --expect-head head.jws"
        ),
        Example(
            "An export, where there is no ledger:",
            "jitid audit verify --file log.jsonl --expect-head head.jws",
        ),
    ),
    "audit export": (
        Example("To a file for its owner alone:", "jitid audit export --out log.jsonl"),
        Example("Compressed:", "(umask 077; jitid audit export | gzip > log.jsonl.gz)"),
        Example(
            "For a collector that reads syslog messages from files:",
            "jitid audit export --format syslog --out audit.syslog",
        ),
    ),
    "keys list": (
        Example("All keys:", "jitid keys list"),
        Example("How long verifiers need each:", "jitid keys list --format csv"),
    ),
    "prune": (
        Example("What would go:", "jitid prune --dry-run"),
        Example("Every night, of what has been over for 90 days:", "jitid prune --rows-after 90d"),
        Example(
            "And audit events of more than two years into files:",
            "jitid prune --evidence-after 730d --export old",
        ),
    ),
    "ledger copy": (
        Example(
            "To another folder, which is the ledger from then on:",
            "jitid ledger copy --to ~/ledger && jitid config set ledger ~/ledger",
        ),
        Example(
            "Into PostgreSQL, to be signed for by this machine as before:",
            "jitid ledger copy --to postgresql://db.example/jitid --keys",
            tried=False,
        ),
        Example(
            "Under another issuer; tokens of the earlier one stay valid:",
            """jitid ledger copy --to postgresql://db.example/jitid --keys \\
    --issuer https://jitid.example.com""",
            tried=False,
        ),
    ),
    "ledger check": (
        Example("The ledger:", "jitid ledger check"),
        Example("Only what is wrong:", "jitid ledger check --format csv | grep -v ,ok,"),
        Example("A backup, without restoring it:", "jitid ledger backup b.tar; jitid ledger check b.tar"),
    ),
    "ledger issuer": (
        Example("The issuer, and former ones that still count:", "jitid ledger issuer"),
        Example(
            "Before federating: an https address, at which verifiers find the keys:",
            "jitid ledger issuer set https://id.example.com --yes",
        ),
    ),
    "ledger vacuum": (
        Example("After much was pruned:", "jitid ledger vacuum"),
        Example("How many bytes it gives back:", "jitid ledger vacuum --field saved"),
    ),
    "ledger backup": (
        Example(
            "Into a folder of backups, each named by its time:",
            "mkdir -m 700 backups; jitid ledger backup backups",
        ),
        Example("As one file, with the private keys:", "jitid ledger backup ledger.tar --keys"),
        Example(
            "To another machine, which keeps what comes:",
            "jitid ledger backup - | ssh safe 'umask 077; cat > ledger.tar'",
            tried=False,
        ),
    ),
    "ledger restore": (
        Example(
            "Where there is no ledger any longer:",
            "jitid ledger backup b.tar; jitid --ledger back ledger restore b.tar",
        ),
        Example(
            "In the place of one that is damaged, which is kept aside:",
            "jitid ledger restore --replace backups/jitid-20261124T120000Z",
            tried=False,
        ),
        Example(
            "How many events it lacks, by a head that was kept elsewhere:",
            "jitid ledger restore --expect-head head.jws --field lost ledger.tar",
            tried=False,
        ),
    ),
    "keys rotate": (
        Example("A new key for tokens signed with Ed25519:", "jitid keys rotate"),
        Example("A new key for tokens signed with P-256:", "jitid keys rotate --algorithm ES256"),
        Example("A new key for SSH certificates:", "jitid keys rotate --use ssh"),
        Example(
            "A new key for tokens that never leaves the OpenBao of the target vault:",
            "jitid keys rotate --transit vault/jitid",
            tried=False,
        ),
    ),
    "keys revoke": (
        Example(
            "The key that signed a token; first what would end with it:",
            """KID=$(jitid inspect planner.jwt --field kid)
jitid keys revoke "$KID" --dry-run
jitid keys revoke "$KID" --reason 'found in a repository'""",
        ),
    ),
    "keys jwks": (Example("To a file that a web server hands out:", "jitid keys jwks --out jwks.json"),),
    "keys ssh": (
        Example(
            "A key before anything is issued, and the file for TrustedUserCAKeys of hosts:",
            """jitid keys rotate --use ssh
jitid keys ssh --out jitid-authorities.pub""",
        ),
    ),
    "keys krl": (
        Example(
            "Every minute to a host, which reads it at each login:",
            """jitid keys krl --out revoked.krl
scp revoked.krl root@host.example:/etc/ssh/revoked.krl.new
ssh root@host.example 'cd /etc/ssh; mv revoked.krl.new revoked.krl'""",
            tried=False,
        ),
        Example(
            "Whether a certificate is on it:",
            """jitid keys krl --out revoked.krl
ssh-keygen -Q -f revoked.krl deploy-cert.pub""",
            tried=False,
        ),
    ),
    "publish": (
        Example(
            "For the first time: tokens name their status list from then on.",
            """jitid config set publish_url https://tokens.example
jitid publish tokens""",
        ),
        Example(
            "Every five minutes, from cron:",
            """(crontab -l
echo '*/5 * * * * jitid publish -q tokens >/dev/null') | crontab -""",
            tried=False,
        ),
    ),
    "keys request": (
        Example(
            "An authority under a root that openssl keeps:",
            """jitid keys request --out authority.csr
openssl x509 -req -in authority.csr -copy_extensions copy \\
    -CA root.pem -CAkey root.key -days 365 -out authority.pem
cat authority.pem root.pem | jitid keys import""",
            tried=False,
        ),
    ),
    "keys import": (
        Example("The certificate, those above it, and the root:", "jitid keys import chain.pem", tried=False),
    ),
    "keys bundle": (
        Example("For federations, from a web server:", "jitid keys bundle --out bundle.json"),
        Example(
            "For libraries that read JWT-SVIDs alone:", "jitid keys bundle --format jwt --out jwt-bundle.json"
        ),
        Example("For what trusts roots in PEM:", "jitid keys bundle --format pem --out roots.pem"),
    ),
    "keys crl": (
        Example(
            "Every ten minutes, for openssl and nginx:",
            "jitid keys crl --lifetime 1h --out revoked.pem",
        ),
    ),
    "schedule systemd": (
        Example(
            "Every ten minutes, ending orphans and what leaked:",
            "jitid schedule systemd -- --fix",
        ),
        Example(
            "As files, to be put in their place by root:",
            """jitid schedule systemd --every 5m --out . -- --fix --yes
sudo cp jitid-sweep.service jitid-sweep.timer /etc/systemd/system/
sudo systemctl daemon-reload
sudo systemctl enable jitid-sweep.timer
sudo systemctl start jitid-sweep.timer""",
            tried=False,
        ),
    ),
    "helper git": (
        Example(
            "For one server, whatever clones from it within `jitid run`:",
            """git config credential.https://git.example.helper \\
    '!jitid helper git'""",
            tried=False,
        ),
        Example(
            "What git is told, seen by hand:",
            """printf 'protocol=https\nhost=git.example\n\n' |
    jitid helper git get --task INC-4821 --delegator alice""",
        ),
    ),
    "helper kube": (
        Example(
            "What kubectl is told, seen by hand:",
            """jitid helper kube --task INC-4821 --delegator alice \\
    --audience https://kube.example""",
        ),
    ),
    "helper ssh": (
        Example(
            "Whatever logs in to these hosts, in ~/.ssh/config:",
            """Match host *.example exec "jitid helper ssh --task INC-4821"
    User deploy""",
            tried=False,
        ),
        Example(
            "By hand; ssh-add shows what the agent has then:",
            """jitid helper ssh --task INC-4821 --delegator alice
ssh-add -L""",
            tried=False,
        ),
    ),
    "helper docker": (
        Example(
            "What docker is told, seen by hand:",
            """echo registry.example |
    jitid helper docker get --task INC-4821 --delegator alice""",
        ),
    ),
    "helper pgpass": (
        Example(
            "For psql within `jitid run`, in a shell that has `<(…)`:",
            """PGSERVICEFILE=<(jitid helper pgpass --service db) psql service=db""",
            tried=False,
        ),
        Example(
            "A password file for what knows the host already:",
            """jitid helper pgpass --task INC-4821 --delegator alice --out pgpass
export PGPASSFILE=pgpass PGUSER=$(cut -d: -f4 pgpass)
psql -h db.example.com orders""",
            tried=False,
        ),
    ),
    "helper aws": (
        Example(
            "For a profile of AWS, whatever uses it within `jitid run`:",
            """cat >> ~/.aws/config <<'E'
[profile deploy]
region = eu-central-1
credential_process = jitid helper aws --template deploy
E""",
            tried=False,
        ),
        Example(
            "What AWS is told, seen by hand:",
            "jitid helper aws --template deploy --task INC-1 --delegator alice",
            tried=False,
        ),
    ),
    "schedule cron": (
        Example(
            "Every hour, added to the lines that are there:",
            "(crontab -l; jitid schedule cron --every 1h -- --fix) | crontab -",
            tried=False,
        ),
        Example(
            "Metrics for Prometheus, every ten minutes:",
            "jitid schedule cron -- --format prometheus --out jitid.prom",
        ),
    ),
    "config show": (
        Example("Where each value came from:", "jitid config show --origin"),
        Example("Those that are not the defaults:", "jitid config show --origin | grep -v 'default$'"),
    ),
    "config get": (Example("In a script:", "jitid config get ledger"),),
    "config set": (
        Example("Shorter lives:", "jitid config set ttl 10m"),
        Example(
            "Believe the ID tokens of an issuer whose keys are in a file:",
            """\
jitid config set oidc.https://id.example.jwks keys.json
jitid config set oidc.https://id.example.audience jitid""",
        ),
        Example(
            "No task that touches production is less than highly sensitive:",
            "jitid config set 'floor.scope.prod:*' high",
        ),
        Example(
            "For one profile only:",
            "jitid --profile ci config set audience https://api.example",
        ),
    ),
    "config unset": (
        Example("As it is by default again:", "jitid config unset ttl"),
        Example("Believe no ID token of an issuer any more:", "jitid config unset oidc.https://id.example"),
    ),
    "config path": (Example("Look at the file itself:", 'cat "$(jitid config path)"'),),
}

_DELEGATORS = (
    "delegator add",
    "delegator change",
    "delegator disable",
    "delegator enable",
    "delegator show",
    "delegator list",
    "delegator import",
)

RELATED: Mapping[str, tuple[str, ...]] = {
    "adopt add": ("adopt list", "adopt show", "adopt ended", "trace", "sweep"),
    "adopt list": ("adopt add", "adopt show", "list"),
    "adopt show": ("adopt list", "adopt probe", "adopt ended"),
    "adopt change": ("adopt add", "adopt show", "delegator disable"),
    "adopt probe": ("adopt show", "adopt ended", "sweep"),
    "adopt suggest": ("adopt list", "adopt ended", "run", "agent suggest"),
    "adopt ended": ("adopt show", "adopt suggest", "revoke", "leak close"),
    "agent register": ("agent classify", "agent change", "agent review", "agent suspend", "agent unregister"),
    "agent change": ("agent register", "agent show", "agent review"),
    "agent show": ("agent list", "agent review", "list"),
    "agent list": ("agent show", "agent review", "agent classify"),
    "agent review": ("agent show", "agent list", "agent change"),
    "agent suspend": ("agent resume", "agent unregister", "revoke"),
    "agent resume": ("agent suspend", "agent review"),
    "agent unregister": ("agent register", "agent suspend", "revoke"),
    "agent classify": ("agent register", "agent unregister", "agent suggest"),
    "agent suggest": ("agent classify", "agent register"),
    "issue": ("run", "renew", "verify", "inspect", "revoke", "retire"),
    "run": ("issue", "mcp", "renew", "retire", "revoke"),
    "mcp": ("issue", "run", "renew", "revoke", "list"),
    "serve": ("issue", "keys jwks", "schedule systemd", "doctor"),
    "renew": ("issue", "run", "inspect"),
    "trace": ("scan", "leak add", "inspect", "revoke", "keys revoke"),
    "scan": ("trace", "leak add", "revoke", "sweep"),
    "leak add": ("leak list", "leak show", "leak timeline", "leak close", "trace", "scan", "revoke"),
    "leak list": ("leak add", "leak show", "leak close"),
    "leak show": ("leak list", "leak timeline", "leak close", "inspect"),
    "leak timeline": ("leak list", "leak show", "audit log", "tree", "report"),
    "leak close": ("leak add", "leak list", "leak show"),
    **{verb: tuple(other for other in _DELEGATORS if other != verb) for verb in _DELEGATORS},
    "access grant": ("access list", "access rotate", "access revoke", "serve"),
    "access list": ("access grant", "access rotate", "access revoke"),
    "access rotate": ("access grant", "access list", "access revoke"),
    "access revoke": ("access list", "access rotate", "revoke"),
    "access bootstrap": ("access grant", "serve"),
    "approve list": ("approve show", "approve grant", "approve deny"),
    "approve show": ("approve list", "approve grant", "approve deny", "issue"),
    "approve grant": ("approve list", "approve show", "approve deny", "config set", "issue"),
    "approve deny": ("approve list", "approve show", "approve grant", "revoke"),
    "doctor": ("audit verify", "config show"),
    "completion install": ("completion show",),
    "completion show": ("completion install",),
    "verify": ("authorize", "inspect", "publish", "keys jwks"),
    "authorize": ("verify", "inspect", "audit log", "issue"),
    "inspect": ("verify", "list", "tree", "trace", "audit log"),
    "list": ("inspect", "tree", "task list"),
    "tree": ("inspect", "list"),
    "revoke": ("retire", "trace", "keys revoke", "list"),
    "retire": ("revoke", "task list"),
    "report": ("sweep", "list", "task list"),
    "sweep": ("revoke", "report", "audit verify", "doctor"),
    "explain": ("inspect", "policy show", "policy diff", "audit log"),
    "policy check": ("policy test", "policy init", "policy show"),
    "policy test": ("policy check", "policy init", "policy diff"),
    "policy show": ("policy check", "explain", "inspect"),
    "policy init": ("policy check", "policy test", "config set", "agent suggest"),
    "policy diff": ("policy test", "explain", "sweep"),
    "task list": ("task show", "retire"),
    "task show": ("task list", "tree", "retire"),
    "task share": ("task give", "task show", "issue"),
    "task give": ("task share", "retire", "delegator disable"),
    "audit log": ("audit verify", "audit export", "authorize", "inspect"),
    "audit head": ("audit verify", "audit export"),
    "audit verify": ("audit head", "audit export", "audit log"),
    "audit export": ("audit verify", "audit head"),
    "keys list": ("keys rotate", "keys revoke"),
    "keys rotate": ("keys list", "keys revoke", "keys jwks"),
    "keys revoke": ("keys list", "keys rotate", "revoke"),
    "keys ssh": ("keys krl", "keys rotate", "issue"),
    "keys krl": ("keys ssh", "keys revoke", "revoke"),
    "keys jwks": ("keys list", "keys rotate", "keys bundle", "publish", "verify"),
    "publish": ("verify", "keys jwks", "config set", "revoke"),
    "keys request": ("keys import", "keys list"),
    "keys import": ("keys request", "keys bundle", "keys list"),
    "keys bundle": ("keys jwks", "keys crl", "keys rotate"),
    "keys crl": ("keys bundle", "keys revoke", "revoke"),
    "prune": ("audit verify", "audit log", "ledger vacuum", "report", "config set"),
    "ledger copy": ("audit verify", "doctor", "config set"),
    "ledger backup": ("ledger restore", "ledger check", "audit head", "ledger copy"),
    "ledger check": ("doctor", "audit verify", "ledger backup", "ledger vacuum"),
    "ledger issuer": ("publish", "serve", "ledger copy", "audit log"),
    "ledger vacuum": ("prune", "ledger check", "ledger backup"),
    "ledger restore": ("ledger backup", "audit verify", "doctor", "sweep"),
    "helper git": ("run", "issue", "helper kube", "helper docker"),
    "helper kube": ("run", "issue", "helper git", "helper docker"),
    "helper ssh": ("run", "issue", "keys ssh", "keys krl"),
    "helper docker": ("run", "issue", "helper git", "helper kube"),
    "helper pgpass": ("run", "issue"),
    "helper aws": ("run", "issue"),
    "schedule systemd": ("sweep", "schedule cron"),
    "schedule cron": ("sweep", "publish", "schedule systemd"),
    "config show": ("config get", "config set", "config path"),
    "config get": ("config show", "config set"),
    "config set": ("config unset", "config get", "config show", "config path"),
    "config unset": ("config set", "config show", "config path"),
    "config path": ("config show", "config set"),
}
"""Verb -> verbs with related pages."""


def options_of(command: str) -> set[str]:
    """Return the long options of a command line."""
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", command))
