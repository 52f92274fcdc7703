# Completion of `jitid` for fish; generated from the command tree by `python -m tests.generate`.
# Verbs, options and choices stand in the lines below; only what comes out of the ledger asks jitid itself.

# The words before the cursor, the one that is being typed not among them.
function __jitid_typed
    set -l words (commandline -pxc 2>/dev/null; or commandline -poc)
    # Variables may be set for the command: NAME=VALUE jitid …
    while string match -qr '^\w+=' -- $words[1]
        set -e words[1]
    end
    test (count $words) -gt 1; and printf '%s\n' $words[2..]
end

# Sets __jitid_verb, __jitid_count and __jitid_last to the verb, how many arguments stand behind it, and the last one;
# __jitid_given to the options that need not be offered again; __jitid_command to a command line of its own.
function __jitid_read
    set -l line (commandline -pc)
    # It is asked for each line below, and the answer is the same for all.
    if set -q __jitid_line; and test "$line" = "$__jitid_line"
        return
    end
    set -g __jitid_line $line
    set -g __jitid_verb ''
    set -g __jitid_count 0
    set -g __jitid_last ''
    set -g __jitid_given
    set -g __jitid_command
    set -l valued --config --profile --ledger --remote --credential-file --credential-fd --format --field --timeout --task -t --delegator -d --delegator-token-file --agent -a --kind -k --scope -s --audience --may-audience --may-act --may-kind --ttl --purpose --sensitivity --deadline --parent-file --detail --env --file --on-exit --grace --wait --secret --for --out -o --count --from-file --as-of --public-key --token-file --status-list --jwks --published --issuer --state --proof --id --parent --depth --signed-by --since --until --expires-before --expires-after --as --by --process --sort --limit -l --after --event --soon --rule --skip --target --target-timeout --fail-on --finding --baseline --max --head-out --at --days --reason --commits --only --source --rules --authority --from --report-format --tree --ids-file --gateway --mcp --host --template --name --digest --policy --owner --max-ttl --concurrency --may-use --clear --review --next --entitlement --group --manager --alias --subject --remove-entitlement --remove-group --remove-alias --to --with --action --resource --context --place --expires --reference --prefix --access-key-id --fingerprint --bind --socket --socket-mode --tls-cert --tls-key --workers --public-url --log-format --bootstrap --role --key --overlap --lifetime --algorithm --use --transit --rows-after --evidence-after --export --expect-head --operation --sweep --trace --within --tail --service --client --most --rate --check --every --shell
    # Options without a value here, which have one after other verbs.
    set -l flags 'list:--tree' 'setup:--check' 'login:--out' 'agent advise:--policy'
    set -l groups '' 'leak' 'schedule' 'policy' 'agent' 'delegator' 'task' 'approve' 'adopt' 'access' 'keys' 'keys export' 'keys ca' 'ledger' 'audit' 'config' 'helper' 'helper session' 'completion'
    set -l commands 'run'
    set -l waiting ''
    set -l rest 0
    set -l words (__jitid_typed)
    for place in (seq (count $words))
        set -l word $words[$place]
        if test -n "$waiting"
            set waiting ''
        else if test $rest = 0; and test "$word" = --
            set rest 1
        else if test $rest = 0; and string match -qr '^-.' -- $word
            set -l name (string split -m 1 = -- $word)[1]
            contains -- $name $__jitid_given; or set -a __jitid_given $name
            if test "$name" = "$word"; and contains -- $name $valued
                and not contains -- "$__jitid_verb:$name" $flags
                set waiting $name
            end
        else if contains -- "$__jitid_verb" $groups
            set __jitid_verb (string trim -- "$__jitid_verb $word")
        else if contains -- "$__jitid_verb" $commands
            set __jitid_command $words[$place..]
            break
        else
            set __jitid_count (math $__jitid_count + 1)
            set __jitid_last $word
        end
    end
    # The option whose value is being typed is still needed.
    if test -n "$waiting"
        set __jitid_given (string match -v -- $waiting $__jitid_given)
    end
end

# Tells whether the cursor is behind a verb (`*`: behind any), and none of the options has been given.
function __jitid_at --argument-names verb
    __jitid_read
    test (count $__jitid_command) = 0; or return 1
    test "$verb" = '*'; or test "$verb" = "$__jitid_verb"; or return 1
    for name in $argv[2..]
        contains -- $name $__jitid_given; and return 1
    end
    return 0
end

# Offers names out of the ledger.
function __jitid_ask --argument-names what
    command -q jitid; or return
    set -l current (commandline -ct | string replace -r -- '^--[a-z-]+=' '' | string trim -c '"\'')
    # Where there is nothing to tell, fish would show the description of the option instead.
    command jitid __complete $what "$current" (__jitid_typed) 2>/dev/null </dev/null |
        string replace -r '^[^\t]+$' '$0\t'(string trim -r -c s -- $what)
end

# Offers the values of the setting that the word before names.
function __jitid_setting
    switch $__jitid_last
        case ledger
            __fish_complete_directories
        case remote_ca
            __fish_complete_directories
        case remote_credential_file
            __fish_complete_directories
        case home
            __fish_complete_directories
        case sensitivity
            printf '%s\n' low moderate high critical
        case sweep_asserted
            printf '%s\n' low moderate high critical
        case policy
            __fish_complete_directories
        case serve_socket
            __fish_complete_directories
        case serve_tls_cert
            __fish_complete_directories
        case serve_tls_key
            __fish_complete_directories
        case format
            printf '%s\n' table tsv json jsonl csv
        case color
            printf '%s\n' auto always never
    end
end

# Completes a command line of its own as if it stood alone.
function __jitid_command_line
    __jitid_read
    set -l line (string escape -- $__jitid_command) (commandline -ct)
    # Before a command, what begins with a dash is not part of one.
    string match -q -- '-*' "$line"; and return
    complete --do-complete="$line"
end

complete -c jitid -f
complete -c jitid -n '__jitid_at "*" --config' -l config -r -F -d 'The user\'s configuration file'
complete -c jitid -n '__jitid_at "*" --profile' -l profile -x -d 'Profile of the configuration'
complete -c jitid -n '__jitid_at "*" --ledger' -l ledger -r -fka '(__fish_complete_directories)' -d 'Ledger: a folder or postgresql://'
complete -c jitid -n '__jitid_at "*" --remote' -l remote -r -fka '(__fish_complete_directories)' -d 'Authority: https:// or unix://'
complete -c jitid -n '__jitid_at "*" --credential-file' -l credential-file -r -F -d 'Access token for it'
complete -c jitid -n '__jitid_at "*" --credential-fd' -l credential-fd -x -d 'Read the access token from descriptor N'
complete -c jitid -n '__jitid_at "*" --format' -l format -r -fka 'table\\tformat tsv\\tformat json\\tformat jsonl\\tformat csv\\tformat' -d 'table, tsv, json, jsonl, csv'
complete -c jitid -n '__jitid_at "*" --json' -l json -d 'Same as --format json'
complete -c jitid -n '__jitid_at "*"' -l field -x -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "*" --timeout' -l timeout -x -d 'Limit of all waiting'
complete -c jitid -n '__jitid_at "*" --no-pager' -l no-pager -d 'Never start a pager'
complete -c jitid -n '__jitid_at "*" --no-color' -l no-color -d 'Print no colours'
complete -c jitid -n '__jitid_at "*" --quiet -q' -l quiet -s q -d 'Print no notes on standard error'
complete -c jitid -n '__jitid_at "*" --verbose -v' -l verbose -s v -d 'Print details on standard error'
complete -c jitid -n '__jitid_at "*" --debug' -l debug -d 'Show the traceback of an internal error'
complete -c jitid -n '__jitid_at "*" --no-input' -l no-input -d 'Never prompt'
complete -c jitid -n '__jitid_at "*" --accept-clock' -l accept-clock -d 'Accept a clock that jumped over a day (audited)'
complete -c jitid -n '__jitid_at "*" --help -h' -l help -s h -d 'Show this help'

# jitid
complete -c jitid -n '__jitid_at ""' -a run -d 'Run a command with its own identity; revoke it at the end'
complete -c jitid -n '__jitid_at ""' -a issue -d 'Issue a credential for a task and print its token'
complete -c jitid -n '__jitid_at ""' -a renew -d 'Renew a credential: issue a successor of the same identity'
complete -c jitid -n '__jitid_at ""' -a verify -d 'Verify a token: exit 0 if it is valid, 8 if not'
complete -c jitid -n '__jitid_at ""' -a list -d 'List credentials, delegation trees or tasks'
complete -c jitid -n '__jitid_at ""' -a inspect -d 'Show everything about a token, id, task, agent or delegator'
complete -c jitid -n '__jitid_at ""' -a status -d 'Show live and expiring credentials, and open problems'
complete -c jitid -n '__jitid_at ""' -a whoami -d 'Show your identity, roles and powers here'
complete -c jitid -n '__jitid_at ""' -a sweep -d 'Find credentials that should not be live; --fix revokes'
complete -c jitid -n '__jitid_at ""' -a report -d 'Report identity sprawl'
complete -c jitid -n '__jitid_at ""' -a doctor -d 'Check the installation, the ledger, its keys and targets'
complete -c jitid -n '__jitid_at ""' -a trace -d 'Identify a leaked string, and revoke it with --revoke'
complete -c jitid -n '__jitid_at ""' -a scan -d 'Find jitid\'s secrets in files and revoke them with --revoke'
complete -c jitid -n '__jitid_at ""' -a leak -d 'Record leaked secrets, and track them until they no longer work'
complete -c jitid -n '__jitid_at ""' -a revoke -d 'Revoke credentials and all their descendants'
complete -c jitid -n '__jitid_at ""' -a retire -d 'Retire a task and revoke all its credentials'
complete -c jitid -n '__jitid_at ""' -a setup -d 'Hook up a client: Claude Code, Codex, git, kubectl and others'
complete -c jitid -n '__jitid_at ""' -a login -d 'Log in at an identity provider'
complete -c jitid -n '__jitid_at ""' -a policy -d 'Check, test, show and compare policies'
complete -c jitid -n '__jitid_at ""' -a agent -d 'Register recurring agents; review and suspend them'
complete -c jitid -n '__jitid_at ""' -a delegator -d 'Manage the directory of delegators'
complete -c jitid -n '__jitid_at ""' -a task -d 'Share a task, or give it to another owner'
complete -c jitid -n '__jitid_at ""' -a approve -d 'List, grant and deny requests for approval'
complete -c jitid -n '__jitid_at ""' -a authorize -d 'Decide whether a token permits an action, and record it'
complete -c jitid -n '__jitid_at ""' -a adopt -d 'Record standing credentials, and plan their replacement'
complete -c jitid -n '__jitid_at ""' -a serve -d 'Serve the authority over HTTP, or on a Unix socket'
complete -c jitid -n '__jitid_at ""' -a access -d 'Manage access to an authority'
complete -c jitid -n '__jitid_at ""' -a keys -d 'List, rotate, revoke and export signing keys'
complete -c jitid -n '__jitid_at ""' -a publish -d 'Write keys and status lists for offline verifiers into DIR'
complete -c jitid -n '__jitid_at ""' -a ledger -d 'Back up, restore, check, prune and move the ledger'
complete -c jitid -n '__jitid_at ""' -a audit -d 'Read, sign, verify and export the audit log'
complete -c jitid -n '__jitid_at ""' -a config -d 'Read and change settings'
complete -c jitid -n '__jitid_at ""' -a helper -d 'Supply credentials to git, docker, ssh, aws, kubectl, psql, agents'
complete -c jitid -n '__jitid_at ""' -a mcp -d 'Serve an agent over the Model Context Protocol (stdio)'
complete -c jitid -n '__jitid_at ""' -a federate -d 'Show the configuration for a vendor that exchanges jitid\'s tokens'
complete -c jitid -n '__jitid_at ""' -a schedule -d 'Run `jitid sweep` from systemd or cron'
complete -c jitid -n '__jitid_at ""' -a example -d 'Print an example to copy: a verifier, CI jobs, alert rules, units'
complete -c jitid -n '__jitid_at ""' -a completion -d 'Install or print completion for bash, zsh and fish'
complete -c jitid -n '__jitid_at ""' -a help -d 'Show the help of a verb, or a topic'
complete -c jitid -n '__jitid_at ""' -a version -d 'Show the version of jitid'
complete -c jitid -n '__jitid_at "" --version -V' -l version -s V -d 'Show the version'

# jitid leak
complete -c jitid -n '__jitid_at "leak"' -a add -d 'Record leaked credentials, and revoke them with --revoke'
complete -c jitid -n '__jitid_at "leak"' -a close -d 'Close leaks that need no further action'
complete -c jitid -n '__jitid_at "leak"' -a list -d 'List leaks, and whether their credentials still work'
complete -c jitid -n '__jitid_at "leak"' -a show -d 'Show all facts about leaks, or their history'

# jitid schedule
complete -c jitid -n '__jitid_at "schedule"' -a cron -d 'Print a crontab line that runs `jitid sweep`'
complete -c jitid -n '__jitid_at "schedule"' -a systemd -d 'Print a systemd service and timer that run `jitid sweep`'

# jitid policy
complete -c jitid -n '__jitid_at "policy"' -a check -d 'Check policies: syntax, schema and likely mistakes'
complete -c jitid -n '__jitid_at "policy"' -a diff -d 'Replay recorded decisions under two policies'
complete -c jitid -n '__jitid_at "policy"' -a init -d 'Write an example policy with cases into a new folder'
complete -c jitid -n '__jitid_at "policy"' -a show -d 'Show a policy: its rules, or the text of one rule'
complete -c jitid -n '__jitid_at "policy"' -a test -d 'Test a policy with cases of requests and decisions'

# jitid agent
complete -c jitid -n '__jitid_at "agent"' -a advise -d 'Advise which agents to register, and which policy they need'
complete -c jitid -n '__jitid_at "agent"' -a change -d 'Change the record of a registered agent'
complete -c jitid -n '__jitid_at "agent"' -a list -d 'List registered agents, sorted by name'
complete -c jitid -n '__jitid_at "agent"' -a register -d 'Register a recurring agent'
complete -c jitid -n '__jitid_at "agent"' -a resume -d 'Resume a suspended agent'
complete -c jitid -n '__jitid_at "agent"' -a review -d 'Record the review of an agent, and show its record'
complete -c jitid -n '__jitid_at "agent"' -a show -d 'Show the record of a registered agent'
complete -c jitid -n '__jitid_at "agent"' -a suspend -d 'Suspend an agent, and revoke its credentials'
complete -c jitid -n '__jitid_at "agent"' -a unregister -d 'Unregister an agent, and revoke its credentials'

# jitid delegator
complete -c jitid -n '__jitid_at "delegator"' -a add -d 'Add a delegator to the directory'
complete -c jitid -n '__jitid_at "delegator"' -a change -d 'Change a delegator\'s entitlements, names and groups'
complete -c jitid -n '__jitid_at "delegator"' -a disable -d 'Disable a delegator, and revoke all its credentials'
complete -c jitid -n '__jitid_at "delegator"' -a enable -d 'Enable a disabled delegator'
complete -c jitid -n '__jitid_at "delegator"' -a import -d 'Import a list of delegators (CSV, SCIM or JSON lines)'
complete -c jitid -n '__jitid_at "delegator"' -a list -d 'List delegators, sorted by name'
complete -c jitid -n '__jitid_at "delegator"' -a show -d 'Show the directory entry of a delegator'

# jitid task
complete -c jitid -n '__jitid_at "task"' -a give -d 'Give a task to another owner'
complete -c jitid -n '__jitid_at "task"' -a share -d 'Share a task, so that others can issue on it'

# jitid approve
complete -c jitid -n '__jitid_at "approve"' -a deny -d 'Deny an approval request, also after it was granted'
complete -c jitid -n '__jitid_at "approve"' -a grant -d 'Grant an approval request, for one issue'
complete -c jitid -n '__jitid_at "approve"' -a list -d 'List approval requests'
complete -c jitid -n '__jitid_at "approve"' -a show -d 'Show an approval request with all details for a decision'

# jitid adopt
complete -c jitid -n '__jitid_at "adopt"' -a add -d 'Adopt an existing secret: record owner, place and purpose'
complete -c jitid -n '__jitid_at "adopt"' -a change -d 'Change the owner, place or target of adopted secrets'
complete -c jitid -n '__jitid_at "adopt"' -a end -d 'Record that adopted secrets have ended where they are kept'
complete -c jitid -n '__jitid_at "adopt"' -a list -d 'List adopted secrets, the oldest first'
complete -c jitid -n '__jitid_at "adopt"' -a probe -d 'Check at targets whether adopted secrets work'
complete -c jitid -n '__jitid_at "adopt"' -a show -d 'Show all facts about an adopted secret'
complete -c jitid -n '__jitid_at "adopt"' -a suggest -d 'Suggest replacements for adopted secrets'

# jitid access
complete -c jitid -n '__jitid_at "access"' -a bootstrap -d 'Write a credential for the first administrator\'s access'
complete -c jitid -n '__jitid_at "access"' -a grant -d 'Grant a person or a service access to an authority'
complete -c jitid -n '__jitid_at "access"' -a list -d 'List access to an authority, newest first'
complete -c jitid -n '__jitid_at "access"' -a revoke -d 'Revoke access by its id, or all access of a caller'
complete -c jitid -n '__jitid_at "access"' -a rotate -d 'Replace an access token, and print the new one'

# jitid keys
complete -c jitid -n '__jitid_at "keys"' -a algorithm -d 'Show the signature algorithms by audience, or set that of service tokens'
complete -c jitid -n '__jitid_at "keys"' -a ca -d 'Certify jitid\'s X.509 authority under a root'
complete -c jitid -n '__jitid_at "keys"' -a export -d 'Print public keys, certificates and revocation lists'
complete -c jitid -n '__jitid_at "keys"' -a list -d 'List all signing keys, present and past'
complete -c jitid -n '__jitid_at "keys"' -a revoke -d 'Revoke a leaked signing key and all that it signed'
complete -c jitid -n '__jitid_at "keys"' -a rotate -d 'Replace a signing key with a new one'

# jitid keys export
complete -c jitid -n '__jitid_at "keys export"' -a bundle -d 'Print the SPIFFE bundle for verifiers of SVIDs'
complete -c jitid -n '__jitid_at "keys export"' -a crl -d 'Print the list of revoked X.509 certificates (CRL)'
complete -c jitid -n '__jitid_at "keys export"' -a jwks -d 'Print the public keys for verifiers (JWKS, RFC 7517)'
complete -c jitid -n '__jitid_at "keys export"' -a krl -d 'Write the list of revoked SSH certificates (RevokedKeys)'
complete -c jitid -n '__jitid_at "keys export"' -a ssh -d 'Print the SSH keys for TrustedUserCAKeys of hosts'

# jitid keys ca
complete -c jitid -n '__jitid_at "keys ca"' -a import -d 'Import the requested certificate of an X.509 authority'
complete -c jitid -n '__jitid_at "keys ca"' -a request -d 'Request a certificate for an X.509 authority under a root'

# jitid ledger
complete -c jitid -n '__jitid_at "ledger"' -a backup -d 'Back up the ledger while it is in use'
complete -c jitid -n '__jitid_at "ledger"' -a check -d 'Check the ledger\'s files, database, keys and audit log'
complete -c jitid -n '__jitid_at "ledger"' -a copy -d 'Move the ledger: make a verified copy and seal the source'
complete -c jitid -n '__jitid_at "ledger"' -a issuer -d 'Show or change the issuer (`iss`) of the ledger'
complete -c jitid -n '__jitid_at "ledger"' -a prune -d 'Delete expired records past their retention period'
complete -c jitid -n '__jitid_at "ledger"' -a restore -d 'Restore a ledger from a backup, and revoke its credentials'
complete -c jitid -n '__jitid_at "ledger"' -a vacuum -d 'Return the room of deleted rows to the file system'

# jitid audit
complete -c jitid -n '__jitid_at "audit"' -a export -d 'Write the audit log as JSON lines or syslog messages'
complete -c jitid -n '__jitid_at "audit"' -a head -d 'Print the signed last link of the audit chain'
complete -c jitid -n '__jitid_at "audit"' -a log -d 'Show audit events'
complete -c jitid -n '__jitid_at "audit"' -a verify -d 'Check the audit chain, and the ledger\'s rows against it'

# jitid config
complete -c jitid -n '__jitid_at "config"' -a get -d 'Print the value of one setting'
complete -c jitid -n '__jitid_at "config"' -a path -d 'Print the path of the user\'s file'
complete -c jitid -n '__jitid_at "config"' -a set -d 'Write one setting to the user\'s file'
complete -c jitid -n '__jitid_at "config"' -a show -d 'Show the effective settings'
complete -c jitid -n '__jitid_at "config"' -a unset -d 'Remove one setting from the user\'s file'

# jitid helper
complete -c jitid -n '__jitid_at "helper"' -a aws -d 'Give AWS programs a session, as their credential_process'
complete -c jitid -n '__jitid_at "helper"' -a docker -d 'Give docker, podman or skopeo a token for a registry'
complete -c jitid -n '__jitid_at "helper"' -a git -d 'Give git a token for a server, as a credential helper'
complete -c jitid -n '__jitid_at "helper"' -a headers -d 'Print the HTTP headers with a token for a server, as a JSON object'
complete -c jitid -n '__jitid_at "helper"' -a kube -d 'Give kubectl a token or a certificate, as an exec plug-in'
complete -c jitid -n '__jitid_at "helper"' -a pgpass -d 'Give psql and libpq a database role, as a password file'
complete -c jitid -n '__jitid_at "helper"' -a session -d 'Record the sessions of coding agents, and end their identities'
complete -c jitid -n '__jitid_at "helper"' -a ssh -d 'Add a key with a certificate to the ssh-agent'
complete -c jitid -n '__jitid_at "helper"' -a token -d 'Print a token for a service, for a client that runs a command to get its key'

# jitid helper session
complete -c jitid -n '__jitid_at "helper session"' -a start -d 'Open an identity for a session of a coding agent, or for a subagent'
complete -c jitid -n '__jitid_at "helper session"' -a stop -d 'Revoke the identity of a session of a coding agent, or of a subagent'

# jitid completion
complete -c jitid -n '__jitid_at "completion"' -a install -d 'Install completions and man pages for this user'
complete -c jitid -n '__jitid_at "completion"' -a show -d 'Print the completion script of a shell'

# jitid run
complete -c jitid -n '__jitid_at "run" --task -t' -l task -s t -r -fka '(__jitid_ask tasks)' -d 'Task of the identity'
complete -c jitid -n '__jitid_at "run" --delegator -d' -l delegator -s d -r -fka '(__jitid_ask delegators)' -d 'Delegator: NAME, user:NAME or system:NAME'
complete -c jitid -n '__jitid_at "run" --delegator-token-file' -l delegator-token-file -r -F -d 'ID token of the delegator; `-` for stdin'
complete -c jitid -n '__jitid_at "run" --agent -a' -l agent -s a -r -fka '(__jitid_ask agents)' -d 'Agent (default: the program\'s name)'
complete -c jitid -n '__jitid_at "run" --kind -k' -l kind -s k -r -fka '(__jitid_ask kinds)' -d 'Kind (default: jwt)'
complete -c jitid -n '__jitid_at "run"' -l scope -s s -x -d 'Scope; repeatable'
complete -c jitid -n '__jitid_at "run"' -l audience -x -d 'Service; repeatable'
complete -c jitid -n '__jitid_at "run"' -l may-audience -x -d 'Service to obtain tokens for; repeatable'
complete -c jitid -n '__jitid_at "run"' -l may-act -x -d 'Let CALLER exchange it for AUD,…; repeatable'
complete -c jitid -n '__jitid_at "run"' -l may-kind -r -fka 'jwt\\tmay-kind opaque\\tmay-kind jwt-svid\\tmay-kind x509-svid\\tmay-kind ssh-cert\\tmay-kind aws-sts\\tmay-kind postgres-role\\tmay-kind openbao-lease\\tmay-kind exec\\tmay-kind adopted\\tmay-kind' -d 'Kind it may obtain'
complete -c jitid -n '__jitid_at "run" --ttl' -l ttl -x -d 'Lifetime (default: 15m)'
complete -c jitid -n '__jitid_at "run" --purpose' -l purpose -x -d 'Purpose of the task'
complete -c jitid -n '__jitid_at "run" --sensitivity' -l sensitivity -r -fka 'low\\tsensitivity moderate\\tsensitivity high\\tsensitivity critical\\tsensitivity' -d 'low, moderate (default), high or critical'
complete -c jitid -n '__jitid_at "run" --deadline' -l deadline -x -d 'End of a new task'
complete -c jitid -n '__jitid_at "run" --parent-file' -l parent-file -r -F -d 'Token of the parent identity; `-` for stdin'
complete -c jitid -n '__jitid_at "run"' -l detail -x -d 'Authorization detail (RFC 9396); repeatable'
complete -c jitid -n '__jitid_at "run" --allow-narrower' -l allow-narrower -d 'Issue without refused scopes; report them'
complete -c jitid -n '__jitid_at "run" --env' -l env -x -d 'Also pass the token in VAR, without renewal'
complete -c jitid -n '__jitid_at "run" --file' -l file -r -fka '(__fish_complete_directories)' -d 'Keep the token in DIR/token, not in memory'
complete -c jitid -n '__jitid_at "run" --on-exit' -l on-exit -r -fka 'revoke\\ton-exit keep\\ton-exit' -d 'revoke (default) or keep the credential'
complete -c jitid -n '__jitid_at "run" --grace' -l grace -x -d 'Time from TERM to KILL (default: 10s)'
complete -c jitid -n '__jitid_at "run" --wait' -l wait -x -d 'Maximum time to wait for an approval'
complete -c jitid -n '__jitid_at "run"' -l secret -x -d 'Further credential: NAME=KIND[:TEMPLATE]'
complete -c jitid -n '__jitid_at "run"' -l for -r -fka 'anthropic\\tfor openai\\tfor google\\tfor azure\\tfor aws\\tfor vault\\tfor' -d 'Vendor, see `federate`; repeatable'
complete -c jitid -n '__jitid_read; and test \'run\' = $__jitid_verb' -xa '(__jitid_command_line)'

# jitid issue
complete -c jitid -n '__jitid_at "issue" --task -t' -l task -s t -r -fka '(__jitid_ask tasks)' -d 'Task of the identity'
complete -c jitid -n '__jitid_at "issue" --delegator -d' -l delegator -s d -r -fka '(__jitid_ask delegators)' -d 'Delegator: NAME, user:NAME or system:NAME'
complete -c jitid -n '__jitid_at "issue" --delegator-token-file' -l delegator-token-file -r -F -d 'ID token of the delegator; `-` for stdin'
complete -c jitid -n '__jitid_at "issue" --agent -a' -l agent -s a -r -fka '(__jitid_ask agents)' -d 'Agent (default: agent)'
complete -c jitid -n '__jitid_at "issue" --kind -k' -l kind -s k -r -fka '(__jitid_ask kinds)' -d 'Kind (default: jwt)'
complete -c jitid -n '__jitid_at "issue"' -l scope -s s -x -d 'Scope; repeatable'
complete -c jitid -n '__jitid_at "issue"' -l audience -x -d 'Service; repeatable'
complete -c jitid -n '__jitid_at "issue"' -l may-audience -x -d 'Service to obtain tokens for; repeatable'
complete -c jitid -n '__jitid_at "issue"' -l may-act -x -d 'Let CALLER exchange it for AUD,…; repeatable'
complete -c jitid -n '__jitid_at "issue"' -l may-kind -r -fka 'jwt\\tmay-kind opaque\\tmay-kind jwt-svid\\tmay-kind x509-svid\\tmay-kind ssh-cert\\tmay-kind aws-sts\\tmay-kind postgres-role\\tmay-kind openbao-lease\\tmay-kind exec\\tmay-kind adopted\\tmay-kind' -d 'Kind it may obtain'
complete -c jitid -n '__jitid_at "issue" --ttl' -l ttl -x -d 'Lifetime (default: 15m)'
complete -c jitid -n '__jitid_at "issue" --purpose' -l purpose -x -d 'Purpose of the task'
complete -c jitid -n '__jitid_at "issue" --sensitivity' -l sensitivity -r -fka 'low\\tsensitivity moderate\\tsensitivity high\\tsensitivity critical\\tsensitivity' -d 'low, moderate (default), high or critical'
complete -c jitid -n '__jitid_at "issue" --deadline' -l deadline -x -d 'End of a new task'
complete -c jitid -n '__jitid_at "issue" --parent-file' -l parent-file -r -F -d 'Token of the parent identity; `-` for stdin'
complete -c jitid -n '__jitid_at "issue"' -l detail -x -d 'Authorization detail (RFC 9396); repeatable'
complete -c jitid -n '__jitid_at "issue" --allow-narrower' -l allow-narrower -d 'Issue without refused scopes; report them'
complete -c jitid -n '__jitid_at "issue" --out -o' -l out -s o -r -F -d 'Write the token to FILE'
complete -c jitid -n '__jitid_at "issue" --count' -l count -x -d 'Issue N credentials (JSON lines)'
complete -c jitid -n '__jitid_at "issue" --from-file' -l from-file -r -F -d 'Issue one per JSON line; `-` for stdin'
complete -c jitid -n '__jitid_at "issue" --yes -y' -l yes -s y -d 'Issue more than max_issue credentials'
complete -c jitid -n '__jitid_at "issue" --dry-run -n' -l dry-run -s n -d 'Report the changes without making them'
complete -c jitid -n '__jitid_at "issue" --as-of' -l as-of -x -d 'With --dry-run: decide as of TIME, or a duration ago'
complete -c jitid -n '__jitid_at "issue" --wait' -l wait -x -d 'Maximum time to wait for an approval'
complete -c jitid -n '__jitid_at "issue" --public-key' -l public-key -r -F -d 'Public key for a certificate; `-` for stdin'
complete -c jitid -n '__jitid_at "issue"' -l field -r -fka 'token\\tfield id\\tfield jti\\tfield task\\tfield agent\\tfield delegator\\tfield delegator_proof\\tfield parent\\tfield depth\\tfield kind\\tfield sensitivity\\tfield scopes\\tfield audiences\\tfield issued_at\\tfield expires_at\\tfield delegator_state\\tfield template\\tfield secret\\tfield may_audience\\tfield may_act\\tfield' -d 'Print this field only; repeatable'

# jitid renew
complete -c jitid -n '__jitid_at "renew" --token-file' -l token-file -r -F -d 'Token to renew, replaced in FILE (default: stdin)'
complete -c jitid -n '__jitid_at "renew" --ttl' -l ttl -x -d 'Lifetime (default: that of the old token)'
complete -c jitid -n '__jitid_at "renew" --allow-narrower' -l allow-narrower -d 'Renew without refused scopes; report them'
complete -c jitid -n '__jitid_at "renew" --out -o' -l out -s o -r -F -d 'Write to FILE, readable by its owner (0600)'
complete -c jitid -n '__jitid_at "renew"' -l field -r -fka 'token\\tfield id\\tfield jti\\tfield task\\tfield agent\\tfield delegator\\tfield delegator_proof\\tfield parent\\tfield depth\\tfield kind\\tfield sensitivity\\tfield scopes\\tfield audiences\\tfield issued_at\\tfield expires_at\\tfield delegator_state\\tfield template\\tfield secret\\tfield may_audience\\tfield may_act\\tfield' -d 'Print this field only; repeatable'

# jitid verify
complete -c jitid -n '__jitid_at "verify"' -l audience -x -d 'Accept tokens for AUD; repeatable'
complete -c jitid -n '__jitid_at "verify" --status-list' -l status-list -r -F -d 'Status list to use instead of a ledger'
complete -c jitid -n '__jitid_at "verify" --jwks' -l jwks -r -F -d 'With --status-list: the signing keys (JWKS)'
complete -c jitid -n '__jitid_at "verify" --published' -l published -r -fka '(__fish_complete_directories)' -d 'Folder of `jitid publish` instead of a ledger'
complete -c jitid -n '__jitid_at "verify" --issuer' -l issuer -x -d 'Without a ledger: accepted issuer (default: setting)'
complete -c jitid -n '__jitid_at "verify"; and test $__jitid_count = 0' -F

# jitid list
complete -c jitid -n '__jitid_at "list" --task -t' -l task -s t -r -fka '(__jitid_ask tasks)' -d 'Only this task'
complete -c jitid -n '__jitid_at "list" --delegator -d' -l delegator -s d -r -fka '(__jitid_ask delegators)' -d 'Only this root delegator, or from agent:NAME'
complete -c jitid -n '__jitid_at "list" --agent -a' -l agent -s a -r -fka '(__jitid_ask agents)' -d 'Only this agent'
complete -c jitid -n '__jitid_at "list" --kind -k' -l kind -s k -r -fka 'jwt\\tkind opaque\\tkind jwt-svid\\tkind x509-svid\\tkind ssh-cert\\tkind aws-sts\\tkind postgres-role\\tkind openbao-lease\\tkind exec\\tkind adopted\\tkind' -d 'Only this kind'
complete -c jitid -n '__jitid_at "list" --state' -l state -r -fka 'pending\\tstate active\\tstate expired\\tstate revoked\\tstate retired\\tstate superseded\\tstate open\\tstate overdue\\tstate ended\\tstate' -d 'Such as active, expired or revoked; of tasks: open'
complete -c jitid -n '__jitid_at "list" --live' -l live -d 'Only live credentials'
complete -c jitid -n '__jitid_at "list" --unsettled' -l unsettled -d 'Only ended ones not yet confirmed by their target'
complete -c jitid -n '__jitid_at "list" --sensitivity' -l sensitivity -r -fka 'low\\tsensitivity moderate\\tsensitivity high\\tsensitivity critical\\tsensitivity' -d 'Only this sensitivity'
complete -c jitid -n '__jitid_at "list" --proof' -l proof -r -fka 'asserted\\tproof os-user\\tproof credential\\tproof oidc\\tproof parent\\tproof' -d 'Proof: asserted, os-user, credential, parent or oidc'
complete -c jitid -n '__jitid_at "list" --scope -s' -l scope -s s -x -d 'Only with exactly this scope'
complete -c jitid -n '__jitid_at "list" --audience' -l audience -x -d 'Only for this audience'
complete -c jitid -n '__jitid_at "list" --purpose' -l purpose -x -d 'Only tasks with this purpose'
complete -c jitid -n '__jitid_at "list" --id' -l id -r -fka '(__jitid_ask ids)' -d 'Only this identity or credential'
complete -c jitid -n '__jitid_at "list" --parent' -l parent -r -fka '(__jitid_ask ids)' -d 'Only children of this identity'
complete -c jitid -n '__jitid_at "list" --depth' -l depth -x -d 'Only this depth: N delegations from the root'
complete -c jitid -n '__jitid_at "list" --signed-by' -l signed-by -r -fka '(__jitid_ask keys)' -d 'Only signed by this key'
complete -c jitid -n '__jitid_at "list" --since' -l since -x -d 'Issued since TIME, or a duration ago'
complete -c jitid -n '__jitid_at "list" --until' -l until -x -d 'Issued before TIME, or a duration ago'
complete -c jitid -n '__jitid_at "list" --expires-before' -l expires-before -x -d 'Expiring before TIME, or within a duration'
complete -c jitid -n '__jitid_at "list" --expires-after' -l expires-after -x -d 'Expiring at TIME or later, or after a duration'
complete -c jitid -n '__jitid_at "list" --tree' -l tree -d 'Draw the delegation trees of IDs or of --task; alone, all live ones'
complete -c jitid -n '__jitid_at "list" --as' -l as -r -fka 'mermaid\\tas dot\\tas' -d 'With --tree: a diagram for mermaid or dot'
complete -c jitid -n '__jitid_at "list" --by' -l by -r -fka 'task\\tby' -d 'List tasks, with their credentials'
complete -c jitid -n '__jitid_at "list" --process' -l process -r -fka 'alive\\tprocess gone\\tprocess unknown\\tprocess' -d 'Live, of a process that is alive, gone or unknown'
complete -c jitid -n '__jitid_at "list" --sort' -l sort -r -fka 'issued_at\\tsort expires_at\\tsort task\\tsort agent\\tsort delegator\\tsort depth\\tsort id\\tsort -issued_at\\tsort -expires_at\\tsort -task\\tsort -agent\\tsort -delegator\\tsort -depth\\tsort -id\\tsort' -d 'Sort by FIELD; -FIELD: descending (-issued_at)'
complete -c jitid -n '__jitid_at "list" --limit -l' -l limit -s l -x -d 'Maximum number of rows'
complete -c jitid -n '__jitid_at "list" --after' -l after -r -fka '(__jitid_ask ids)' -d 'Start after this credential or task'
complete -c jitid -n '__jitid_at "list" --format' -l format -r -fka 'table\\tformat tsv\\tformat json\\tformat jsonl\\tformat csv\\tformat mermaid\\tformat dot\\tformat' -d 'table, tsv, json, jsonl, csv'
complete -c jitid -n '__jitid_at "list"' -l field -r -fka 'id\\tfield jti\\tfield task\\tfield agent\\tfield delegator\\tfield delegated_by\\tfield delegator_proof\\tfield kind\\tfield state\\tfield sensitivity\\tfield scopes\\tfield audiences\\tfield purpose\\tfield depth\\tfield parent\\tfield issued_at\\tfield expires_at\\tfield ended_at\\tfield signed_by\\tfield process\\tfield delegator_state\\tfield delegated\\tfield left\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "list"' -fka '(__jitid_ask ids)'

# jitid inspect
complete -c jitid -n '__jitid_at "inspect" --task -t' -l task -s t -r -fka '(__jitid_ask tasks)' -d 'Show this task'
complete -c jitid -n '__jitid_at "inspect" --why' -l why -d 'Explain the decision: inputs, rules, today\'s outcome'
complete -c jitid -n '__jitid_at "inspect" --event' -l event -x -d 'Explain audit event N, such as a denial'
complete -c jitid -n '__jitid_at "inspect"' -l field -r -fka 'active\\tfield reason\\tfield state\\tfield sub\\tfield act\\tfield chain\\tfield scope\\tfield aud\\tfield iss\\tfield exp\\tfield iat\\tfield nbf\\tfield jti\\tfield client_id\\tfield token_type\\tfield txn\\tfield delegator_proof\\tfield delegator_state\\tfield authorization_details\\tfield id\\tfield parent\\tfield depth\\tfield kind\\tfield sensitivity\\tfield purpose\\tfield task\\tfield descendants\\tfield live_descendants\\tfield last_used_at\\tfield scopes_used\\tfield decision\\tfield ended\\tfield kid\\tfield process\\tfield template\\tfield at_target\\tfield revocation_list\\tfield delegated\\tfield may_kind\\tfield token_use\\tfield may_audience\\tfield may_act\\tfield subject\\tfield exchanged_until\\tfield session\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "inspect"; and test $__jitid_count = 0' -Fka '(__jitid_ask ids)'

# jitid status
complete -c jitid -n '__jitid_at "status" --soon' -l soon -x -d 'Count credentials that expire within (15m)'
complete -c jitid -n '__jitid_at "status"' -l field -r -fka 'live\\tfield expiring\\tfield next_expiry\\tfield open_tasks\\tfield overdue_tasks\\tfield leaked\\tfield standing\\tfield unsettled\\tfield approvals\\tfield swept_at\\tfield findings\\tfield ledger\\tfield issuer\\tfield next\\tfield login\\tfield login_issuer\\tfield login_expires_at\\tfield' -d 'Print this field only; repeatable'

# jitid whoami
complete -c jitid -n '__jitid_at "whoami"' -l field -r -fka 'caller\\tfield delegator\\tfield proof\\tfield roles\\tfield agent\\tfield task\\tfield expires_at\\tfield ledger\\tfield issuer\\tfield confinement\\tfield reason\\tfield login\\tfield login_issuer\\tfield login_expires_at\\tfield state\\tfield' -d 'Print this field only; repeatable'

# jitid sweep
complete -c jitid -n '__jitid_at "sweep"' -l rule -r -fka 'orphaned-task\\trule orphaned-parent\\trule orphaned-process\\trule orphaned-delegator\\trule pending\\trule leaked-live\\trule renewed-twice\\trule revoked-live\\trule revocation-stuck\\trule orphaned-untracked\\trule offline-valid\\trule exchanged-valid\\trule expired-unretired\\trule standing\\trule duplicate\\trule sprawl\\trule unproved-delegator\\trule ownerless\\trule review-overdue\\trule standing-access\\trule over-privileged\\trule policy-drift\\trule never-used\\trule over-scoped\\trule orphaned-ledger-only\\trule key-overdue\\trule canary\\trule audit-gap\\trule clock\\trule' -d 'Run only this rule; repeatable'
complete -c jitid -n '__jitid_at "sweep"' -l skip -r -fka 'orphaned-task\\tskip orphaned-parent\\tskip orphaned-process\\tskip orphaned-delegator\\tskip pending\\tskip leaked-live\\tskip renewed-twice\\tskip revoked-live\\tskip revocation-stuck\\tskip orphaned-untracked\\tskip offline-valid\\tskip exchanged-valid\\tskip expired-unretired\\tskip standing\\tskip duplicate\\tskip sprawl\\tskip unproved-delegator\\tskip ownerless\\tskip review-overdue\\tskip standing-access\\tskip over-privileged\\tskip policy-drift\\tskip never-used\\tskip over-scoped\\tskip orphaned-ledger-only\\tskip key-overdue\\tskip canary\\tskip audit-gap\\tskip clock\\tskip' -d 'Skip this rule; repeatable'
complete -c jitid -n '__jitid_at "sweep"' -l target -x -d 'Query only this target; repeatable'
complete -c jitid -n '__jitid_at "sweep" --target-timeout' -l target-timeout -x -d 'Time limit for each target (default: 60s)'
complete -c jitid -n '__jitid_at "sweep" --fail-on' -l fail-on -r -fka 'info\\tfail-on low\\tfail-on medium\\tfail-on high\\tfail-on critical\\tfail-on' -d 'Lowest severity that exits 10 (default: high)'
complete -c jitid -n '__jitid_at "sweep" --since' -l since -x -d 'Only findings since TIME, or a duration ago'
complete -c jitid -n '__jitid_at "sweep" --finding' -l finding -x -d 'Only the finding with this fingerprint'
complete -c jitid -n '__jitid_at "sweep" --baseline' -l baseline -r -F -d 'Do not count the known findings in FILE'
complete -c jitid -n '__jitid_at "sweep" --update-baseline' -l update-baseline -d 'Write the findings to the baseline'
complete -c jitid -n '__jitid_at "sweep" --fix' -l fix -d 'Revoke orphaned and leaked credentials'
complete -c jitid -n '__jitid_at "sweep" --dry-run -n' -l dry-run -s n -d 'Report the changes without making them'
complete -c jitid -n '__jitid_at "sweep" --max' -l max -x -d 'Refuse to revoke more than N without --yes'
complete -c jitid -n '__jitid_at "sweep" --yes -y' -l yes -s y -d 'Revoke any number without confirmation'
complete -c jitid -n '__jitid_at "sweep" --out -o' -l out -s o -r -F -d 'Write FILE atomically (0600; prometheus: 0644)'
complete -c jitid -n '__jitid_at "sweep" --head-out' -l head-out -r -F -d 'Check the audit log from the head in FILE on; renew FILE'
complete -c jitid -n '__jitid_at "sweep" --canary' -l canary -d 'Issue, probe and revoke test credentials'
complete -c jitid -n '__jitid_at "sweep" --list-rules' -l list-rules -d 'Explain the rules without running them'
complete -c jitid -n '__jitid_at "sweep" --format' -l format -r -fka 'table\\tformat tsv\\tformat json\\tformat jsonl\\tformat csv\\tformat sarif\\tformat prometheus\\tformat html\\tformat' -d 'table, tsv, json, jsonl, csv'
complete -c jitid -n '__jitid_at "sweep"' -l field -r -fka 'state\\tfield severity\\tfield rule\\tfield subject\\tfield since\\tfield credentials\\tfield summary\\tfield remedy\\tfield event\\tfield ended_at\\tfield ended_credentials\\tfield sweep\\tfield proof\\tfield offline_until\\tfield fingerprint\\tfield evidence\\tfield' -d 'Print this field only; repeatable'

# jitid report
complete -c jitid -n '__jitid_at "report" --at' -l at -x -d 'Report on TIME, or a duration ago (now)'
complete -c jitid -n '__jitid_at "report" --days' -l days -x -d 'Number of days in the trend (default: 30)'
complete -c jitid -n '__jitid_at "report" --out -o' -l out -s o -r -F -d 'Write FILE atomically (0600; prometheus: 0644)'
complete -c jitid -n '__jitid_at "report" --format' -l format -r -fka 'table\\tformat tsv\\tformat json\\tformat jsonl\\tformat csv\\tformat html\\tformat prometheus\\tformat' -d 'table, tsv, json, jsonl, csv'
complete -c jitid -n '__jitid_at "report"' -l field -r -fka 'issued\\tfield identities\\tfield live\\tfield live_identities\\tfield tasks\\tfield tasks_open\\tfield tasks_overdue\\tfield tasks_ended\\tfield delegators\\tfield agents\\tfield agents_registered\\tfield' -d 'Print this field only; repeatable'

# jitid doctor
complete -c jitid -n '__jitid_at "doctor"' -l field -r -fka 'check\\tfield status\\tfield detail\\tfield repair\\tfield' -d 'Print this field only; repeatable'

# jitid trace
complete -c jitid -n '__jitid_at "trace" --revoke' -l revoke -d 'Revoke found credentials and all below them'
complete -c jitid -n '__jitid_at "trace" --reason' -l reason -x -d 'Reason, stored in the audit log'
complete -c jitid -n '__jitid_at "trace" --dry-run -n' -l dry-run -s n -d 'Report the changes without making them'
complete -c jitid -n '__jitid_at "trace" --max' -l max -x -d 'Refuse to revoke more than N without --yes'
complete -c jitid -n '__jitid_at "trace" --yes -y' -l yes -s y -d 'Include unproved ones, without a limit'
complete -c jitid -n '__jitid_at "trace"' -l field -r -fka 'match\\tfield proof\\tfield id\\tfield jti\\tfield kind\\tfield task\\tfield task_state\\tfield purpose\\tfield agent\\tfield delegator\\tfield chain\\tfield state\\tfield active\\tfield reason\\tfield issued_at\\tfield age\\tfield expires_at\\tfield ended_at\\tfield ended_by\\tfield ended_reason\\tfield descendants\\tfield live_descendants\\tfield audiences\\tfield honoured_by\\tfield honoured_until\\tfield occurrences\\tfield revoke\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "trace"; and test $__jitid_count = 0' -Fka '(__jitid_ask ids)'

# jitid scan
complete -c jitid -n '__jitid_at "scan" --git' -l git -d 'Search the history of a git repository'
complete -c jitid -n '__jitid_at "scan"' -l commits -x -d 'With --git: a range (main..HEAD); repeatable'
complete -c jitid -n '__jitid_at "scan" --unreachable' -l unreachable -d 'With --git: also objects without a ref'
complete -c jitid -n '__jitid_at "scan" --staged' -l staged -d 'Search the staged changes of a repository'
complete -c jitid -n '__jitid_at "scan" --install-hook' -l install-hook -d 'Only install a pre-commit hook'
complete -c jitid -n '__jitid_at "scan" --agents' -l agents -d 'Search the files of coding agents: transcripts, chats, histories'
complete -c jitid -n '__jitid_at "scan" --scrub' -l scrub -d 'With --agents: star out secrets that no verifier accepts; never in a database'
complete -c jitid -n '__jitid_at "scan"' -l only -r -fka 'opaque\\tonly jwt\\tonly certificate\\tonly private-key\\tonly adopted\\tonly' -d 'Only opaque, jwt, certificate, private-key or adopted; repeatable'
complete -c jitid -n '__jitid_at "scan" --no-ignore' -l no-ignore -d 'Include ignored files and .git folders'
complete -c jitid -n '__jitid_at "scan" --one-file-system' -l one-file-system -d 'Stay on the file system of each PATH'
complete -c jitid -n '__jitid_at "scan" --fail-on' -l fail-on -r -fka 'info\\tfail-on low\\tfail-on medium\\tfail-on high\\tfail-on critical\\tfail-on' -d 'Exit 10 if a finding has at least this severity (default: high)'
complete -c jitid -n '__jitid_at "scan" --report' -l report -d 'Record proved leaks and their places'
complete -c jitid -n '__jitid_at "scan" --source' -l source -x -d 'With --report: the source (default: paths)'
complete -c jitid -n '__jitid_at "scan" --revoke' -l revoke -d 'Revoke proved credentials and all below them'
complete -c jitid -n '__jitid_at "scan" --reason' -l reason -x -d 'Reason, stored in the audit log'
complete -c jitid -n '__jitid_at "scan" --dry-run -n' -l dry-run -s n -d 'Report the changes without making them'
complete -c jitid -n '__jitid_at "scan" --max' -l max -x -d 'Refuse to revoke more than N without --yes'
complete -c jitid -n '__jitid_at "scan" --yes -y' -l yes -s y -d 'Revoke any number, or scrub, without confirmation'
complete -c jitid -n '__jitid_at "scan" --out -o' -l out -s o -r -F -d 'Write FILE atomically (0600; prometheus: 0644)'
complete -c jitid -n '__jitid_at "scan" --rules' -l rules -r -fka 'gitleaks\\trules kingfisher\\trules betterleaks\\trules' -d 'Only print rules for gitleaks, kingfisher or betterleaks'
complete -c jitid -n '__jitid_at "scan" --authority' -l authority -x -d 'With --rules: the authority to query'
complete -c jitid -n '__jitid_at "scan" --format' -l format -r -fka 'table\\tformat tsv\\tformat json\\tformat jsonl\\tformat csv\\tformat sarif\\tformat prometheus\\tformat html\\tformat' -d 'table, tsv, json, jsonl, csv'
complete -c jitid -n '__jitid_at "scan"' -l field -r -fka 'state\\tfield severity\\tfield rule\\tfield subject\\tfield summary\\tfield remedy\\tfield path\\tfield line\\tfield commit\\tfield inside\\tfield match\\tfield proof\\tfield jti\\tfield id\\tfield kind\\tfield agent\\tfield task\\tfield delegator\\tfield chain\\tfield life\\tfield fingerprint\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "scan"' -F

# jitid leak add
complete -c jitid -n '__jitid_at "leak add" --source' -l source -x -d 'Where it was found (default: FILE, or stdin)'
complete -c jitid -n '__jitid_at "leak add" --at' -l at -x -d 'Time of the report, or a duration ago (now)'
complete -c jitid -n '__jitid_at "leak add" --revoke' -l revoke -d 'Revoke leaked credentials and all below them'
complete -c jitid -n '__jitid_at "leak add" --reason' -l reason -x -d 'Reason, stored in the audit log'
complete -c jitid -n '__jitid_at "leak add" --dry-run -n' -l dry-run -s n -d 'Report the changes without making them'
complete -c jitid -n '__jitid_at "leak add" --max' -l max -x -d 'Refuse to revoke more than N without --yes'
complete -c jitid -n '__jitid_at "leak add" --yes -y' -l yes -s y -d 'Include unproved leaks, without a limit'
complete -c jitid -n '__jitid_at "leak add" --from' -l from -r -F -d 'Report of a scanner (`-`: stdin)'
complete -c jitid -n '__jitid_at "leak add" --report-format' -l report-format -r -fka 'gitleaks\\treport-format kingfisher\\treport-format betterleaks\\treport-format trufflehog\\treport-format sarif\\treport-format' -d 'Format of the report (default: detected)'
complete -c jitid -n '__jitid_at "leak add"' -l field -r -fka 'leak\\tfield id\\tfield jti\\tfield task\\tfield agent\\tfield delegator\\tfield kind\\tfield source\\tfield reported_at\\tfield added_at\\tfield state\\tfield valid\\tfield dead_at\\tfield exposure\\tfield offline_until\\tfield proved_at\\tfield closed_at\\tfield successors\\tfield delegated\\tfield lives_until\\tfield places\\tfield place\\tfield refused_since\\tfield accepted_until\\tfield exposure_verifiers\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "leak add"; and test $__jitid_count = 0' -F

# jitid leak close
complete -c jitid -n '__jitid_at "leak close" --reason' -l reason -x -d 'Reason for the audit log'
complete -c jitid -n '__jitid_at "leak close" --yes -y' -l yes -s y -d 'Also close leaks of working credentials'
complete -c jitid -n '__jitid_at "leak close"' -l field -r -fka 'closed\\tfield already\\tfield valid\\tfield living\\tfield event\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "leak close"' -fka '(__jitid_ask leaks)'

# jitid leak list
complete -c jitid -n '__jitid_at "leak list" --open' -l open -d 'Only open leaks'
complete -c jitid -n '__jitid_at "leak list" --valid' -l valid -d 'Only leaks whose credential still works'
complete -c jitid -n '__jitid_at "leak list" --source' -l source -x -d 'Only leaks from this source'
complete -c jitid -n '__jitid_at "leak list" --task -t' -l task -s t -r -fka '(__jitid_ask tasks)' -d 'Only leaks of this task'
complete -c jitid -n '__jitid_at "leak list" --since' -l since -x -d 'Reported since TIME, or a duration ago'
complete -c jitid -n '__jitid_at "leak list" --until' -l until -x -d 'Reported before TIME, or a duration ago'
complete -c jitid -n '__jitid_at "leak list" --limit -l' -l limit -s l -x -d 'Maximum number of rows'
complete -c jitid -n '__jitid_at "leak list"' -l field -r -fka 'leak\\tfield id\\tfield jti\\tfield task\\tfield agent\\tfield delegator\\tfield kind\\tfield source\\tfield reported_at\\tfield added_at\\tfield state\\tfield valid\\tfield dead_at\\tfield exposure\\tfield offline_until\\tfield proved_at\\tfield closed_at\\tfield successors\\tfield delegated\\tfield lives_until\\tfield places\\tfield place\\tfield refused_since\\tfield accepted_until\\tfield exposure_verifiers\\tfield' -d 'Print this field only; repeatable'

# jitid leak show
complete -c jitid -n '__jitid_at "leak show" --timeline' -l timeline -d 'Show the history, for an incident report'
complete -c jitid -n '__jitid_at "leak show" --format' -l format -r -fka 'table\\tformat tsv\\tformat json\\tformat jsonl\\tformat csv\\tformat markdown\\tformat' -d 'table, tsv, json, jsonl, csv'
complete -c jitid -n '__jitid_at "leak show"' -l field -r -fka 'leak\\tfield id\\tfield jti\\tfield task\\tfield agent\\tfield delegator\\tfield kind\\tfield source\\tfield reported_at\\tfield added_at\\tfield state\\tfield valid\\tfield dead_at\\tfield exposure\\tfield offline_until\\tfield proved_at\\tfield closed_at\\tfield successors\\tfield delegated\\tfield lives_until\\tfield places\\tfield place\\tfield refused_since\\tfield accepted_until\\tfield exposure_verifiers\\tfield reason\\tfield purpose\\tfield chain\\tfield issued_at\\tfield expires_at\\tfield added_by\\tfield event\\tfield ended_by\\tfield ended_reason\\tfield ended_event\\tfield closed_by\\tfield closed_reason\\tfield closed_event\\tfield revoke\\tfield sightings\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "leak show"' -fka '(__jitid_ask leaks)'

# jitid revoke
complete -c jitid -n '__jitid_at "revoke"' -l task -s t -r -fka '(__jitid_ask tasks)' -d 'All of a task; repeatable'
complete -c jitid -n '__jitid_at "revoke"' -l delegator -s d -r -fka '(__jitid_ask delegators)' -d 'All of a root delegator, or from agent:NAME; repeatable'
complete -c jitid -n '__jitid_at "revoke"' -l agent -s a -r -fka '(__jitid_ask agents)' -d 'All of an agent; repeatable'
complete -c jitid -n '__jitid_at "revoke"' -l tree -r -fka '(__jitid_ask ids)' -d 'The whole tree of ID, from its root; repeatable'
complete -c jitid -n '__jitid_at "revoke"' -l token-file -r -F -d 'Identity of the token in FILE; `-` for stdin'
complete -c jitid -n '__jitid_at "revoke" --ids-file' -l ids-file -r -F -d 'File with one id per line; `-` for stdin'
complete -c jitid -n '__jitid_at "revoke" --reason' -l reason -x -d 'Reason, stored in the audit log'
complete -c jitid -n '__jitid_at "revoke" --dry-run -n' -l dry-run -s n -d 'Report the changes without making them'
complete -c jitid -n '__jitid_at "revoke" --max' -l max -x -d 'Refuse to revoke more than N without --yes'
complete -c jitid -n '__jitid_at "revoke" --yes -y' -l yes -s y -d 'Revoke any number without confirmation'
complete -c jitid -n '__jitid_at "revoke" --wait' -l wait -x -d 'Maximum time to retry unconfirmed targets'
complete -c jitid -n '__jitid_at "revoke"' -l field -r -fka 'ended\\tfield credentials\\tfield identities\\tfield matched\\tfield tasks\\tfield delegators\\tfield offline_until\\tfield event\\tfield dry_run\\tfield confirmed\\tfield unconfirmed\\tfield refused_since\\tfield accepted_until\\tfield exchanged_until\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "revoke"' -fka '(__jitid_ask ids)'

# jitid retire
complete -c jitid -n '__jitid_at "retire" --reason' -l reason -x -d 'Reason, stored in the audit log'
complete -c jitid -n '__jitid_at "retire" --dry-run -n' -l dry-run -s n -d 'Report the changes without making them'
complete -c jitid -n '__jitid_at "retire" --wait' -l wait -x -d 'Maximum time to retry unconfirmed targets'
complete -c jitid -n '__jitid_at "retire"' -l field -r -fka 'ended\\tfield credentials\\tfield identities\\tfield matched\\tfield tasks\\tfield delegators\\tfield offline_until\\tfield event\\tfield dry_run\\tfield confirmed\\tfield unconfirmed\\tfield refused_since\\tfield accepted_until\\tfield exchanged_until\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "retire"; and test $__jitid_count = 0' -fka '(__jitid_ask tasks)'

# jitid setup
complete -c jitid -n '__jitid_at "setup" --dry-run -n' -l dry-run -s n -d 'Report the changes without making them'
complete -c jitid -n '__jitid_at "setup" --undo' -l undo -d 'Remove the entries of jitid'
complete -c jitid -n '__jitid_at "setup" --check' -l check -d 'Report credentials that bypass jitid; exit 10 if any'
complete -c jitid -n '__jitid_at "setup" --yes -y' -l yes -s y -d 'Write without confirmation'
complete -c jitid -n '__jitid_at "setup" --gateway' -l gateway -x -d 'Gateway to models that accepts the tokens. For claude-code, codex, opencode, copilot'
complete -c jitid -n '__jitid_at "setup" --audience' -l audience -x -d 'Audience of the tokens (default: the gateway or host). Also for git and kube'
complete -c jitid -n '__jitid_at "setup"' -l mcp -x -d 'MCP server that accepts tokens; repeatable. For all agents, and mcp'
complete -c jitid -n '__jitid_at "setup" --tools' -l tools -d 'Add the tools of `jitid mcp`. For claude-code, codex, opencode; the others always get them'
complete -c jitid -n '__jitid_at "setup"' -l host -x -d 'Server, for git; repeatable'
complete -c jitid -n '__jitid_at "setup" --template' -l template -x -d 'Template of sessions, or TARGET/TEMPLATE, for aws'
complete -c jitid -n '__jitid_at "setup" --name' -l name -x -d 'Name of the entry, such as an AWS profile (default: jitid)'
complete -c jitid -n '__jitid_at "setup" --project' -l project -d 'Write the files of the current folder, not the user\'s. For claude-code, codex, opencode, gemini, copilot, cursor, vscode and git'
complete -c jitid -n '__jitid_at "setup" --task -t' -l task -s t -r -fka '(__jitid_ask tasks)' -d 'Task, written into the helper\'s line'
complete -c jitid -n '__jitid_at "setup" --delegator -d' -l delegator -s d -r -fka '(__jitid_ask delegators)' -d 'Delegator, written into the line'
complete -c jitid -n '__jitid_at "setup" --agent -a' -l agent -s a -r -fka '(__jitid_ask agents)' -d 'Agent, written into the line'
complete -c jitid -n '__jitid_at "setup"' -l scope -s s -x -d 'Scope, written into the line; repeatable'
complete -c jitid -n '__jitid_at "setup" --ttl' -l ttl -x -d 'Lifetime of tokens, written into the line'
complete -c jitid -n '__jitid_at "setup" --parent-file' -l parent-file -r -F -d 'File with the parent\'s token, for the line'
complete -c jitid -n '__jitid_at "setup"' -l field -r -fka 'client\\tfield state\\tfield installed\\tfield path\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "setup"; and test $__jitid_count = 0' -fka 'claude-code\\tclient codex\\tclient opencode\\tclient gemini\\tclient copilot\\tclient cursor\\tclient vscode\\tclient mcp\\tclient git\\tclient gh\\tclient aws\\tclient kube\\tclient'

# jitid login
complete -c jitid -n '__jitid_at "login" --issuer' -l issuer -x -d 'Issuer of the configuration, or its host (default: the only one)'
complete -c jitid -n '__jitid_at "login" --device' -l device -d 'Confirm a code in a browser on another device'
complete -c jitid -n '__jitid_at "login" --no-browser' -l no-browser -d 'Print the address, and open no browser'
complete -c jitid -n '__jitid_at "login" --fresh' -l fresh -d 'Require a new authentication at the provider'
complete -c jitid -n '__jitid_at "login" --out' -l out -d 'Log out'
complete -c jitid -n '__jitid_at "login"' -l field -r -fka 'delegator\\tfield issuer\\tfield authenticated_at\\tfield expires_at\\tfield access\\tfield state\\tfield' -d 'Print this field only; repeatable'

# jitid policy check
complete -c jitid -n '__jitid_at "policy check"' -l field -r -fka 'file\\tfield line\\tfield column\\tfield severity\\tfield rule\\tfield message\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "policy check"' -F

# jitid policy diff
complete -c jitid -n '__jitid_at "policy diff" --since' -l since -x -d 'Only decisions since TIME, or a duration ago'
complete -c jitid -n '__jitid_at "policy diff" --limit -l' -l limit -s l -x -d 'Maximum number of rows'
complete -c jitid -n '__jitid_at "policy diff" --exit-code' -l exit-code -d 'Exit 10 if a decision changes'
complete -c jitid -n '__jitid_at "policy diff"' -l field -r -fka 'change\\tfield count\\tfield recorded\\tfield old\\tfield new\\tfield old_rules\\tfield new_rules\\tfield old_granted\\tfield new_granted\\tfield old_lifetime\\tfield new_lifetime\\tfield needs\\tfield agent\\tfield delegator\\tfield proof\\tfield task\\tfield purpose\\tfield sensitivity\\tfield kind\\tfield template\\tfield depth\\tfield scopes\\tfield audiences\\tfield ttl\\tfield at\\tfield reason\\tfield event\\tfield task_owner\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "policy diff"; and test $__jitid_count = 0' -F
complete -c jitid -n '__jitid_at "policy diff"; and test $__jitid_count = 1' -F

# jitid policy init
complete -c jitid -n '__jitid_at "policy init" --with-default' -l with-default -d 'Add the default policy to the example'
complete -c jitid -n '__jitid_at "policy init"; and test $__jitid_count = 0' -fka '(__fish_complete_directories)'

# jitid policy show
complete -c jitid -n '__jitid_at "policy show" --digest' -l digest -x -d 'Digest of an earlier policy, or its first digits'
complete -c jitid -n '__jitid_at "policy show" --default' -l default -d 'Policy that jitid ships'
complete -c jitid -n '__jitid_at "policy show" --text' -l text -d 'Show the text of the files'
complete -c jitid -n '__jitid_at "policy show"' -l field -r -fka 'rule\\tfield effect\\tfield actions\\tfield max_ttl\\tfield approval\\tfield reads\\tfield file\\tfield line\\tfield sha256\\tfield text\\tfield' -d 'Print this field only; repeatable'

# jitid policy test
complete -c jitid -n '__jitid_at "policy test" --policy' -l policy -r -F -d 'Policy to test (default: in the folder of the cases)'
complete -c jitid -n '__jitid_at "policy test" --require-coverage' -l require-coverage -d 'Exit 10 if no case reaches a rule'
complete -c jitid -n '__jitid_at "policy test"' -l field -r -fka 'file\\tfield line\\tfield case\\tfield result\\tfield decision\\tfield rules\\tfield granted\\tfield lifetime\\tfield needs\\tfield expected\\tfield reason\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "policy test"' -F

# jitid agent advise
complete -c jitid -n '__jitid_at "agent advise" --days' -l days -x -d 'Number of days to examine (default: 90)'
complete -c jitid -n '__jitid_at "agent advise" --policy' -l policy -d 'Print the policy for the recorded practice'
complete -c jitid -n '__jitid_at "agent advise" --task -t' -l task -s t -r -fka '(__jitid_ask tasks)' -d 'With --policy: only this task'
complete -c jitid -n '__jitid_at "agent advise" --limit -l' -l limit -s l -x -d 'Maximum number of rows'
complete -c jitid -n '__jitid_at "agent advise"' -l field -r -fka 'agent\\tfield advice\\tfield why\\tfield command\\tfield state\\tfield identities\\tfield live\\tfield tasks\\tfield days\\tfield interval\\tfield longest_interval\\tfield first_issued_at\\tfield last_issued_at\\tfield run_time_p50\\tfield run_time_p95\\tfield run_time_longest\\tfield concurrency\\tfield delegators\\tfield delegator\\tfield delegated\\tfield scopes\\tfield scopes_from\\tfield audiences\\tfield kinds\\tfield max_ttl\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "agent advise"' -fka '(__jitid_ask agents)'

# jitid agent change
complete -c jitid -n '__jitid_at "agent change" --owner' -l owner -r -fka '(__jitid_ask known)' -d 'The owner, a known delegator'
complete -c jitid -n '__jitid_at "agent change" --purpose' -l purpose -x -d 'The agent\'s purpose'
complete -c jitid -n '__jitid_at "agent change"' -l scope -s s -x -d 'Permitted scope; repeatable'
complete -c jitid -n '__jitid_at "agent change"' -l audience -x -d 'Permitted audience; repeatable'
complete -c jitid -n '__jitid_at "agent change"' -l kind -s k -r -fka 'jwt\\tkind opaque\\tkind jwt-svid\\tkind x509-svid\\tkind ssh-cert\\tkind aws-sts\\tkind postgres-role\\tkind openbao-lease\\tkind exec\\tkind' -d 'Permitted kind (default: jwt, opaque); repeatable'
complete -c jitid -n '__jitid_at "agent change" --max-ttl' -l max-ttl -x -d 'Maximum lifetime of credentials (default: 1h)'
complete -c jitid -n '__jitid_at "agent change" --concurrency' -l concurrency -x -d 'Limit of live identities (default: unlimited)'
complete -c jitid -n '__jitid_at "agent change"' -l may-use -r -fka '(__jitid_ask delegators)' -d 'Permitted user of the name: a delegator, group:NAME, agent:NAME; repeatable'
complete -c jitid -n '__jitid_at "agent change"' -l clear -r -fka 'scope\\tclear audience\\tclear concurrency\\tclear may-use\\tclear' -d 'Clear scope, audience, concurrency or may-use; repeatable'
complete -c jitid -n '__jitid_at "agent change"' -l field -r -fka 'agent\\tfield state\\tfield owner\\tfield live\\tfield review_at\\tfield event\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "agent change"; and test $__jitid_count = 0' -fka '(__jitid_ask records)'

# jitid agent list
complete -c jitid -n '__jitid_at "agent list" --owner' -l owner -r -fka '(__jitid_ask known)' -d 'Only agents of this owner'
complete -c jitid -n '__jitid_at "agent list" --state' -l state -r -fka 'registered\\tstate overdue\\tstate suspended\\tstate unregistered\\tstate' -d 'registered, overdue, suspended, unregistered'
complete -c jitid -n '__jitid_at "agent list" --limit -l' -l limit -s l -x -d 'Maximum number of rows'
complete -c jitid -n '__jitid_at "agent list" --after' -l after -r -fka '(__jitid_ask records)' -d 'Continue after the agent NAME'
complete -c jitid -n '__jitid_at "agent list"' -l field -r -fka 'agent\\tfield state\\tfield owner\\tfield owner_state\\tfield purpose\\tfield scopes\\tfield beyond\\tfield audiences\\tfield kinds\\tfield max_ttl\\tfield concurrency\\tfield live\\tfield last_issued_at\\tfield review_at\\tfield registered_at\\tfield reviewed_at\\tfield suspended_at\\tfield suspended_as\\tfield unregistered_at\\tfield users\\tfield' -d 'Print this field only; repeatable'

# jitid agent register
complete -c jitid -n '__jitid_at "agent register" --owner' -l owner -r -fka '(__jitid_ask known)' -d 'The owner, a known delegator'
complete -c jitid -n '__jitid_at "agent register" --purpose' -l purpose -x -d 'The agent\'s purpose'
complete -c jitid -n '__jitid_at "agent register"' -l scope -s s -x -d 'Permitted scope; repeatable'
complete -c jitid -n '__jitid_at "agent register"' -l audience -x -d 'Permitted audience; repeatable'
complete -c jitid -n '__jitid_at "agent register"' -l kind -s k -r -fka 'jwt\\tkind opaque\\tkind jwt-svid\\tkind x509-svid\\tkind ssh-cert\\tkind aws-sts\\tkind postgres-role\\tkind openbao-lease\\tkind exec\\tkind' -d 'Permitted kind (default: jwt, opaque); repeatable'
complete -c jitid -n '__jitid_at "agent register" --max-ttl' -l max-ttl -x -d 'Maximum lifetime of credentials (default: 1h)'
complete -c jitid -n '__jitid_at "agent register" --concurrency' -l concurrency -x -d 'Limit of live identities (default: unlimited)'
complete -c jitid -n '__jitid_at "agent register"' -l may-use -r -fka '(__jitid_ask delegators)' -d 'Permitted user of the name: a delegator, group:NAME, agent:NAME; repeatable'
complete -c jitid -n '__jitid_at "agent register" --review' -l review -x -d 'Time of its review, or the delay (default: 90d)'
complete -c jitid -n '__jitid_at "agent register" --max' -l max -x -d 'Refuse to revoke more than N without --yes'
complete -c jitid -n '__jitid_at "agent register" --yes -y' -l yes -s y -d 'Revoke any number without confirmation'
complete -c jitid -n '__jitid_at "agent register"' -l field -r -fka 'agent\\tfield state\\tfield owner\\tfield live\\tfield review_at\\tfield event\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "agent register"; and test $__jitid_count = 0' -fka '(__jitid_ask agents)'

# jitid agent resume
complete -c jitid -n '__jitid_at "agent resume"' -l field -r -fka 'agent\\tfield state\\tfield owner\\tfield live\\tfield review_at\\tfield event\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "agent resume"; and test $__jitid_count = 0' -fka '(__jitid_ask records)'

# jitid agent review
complete -c jitid -n '__jitid_at "agent review" --next' -l next -x -d 'Time of the next review, or the delay (default: 90d)'
complete -c jitid -n '__jitid_at "agent review"' -l field -r -fka 'agent\\tfield state\\tfield owner\\tfield owner_state\\tfield purpose\\tfield scopes\\tfield beyond\\tfield audiences\\tfield kinds\\tfield max_ttl\\tfield concurrency\\tfield live\\tfield last_issued_at\\tfield review_at\\tfield registered_at\\tfield reviewed_at\\tfield suspended_at\\tfield suspended_as\\tfield unregistered_at\\tfield users\\tfield event\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "agent review"; and test $__jitid_count = 0' -fka '(__jitid_ask records)'

# jitid agent show
complete -c jitid -n '__jitid_at "agent show"' -l field -r -fka 'agent\\tfield state\\tfield owner\\tfield owner_state\\tfield purpose\\tfield scopes\\tfield beyond\\tfield audiences\\tfield kinds\\tfield max_ttl\\tfield concurrency\\tfield live\\tfield last_issued_at\\tfield review_at\\tfield registered_at\\tfield reviewed_at\\tfield suspended_at\\tfield suspended_as\\tfield unregistered_at\\tfield users\\tfield issues\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "agent show"; and test $__jitid_count = 0' -fka '(__jitid_ask records)'

# jitid agent suspend
complete -c jitid -n '__jitid_at "agent suspend" --keep-live' -l keep-live -d 'Do not revoke the agent\'s live credentials'
complete -c jitid -n '__jitid_at "agent suspend" --reason' -l reason -x -d 'Reason, stored in the audit log'
complete -c jitid -n '__jitid_at "agent suspend" --dry-run -n' -l dry-run -s n -d 'Report the changes without making them'
complete -c jitid -n '__jitid_at "agent suspend" --max' -l max -x -d 'Refuse to revoke more than N without --yes'
complete -c jitid -n '__jitid_at "agent suspend" --yes -y' -l yes -s y -d 'Revoke any number without confirmation'
complete -c jitid -n '__jitid_at "agent suspend"' -l field -r -fka 'agent\\tfield state\\tfield kept\\tfield ended\\tfield credentials\\tfield identities\\tfield matched\\tfield tasks\\tfield delegators\\tfield offline_until\\tfield event\\tfield dry_run\\tfield confirmed\\tfield unconfirmed\\tfield refused_since\\tfield accepted_until\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "agent suspend"; and test $__jitid_count = 0' -fka '(__jitid_ask records)'

# jitid agent unregister
complete -c jitid -n '__jitid_at "agent unregister" --keep-live' -l keep-live -d 'Do not revoke the agent\'s live credentials'
complete -c jitid -n '__jitid_at "agent unregister" --reason' -l reason -x -d 'Reason, stored in the audit log'
complete -c jitid -n '__jitid_at "agent unregister" --dry-run -n' -l dry-run -s n -d 'Report the changes without making them'
complete -c jitid -n '__jitid_at "agent unregister" --max' -l max -x -d 'Refuse to revoke more than N without --yes'
complete -c jitid -n '__jitid_at "agent unregister" --yes -y' -l yes -s y -d 'Revoke any number without confirmation'
complete -c jitid -n '__jitid_at "agent unregister"' -l field -r -fka 'agent\\tfield state\\tfield kept\\tfield ended\\tfield credentials\\tfield identities\\tfield matched\\tfield tasks\\tfield delegators\\tfield offline_until\\tfield event\\tfield dry_run\\tfield confirmed\\tfield unconfirmed\\tfield refused_since\\tfield accepted_until\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "agent unregister"; and test $__jitid_count = 0' -fka '(__jitid_ask records)'

# jitid delegator add
complete -c jitid -n '__jitid_at "delegator add"' -l entitlement -x -d 'Permitted scope (all others are refused); repeatable'
complete -c jitid -n '__jitid_at "delegator add" --no-entitlements' -l no-entitlements -d 'Permit only scopes of --entitlement'
complete -c jitid -n '__jitid_at "delegator add"' -l group -x -d 'A group of the delegator; repeatable'
complete -c jitid -n '__jitid_at "delegator add" --manager' -l manager -r -fka '(__jitid_ask delegators)' -d 'The manager of the delegator'
complete -c jitid -n '__jitid_at "delegator add"' -l alias -x -d 'Another name of the delegator; repeatable'
complete -c jitid -n '__jitid_at "delegator add"' -l subject -x -d 'Subject in ID tokens, \'ISS SUB\'; repeatable'
complete -c jitid -n '__jitid_at "delegator add" --sensitivity' -l sensitivity -r -fka 'low\\tsensitivity moderate\\tsensitivity high\\tsensitivity critical\\tsensitivity' -d 'Highest sensitivity (default: critical)'
complete -c jitid -n '__jitid_at "delegator add"' -l field -r -fka 'name\\tfield state\\tfield sensitivity\\tfield entitlements\\tfield groups\\tfield manager\\tfield aliases\\tfield external_id\\tfield imported\\tfield added_at\\tfield disabled_at\\tfield changed\\tfield live\\tfield event\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "delegator add"; and test $__jitid_count = 0' -fka '(__jitid_ask delegators)'

# jitid delegator change
complete -c jitid -n '__jitid_at "delegator change"' -l entitlement -x -d 'Permitted scope (all others are refused); repeatable'
complete -c jitid -n '__jitid_at "delegator change" --no-entitlements' -l no-entitlements -d 'Permit only scopes of --entitlement'
complete -c jitid -n '__jitid_at "delegator change"' -l group -x -d 'A group of the delegator; repeatable'
complete -c jitid -n '__jitid_at "delegator change" --manager' -l manager -r -fka '(__jitid_ask delegators)' -d 'The manager of the delegator'
complete -c jitid -n '__jitid_at "delegator change"' -l alias -x -d 'Another name of the delegator; repeatable'
complete -c jitid -n '__jitid_at "delegator change"' -l subject -x -d 'Subject in ID tokens, \'ISS SUB\'; repeatable'
complete -c jitid -n '__jitid_at "delegator change" --policy-alone' -l policy-alone -d 'Remove all limits: the policy alone decides'
complete -c jitid -n '__jitid_at "delegator change"' -l remove-entitlement -x -d 'Remove this entitlement; repeatable'
complete -c jitid -n '__jitid_at "delegator change" --sensitivity' -l sensitivity -r -fka 'low\\tsensitivity moderate\\tsensitivity high\\tsensitivity critical\\tsensitivity' -d 'Highest sensitivity'
complete -c jitid -n '__jitid_at "delegator change" --no-groups' -l no-groups -d 'Remove all groups except those of --group'
complete -c jitid -n '__jitid_at "delegator change"' -l remove-group -x -d 'Remove this group; repeatable'
complete -c jitid -n '__jitid_at "delegator change" --no-manager' -l no-manager -d 'Remove the manager'
complete -c jitid -n '__jitid_at "delegator change" --no-aliases' -l no-aliases -d 'Remove aliases except --alias and --subject'
complete -c jitid -n '__jitid_at "delegator change"' -l remove-alias -x -d 'Remove NAME or subject \'ISS SUB\'; repeatable'
complete -c jitid -n '__jitid_at "delegator change"' -l field -r -fka 'name\\tfield state\\tfield sensitivity\\tfield entitlements\\tfield groups\\tfield manager\\tfield aliases\\tfield external_id\\tfield imported\\tfield added_at\\tfield disabled_at\\tfield changed\\tfield live\\tfield event\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "delegator change"; and test $__jitid_count = 0' -fka '(__jitid_ask known)'

# jitid delegator disable
complete -c jitid -n '__jitid_at "delegator disable" --keep-live' -l keep-live -d 'Do not revoke the live credentials'
complete -c jitid -n '__jitid_at "delegator disable" --reason' -l reason -x -d 'Reason, stored in the audit log'
complete -c jitid -n '__jitid_at "delegator disable" --dry-run -n' -l dry-run -s n -d 'Report the changes without making them'
complete -c jitid -n '__jitid_at "delegator disable" --max' -l max -x -d 'Refuse to revoke more than N without --yes'
complete -c jitid -n '__jitid_at "delegator disable" --yes -y' -l yes -s y -d 'Revoke any number without confirmation'
complete -c jitid -n '__jitid_at "delegator disable"' -l field -r -fka 'name\\tfield ended\\tfield credentials\\tfield identities\\tfield tasks\\tfield offline_until\\tfield kept_live\\tfield agents\\tfield others\\tfield requests\\tfield grants\\tfield access\\tfield event\\tfield dry_run\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "delegator disable"; and test $__jitid_count = 0' -fka '(__jitid_ask known)'

# jitid delegator enable
complete -c jitid -n '__jitid_at "delegator enable" --reason' -l reason -x -d 'Reason, stored in the audit log'
complete -c jitid -n '__jitid_at "delegator enable"' -l field -r -fka 'name\\tfield suspended\\tfield event\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "delegator enable"; and test $__jitid_count = 0' -fka '(__jitid_ask known)'

# jitid delegator import
complete -c jitid -n '__jitid_at "delegator import" --as' -l as -r -fka 'csv\\tas scim\\tas jsonl\\tas' -d 'csv, scim, jsonl (default: by FILE\'s ending)'
complete -c jitid -n '__jitid_at "delegator import" --full' -l full -d 'Disable imported delegators missing in FILE'
complete -c jitid -n '__jitid_at "delegator import" --reason' -l reason -x -d 'Reason, stored in the audit log'
complete -c jitid -n '__jitid_at "delegator import" --dry-run -n' -l dry-run -s n -d 'Report the changes without making them'
complete -c jitid -n '__jitid_at "delegator import" --max' -l max -x -d 'Disable or revoke at most N without --yes'
complete -c jitid -n '__jitid_at "delegator import" --yes -y' -l yes -s y -d 'Skip the limit and the confirmation'
complete -c jitid -n '__jitid_at "delegator import"' -l field -r -fka 'people\\tfield added\\tfield changed\\tfield enabled\\tfield disabled\\tfield missing\\tfield staying\\tfield ended\\tfield credentials\\tfield identities\\tfield offline_until\\tfield agents\\tfield requests\\tfield grants\\tfield access\\tfield names\\tfield changes\\tfield event\\tfield dry_run\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "delegator import"; and test $__jitid_count = 0' -F

# jitid delegator list
complete -c jitid -n '__jitid_at "delegator list" --group' -l group -x -d 'Only delegators in this group'
complete -c jitid -n '__jitid_at "delegator list" --disabled' -l disabled -d 'Only disabled delegators'
complete -c jitid -n '__jitid_at "delegator list" --enabled' -l enabled -d 'Only enabled delegators'
complete -c jitid -n '__jitid_at "delegator list" --after' -l after -r -fka '(__jitid_ask known)' -d 'Continue after the delegator NAME'
complete -c jitid -n '__jitid_at "delegator list" --limit -l' -l limit -s l -x -d 'Maximum number of rows'
complete -c jitid -n '__jitid_at "delegator list"' -l field -r -fka 'name\\tfield state\\tfield sensitivity\\tfield entitlements\\tfield groups\\tfield manager\\tfield aliases\\tfield external_id\\tfield imported\\tfield added_at\\tfield disabled_at\\tfield' -d 'Print this field only; repeatable'

# jitid delegator show
complete -c jitid -n '__jitid_at "delegator show"' -l field -r -fka 'name\\tfield state\\tfield sensitivity\\tfield entitlements\\tfield groups\\tfield manager\\tfield aliases\\tfield external_id\\tfield imported\\tfield added_at\\tfield disabled_at\\tfield live\\tfield agents\\tfield suspended\\tfield requests\\tfield grants\\tfield access\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "delegator show"; and test $__jitid_count = 0' -fka '(__jitid_ask known)'

# jitid task give
complete -c jitid -n '__jitid_at "task give" --to' -l to -r -fka '(__jitid_ask known)' -d 'New owner of the task'
complete -c jitid -n '__jitid_at "task give"' -l field -r -fka 'task\\tfield state\\tfield sensitivity\\tfield purpose\\tfield opened_at\\tfield deadline\\tfield ended_at\\tfield credentials\\tfield live\\tfield opener\\tfield shared\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "task give"; and test $__jitid_count = 0' -fka '(__jitid_ask tasks)'

# jitid task share
complete -c jitid -n '__jitid_at "task share"' -l with -r -fka '(__jitid_ask delegators)' -d 'Delegator, or group:NAME; repeatable'
complete -c jitid -n '__jitid_at "task share" --end' -l end -d 'Withdraw the share instead'
complete -c jitid -n '__jitid_at "task share"' -l field -r -fka 'task\\tfield state\\tfield sensitivity\\tfield purpose\\tfield opened_at\\tfield deadline\\tfield ended_at\\tfield credentials\\tfield live\\tfield opener\\tfield shared\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "task share"; and test $__jitid_count = 0' -fka '(__jitid_ask tasks)'

# jitid approve deny
complete -c jitid -n '__jitid_at "approve deny" --group' -l group -x -d 'Decide for this group only (default: all of yours)'
complete -c jitid -n '__jitid_at "approve deny" --reason' -l reason -x -d 'Reason, for the requester and the audit log'
complete -c jitid -n '__jitid_at "approve deny" --delegator-token-file' -l delegator-token-file -r -F -d 'ID token of the approver; `-` for stdin (default: login)'
complete -c jitid -n '__jitid_at "approve deny"' -l field -r -fka 'approval\\tfield state\\tfield groups\\tfield missing\\tfield approver\\tfield usable_until\\tfield event\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "approve deny"; and test $__jitid_count = 0' -fka '(__jitid_ask approvals)'

# jitid approve grant
complete -c jitid -n '__jitid_at "approve grant" --for' -l for -x -d 'Lifetime (default and maximum: approval_lifetime)'
complete -c jitid -n '__jitid_at "approve grant" --group' -l group -x -d 'Decide for this group only (default: all of yours)'
complete -c jitid -n '__jitid_at "approve grant" --reason' -l reason -x -d 'Reason, stored in the audit log'
complete -c jitid -n '__jitid_at "approve grant" --delegator-token-file' -l delegator-token-file -r -F -d 'ID token of the approver; `-` for stdin (default: login)'
complete -c jitid -n '__jitid_at "approve grant"' -l field -r -fka 'approval\\tfield state\\tfield groups\\tfield missing\\tfield approver\\tfield usable_until\\tfield event\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "approve grant"; and test $__jitid_count = 0' -fka '(__jitid_ask approvals)'

# jitid approve list
complete -c jitid -n '__jitid_at "approve list" --open' -l open -d 'Only requests that wait for a decision'
complete -c jitid -n '__jitid_at "approve list" --all' -l all -d 'Also used, denied and expired requests'
complete -c jitid -n '__jitid_at "approve list" --group' -l group -x -d 'Only requests that this group must approve'
complete -c jitid -n '__jitid_at "approve list" --limit -l' -l limit -s l -x -d 'Maximum number of rows'
complete -c jitid -n '__jitid_at "approve list"' -l field -r -fka 'approval\\tfield state\\tfield task\\tfield agent\\tfield delegator\\tfield delegator_proof\\tfield kind\\tfield sensitivity\\tfield scopes\\tfield audiences\\tfield purpose\\tfield ttl\\tfield copies\\tfield depth\\tfield parent\\tfield groups\\tfield missing\\tfield asked_by\\tfield asked_at\\tfield expires_at\\tfield usable_until\\tfield left\\tfield' -d 'Print this field only; repeatable'

# jitid approve show
complete -c jitid -n '__jitid_at "approve show"' -l field -r -fka 'approval\\tfield state\\tfield task\\tfield agent\\tfield delegator\\tfield delegator_proof\\tfield kind\\tfield sensitivity\\tfield scopes\\tfield audiences\\tfield purpose\\tfield ttl\\tfield copies\\tfield depth\\tfield parent\\tfield groups\\tfield missing\\tfield asked_by\\tfield asked_at\\tfield expires_at\\tfield usable_until\\tfield delegator_state\\tfield task_state\\tfield deadline\\tfield details\\tfield public_key\\tfield allow_narrower\\tfield process\\tfield task_sensitivity\\tfield chain\\tfield acting\\tfield words\\tfield reason\\tfield rules\\tfield policy\\tfield event\\tfield ended_at\\tfield ended_reason\\tfield ended_event\\tfield identity\\tfield grant\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "approve show"; and test $__jitid_count = 0' -fka '(__jitid_ask approvals)'

# jitid authorize
complete -c jitid -n '__jitid_at "authorize" --token-file' -l token-file -r -F -d 'File with the token (default: standard input)'
complete -c jitid -n '__jitid_at "authorize" --action' -l action -x -d 'The action, such as s3:GetObject'
complete -c jitid -n '__jitid_at "authorize" --resource' -l resource -x -d 'The resource of the action'
complete -c jitid -n '__jitid_at "authorize" --context' -l context -x -d 'Facts for the policy: a JSON object, or @FILE'
complete -c jitid -n '__jitid_at "authorize"' -l audience -x -d 'Accept tokens for the audience AUD; repeatable'
complete -c jitid -n '__jitid_at "authorize" --batch' -l batch -d 'Decide on each JSON line of standard input'
complete -c jitid -n '__jitid_at "authorize"' -l field -r -fka 'decision\\tfield reason\\tfield rules\\tfield scope\\tfield identity\\tfield jti\\tfield agent\\tfield delegator\\tfield chain\\tfield task\\tfield action\\tfield resource\\tfield at\\tfield event\\tfield' -d 'Print this field only; repeatable'

# jitid adopt add
complete -c jitid -n '__jitid_at "adopt add" --owner' -l owner -r -fka '(__jitid_ask known)' -d 'Delegator responsible for the secret'
complete -c jitid -n '__jitid_at "adopt add" --place' -l place -x -d 'Where it is kept, as \'vault kv/prod/github\''
complete -c jitid -n '__jitid_at "adopt add" --purpose' -l purpose -x -d 'Purpose of the secret'
complete -c jitid -n '__jitid_at "adopt add" --agent -a' -l agent -s a -r -fka '(__jitid_ask agents)' -d 'Agent using it (default: the secret\'s name)'
complete -c jitid -n '__jitid_at "adopt add" --expires' -l expires -x -d 'Expiry: a time or a duration (default: never)'
complete -c jitid -n '__jitid_at "adopt add" --target' -l target -x -d 'Configured target for its revocation'
complete -c jitid -n '__jitid_at "adopt add" --reference' -l reference -x -d 'Name at the target: role, key id, accessor'
complete -c jitid -n '__jitid_at "adopt add" --sensitivity' -l sensitivity -r -fka 'low\\tsensitivity moderate\\tsensitivity high\\tsensitivity critical\\tsensitivity' -d 'low, moderate (default), high or critical'
complete -c jitid -n '__jitid_at "adopt add" --prefix' -l prefix -x -d 'Public beginning of the secret, as ghp_'
complete -c jitid -n '__jitid_at "adopt add" --access-key-id' -l access-key-id -x -d 'Public id of an AWS access key'
complete -c jitid -n '__jitid_at "adopt add" --file' -l file -r -F -d 'File with the secret (default or `-`: stdin)'
complete -c jitid -n '__jitid_at "adopt add" --fingerprint' -l fingerprint -x -d 'SHA-256 of the secret, instead of the secret'
complete -c jitid -n '__jitid_at "adopt add" --public-key' -l public-key -r -F -d 'Public key or certificate, instead of a secret'
complete -c jitid -n '__jitid_at "adopt add" --from-file' -l from-file -r -F -d 'Adopt all secrets in FILE (`-`: stdin)'
complete -c jitid -n '__jitid_at "adopt add" --as' -l as -r -fka 'csv\\tas jsonl\\tas' -d 'csv or jsonl (default: by FILE\'s extension)'
complete -c jitid -n '__jitid_at "adopt add" --dry-run -n' -l dry-run -s n -d 'Report the changes without making them'
complete -c jitid -n '__jitid_at "adopt add"' -l field -r -fka 'name\\tfield id\\tfield jti\\tfield new\\tfield already\\tfield unverified\\tfield event\\tfield dry_run\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "adopt add"; and test $__jitid_count = 0' -fka '(__jitid_ask adopted)'

# jitid adopt change
complete -c jitid -n '__jitid_at "adopt change" --owner' -l owner -r -fka '(__jitid_ask known)' -d 'Delegator responsible for the secret'
complete -c jitid -n '__jitid_at "adopt change" --place' -l place -x -d 'Where it is kept, as \'vault kv/prod/github\''
complete -c jitid -n '__jitid_at "adopt change" --purpose' -l purpose -x -d 'Purpose of the secret'
complete -c jitid -n '__jitid_at "adopt change" --agent -a' -l agent -s a -r -fka '(__jitid_ask agents)' -d 'Agent using it (default: the secret\'s name)'
complete -c jitid -n '__jitid_at "adopt change" --expires' -l expires -x -d 'Expiry: a time or a duration (default: never)'
complete -c jitid -n '__jitid_at "adopt change" --target' -l target -x -d 'Configured target for its revocation'
complete -c jitid -n '__jitid_at "adopt change" --reference' -l reference -x -d 'Name at the target: role, key id, accessor'
complete -c jitid -n '__jitid_at "adopt change"' -l field -r -fka 'name\\tfield state\\tfield owner\\tfield owner_state\\tfield agent\\tfield place\\tfield purpose\\tfield sensitivity\\tfield target\\tfield reference\\tfield prefix\\tfield length\\tfield adopted_at\\tfield expires_at\\tfield ended_at\\tfield confirmed_at\\tfield proof\\tfield id\\tfield jti\\tfield fingerprint\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "adopt change"' -fka '(__jitid_ask adopted)'

# jitid adopt end
complete -c jitid -n '__jitid_at "adopt end" --proof' -l proof -x -d 'How it ended, for the audit log'
complete -c jitid -n '__jitid_at "adopt end"' -l field -r -fka 'ended\\tfield already\\tfield revoked\\tfield event\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "adopt end"' -fka '(__jitid_ask adopted)'

# jitid adopt list
complete -c jitid -n '__jitid_at "adopt list" --owner' -l owner -r -fka '(__jitid_ask delegators)' -d 'Only secrets of this owner'
complete -c jitid -n '__jitid_at "adopt list" --live' -l live -d 'Only secrets that may still work'
complete -c jitid -n '__jitid_at "adopt list" --limit -l' -l limit -s l -x -d 'Maximum number of rows'
complete -c jitid -n '__jitid_at "adopt list"' -l field -r -fka 'name\\tfield state\\tfield owner\\tfield owner_state\\tfield agent\\tfield place\\tfield purpose\\tfield sensitivity\\tfield target\\tfield reference\\tfield prefix\\tfield length\\tfield adopted_at\\tfield expires_at\\tfield ended_at\\tfield confirmed_at\\tfield proof\\tfield id\\tfield jti\\tfield fingerprint\\tfield' -d 'Print this field only; repeatable'

# jitid adopt probe
complete -c jitid -n '__jitid_at "adopt probe"' -l field -r -fka 'name\\tfield life\\tfield seen\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "adopt probe"' -fka '(__jitid_ask adopted)'

# jitid adopt show
complete -c jitid -n '__jitid_at "adopt show"' -l field -r -fka 'name\\tfield state\\tfield owner\\tfield owner_state\\tfield agent\\tfield place\\tfield purpose\\tfield sensitivity\\tfield target\\tfield reference\\tfield prefix\\tfield length\\tfield adopted_at\\tfield expires_at\\tfield ended_at\\tfield confirmed_at\\tfield proof\\tfield id\\tfield jti\\tfield fingerprint\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "adopt show"; and test $__jitid_count = 0' -fka '(__jitid_ask adopted)'

# jitid adopt suggest
complete -c jitid -n '__jitid_at "adopt suggest" --all' -l all -d 'All secrets that may still work'
complete -c jitid -n '__jitid_at "adopt suggest"' -l field -r -fka 'name\\tfield kind\\tfield why\\tfield configuration\\tfield policy\\tfield commands\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "adopt suggest"' -fka '(__jitid_ask adopted)'

# jitid serve
complete -c jitid -n '__jitid_at "serve" --bind' -l bind -x -d 'Listen on this address (default 127.0.0.1:8477 without --socket); beyond loopback, TLS is required'
complete -c jitid -n '__jitid_at "serve" --socket' -l socket -r -F -d 'Listen on a Unix socket; the kernel identifies callers'
complete -c jitid -n '__jitid_at "serve" --socket-mode' -l socket-mode -x -d 'Mode of the socket (default 0660)'
complete -c jitid -n '__jitid_at "serve" --tls-cert' -l tls-cert -r -F -d 'Server certificate with its chain (PEM)'
complete -c jitid -n '__jitid_at "serve" --tls-key' -l tls-key -r -F -d 'Private key (PEM), readable by its owner only'
complete -c jitid -n '__jitid_at "serve" --workers' -l workers -x -d 'Number of server processes (default 1)'
complete -c jitid -n '__jitid_at "serve" --public-url' -l public-url -x -d 'Address for clients, if it differs'
complete -c jitid -n '__jitid_at "serve" --log-format' -l log-format -r -fka 'json\\tlog-format text\\tlog-format none\\tlog-format' -d 'Log of requests: json (default), text or none'
complete -c jitid -n '__jitid_at "serve" --bootstrap' -l bootstrap -r -F -d 'Write a bootstrap access token to a new FILE, if there is no administrator yet'
complete -c jitid -n '__jitid_at "serve" --print-unit' -l print-unit -d 'Print a hardened systemd unit for this command, and exit'

# jitid access bootstrap
complete -c jitid -n '__jitid_at "access bootstrap"; and test $__jitid_count = 0' -F

# jitid access grant
complete -c jitid -n '__jitid_at "access grant"' -l role -r -fka 'issuer\\trole verifier\\trole responder\\trole sweeper\\trole auditor\\trole admin\\trole' -d 'issuer, verifier, responder, sweeper, auditor or admin; repeatable'
complete -c jitid -n '__jitid_at "access grant"' -l audience -x -d 'Audience of the tokens it sees; repeatable'
complete -c jitid -n '__jitid_at "access grant" --all-audiences' -l all-audiences -d 'Show it tokens for any audience'
complete -c jitid -n '__jitid_at "access grant" --ttl' -l ttl -x -d 'Lifetime (default: token 12h, key 30d)'
complete -c jitid -n '__jitid_at "access grant" --key' -l key -r -F -d 'Register the public key in FILE, without a token'
complete -c jitid -n '__jitid_at "access grant" --out -o' -l out -s o -r -F -d 'Write the access token to FILE, mode 0600'
complete -c jitid -n '__jitid_at "access grant"' -l field -r -fka 'token\\tfield id\\tfield name\\tfield roles\\tfield by\\tfield issued_at\\tfield expires_at\\tfield predecessor\\tfield event\\tfield audiences\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "access grant"; and test $__jitid_count = 0' -fka '(__jitid_ask delegators)'

# jitid access list
complete -c jitid -n '__jitid_at "access list" --all' -l all -d 'Include expired, rotated and revoked access'
complete -c jitid -n '__jitid_at "access list" --name' -l name -r -fka '(__jitid_ask delegators)' -d 'Only access of this person or service'
complete -c jitid -n '__jitid_at "access list" --limit -l' -l limit -s l -x -d 'Maximum number of rows'
complete -c jitid -n '__jitid_at "access list"' -l field -r -fka 'id\\tfield name\\tfield roles\\tfield state\\tfield by\\tfield issued_at\\tfield expires_at\\tfield ends_at\\tfield ended_at\\tfield predecessor\\tfield event\\tfield ended_event\\tfield audiences\\tfield subject\\tfield proved_at\\tfield holder\\tfield left\\tfield' -d 'Print this field only; repeatable'

# jitid access revoke
complete -c jitid -n '__jitid_at "access revoke" --reason' -l reason -x -d 'Reason, stored in the audit log'
complete -c jitid -n '__jitid_at "access revoke"' -l field -r -fka 'ended\\tfield event\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "access revoke"' -fka '(__jitid_ask access)'

# jitid access rotate
complete -c jitid -n '__jitid_at "access rotate" --ttl' -l ttl -x -d 'Lifetime (default: token 12h, key 30d)'
complete -c jitid -n '__jitid_at "access rotate" --overlap' -l overlap -x -d 'Overlap with the old token (default: none)'
complete -c jitid -n '__jitid_at "access rotate" --out -o' -l out -s o -r -F -d 'Write the access token to FILE, mode 0600'
complete -c jitid -n '__jitid_at "access rotate"' -l field -r -fka 'token\\tfield id\\tfield name\\tfield roles\\tfield by\\tfield issued_at\\tfield expires_at\\tfield predecessor\\tfield event\\tfield audiences\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "access rotate"; and test $__jitid_count = 0' -fka '(__jitid_ask access)'

# jitid keys algorithm
complete -c jitid -n '__jitid_at "keys algorithm"' -l field -r -fka 'audience\\tfield algorithm\\tfield origin\\tfield reason\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "keys algorithm"; and test $__jitid_count = 0' -fka 'ES256\\talg EdDSA\\talg RS256\\talg'

# jitid keys ca import
complete -c jitid -n '__jitid_at "keys ca import"' -l field -r -fka 'kid\\tfield retired\\tfield expires_at\\tfield event\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "keys ca import"; and test $__jitid_count = 0' -F

# jitid keys ca request
complete -c jitid -n '__jitid_at "keys ca request" --out -o' -l out -s o -r -F -d 'Write to FILE, readable by all (0644)'

# jitid keys export bundle
complete -c jitid -n '__jitid_at "keys export bundle" --out -o' -l out -s o -r -F -d 'Write to FILE, readable by all (0644)'
complete -c jitid -n '__jitid_at "keys export bundle" --format' -l format -r -fka 'spiffe\\tformat jwt\\tformat pem\\tformat json\\tformat' -d 'table, tsv, json, jsonl, csv'

# jitid keys export crl
complete -c jitid -n '__jitid_at "keys export crl" --lifetime' -l lifetime -x -d 'Validity of the list (default: 24h)'
complete -c jitid -n '__jitid_at "keys export crl" --out -o' -l out -s o -r -F -d 'Write to FILE, readable by all (0644)'
complete -c jitid -n '__jitid_at "keys export crl" --format' -l format -r -fka 'pem\\tformat der\\tformat' -d 'table, tsv, json, jsonl, csv'

# jitid keys export jwks
complete -c jitid -n '__jitid_at "keys export jwks" --algorithm' -l algorithm -r -fka 'ES256\\talgorithm EdDSA\\talgorithm RS256\\talgorithm' -d 'Only keys of this algorithm'
complete -c jitid -n '__jitid_at "keys export jwks" --out -o' -l out -s o -r -F -d 'Write to FILE, readable by all (0644)'
complete -c jitid -n '__jitid_at "keys export jwks" --format' -l format -r -fka 'json\\tformat' -d 'table, tsv, json, jsonl, csv'

# jitid keys export krl
complete -c jitid -n '__jitid_at "keys export krl" --out -o' -l out -s o -r -F -d 'Write to FILE, readable by all (0644)'

# jitid keys export ssh
complete -c jitid -n '__jitid_at "keys export ssh" --out -o' -l out -s o -r -F -d 'Write to FILE, readable by all (0644)'

# jitid keys list
complete -c jitid -n '__jitid_at "keys list"' -l field -r -fka 'kid\\tfield use\\tfield algorithm\\tfield state\\tfield created_at\\tfield retired_at\\tfield revoked_at\\tfield needed_until\\tfield machine\\tfield' -d 'Print this field only; repeatable'

# jitid keys revoke
complete -c jitid -n '__jitid_at "keys revoke" --reason' -l reason -x -d 'Reason, stored in the audit log'
complete -c jitid -n '__jitid_at "keys revoke" --dry-run -n' -l dry-run -s n -d 'Report the changes without making them'
complete -c jitid -n '__jitid_at "keys revoke" --max' -l max -x -d 'Refuse to revoke more than N without --yes'
complete -c jitid -n '__jitid_at "keys revoke" --yes -y' -l yes -s y -d 'Revoke any number without confirmation'
complete -c jitid -n '__jitid_at "keys revoke"' -l field -r -fka 'kid\\tfield ended\\tfield identities\\tfield successor\\tfield offline_until\\tfield event\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "keys revoke"; and test $__jitid_count = 0' -fka '(__jitid_ask keys)'

# jitid keys rotate
complete -c jitid -n '__jitid_at "keys rotate" --algorithm' -l algorithm -r -fka 'ES256\\talgorithm EdDSA\\talgorithm RS256\\talgorithm' -d 'EdDSA (default), ES256 or RS256'
complete -c jitid -n '__jitid_at "keys rotate" --use' -l use -r -fka 'jws\\tuse x509\\tuse ssh\\tuse' -d 'Use of the key: jws (default), x509 or ssh'
complete -c jitid -n '__jitid_at "keys rotate" --transit' -l transit -x -d 'Key of a transit engine; `none`: a file (default: as before)'
complete -c jitid -n '__jitid_at "keys rotate"' -l field -r -fka 'kid\\tfield use\\tfield algorithm\\tfield retired\\tfield event\\tfield' -d 'Print this field only; repeatable'

# jitid publish
complete -c jitid -n '__jitid_at "publish" --dry-run -n' -l dry-run -s n -d 'Report the changes without making them'
complete -c jitid -n '__jitid_at "publish"' -l field -r -fka 'file\\tfield state\\tfield bytes\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "publish"; and test $__jitid_count = 0' -fka '(__fish_complete_directories)'

# jitid ledger backup
complete -c jitid -n '__jitid_at "ledger backup" --keys' -l keys -d 'Include the private keys'
complete -c jitid -n '__jitid_at "ledger backup" --no-verify' -l no-verify -d 'Skip the verification; `ledger restore` verifies'
complete -c jitid -n '__jitid_at "ledger backup"' -l field -r -fka 'backup\\tfield ledger\\tfield events\\tfield head\\tfield made_at\\tfield size\\tfield keys\\tfield verified\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "ledger backup"; and test $__jitid_count = 0' -F

# jitid ledger check
complete -c jitid -n '__jitid_at "ledger check"' -l field -r -fka 'check\\tfield status\\tfield detail\\tfield repair\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "ledger check"; and test $__jitid_count = 0' -F

# jitid ledger copy
complete -c jitid -n '__jitid_at "ledger copy" --to' -l to -r -fka '(__fish_complete_directories)' -d 'Place of the copy: a new folder, or postgresql://…'
complete -c jitid -n '__jitid_at "ledger copy" --issuer' -l issuer -r -fka '(__fish_complete_directories)' -d 'Issuer of new credentials of the copy (default: unchanged)'
complete -c jitid -n '__jitid_at "ledger copy" --keys' -l keys -d 'Copy the private keys too (mode 0600)'
complete -c jitid -n '__jitid_at "ledger copy"' -l field -r -fka 'to\\tfield events\\tfield credentials\\tfield rows\\tfield head\\tfield event\\tfield resumed\\tfield' -d 'Print this field only; repeatable'

# jitid ledger issuer
complete -c jitid -n '__jitid_at "ledger issuer" --yes -y' -l yes -s y -d 'Change it despite live credentials'
complete -c jitid -n '__jitid_at "ledger issuer"' -l field -r -fka 'issuer\\tfield state\\tfield until\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "ledger issuer"; and test $__jitid_count = 0' -fka 'show\\taction set\\taction'
complete -c jitid -n '__jitid_at "ledger issuer"; and test $__jitid_count = 1' -fka '(__fish_complete_directories)'

# jitid ledger prune
complete -c jitid -n '__jitid_at "ledger prune" --rows-after' -l rows-after -x -d 'Retention of ended credentials (default: 30d)'
complete -c jitid -n '__jitid_at "ledger prune" --evidence-after' -l evidence-after -x -d 'Retention of audit events (default: 400d)'
complete -c jitid -n '__jitid_at "ledger prune" --export' -l export -r -fka '(__fish_complete_directories)' -d 'Export older audit events to DIR, and cut them'
complete -c jitid -n '__jitid_at "ledger prune" --dry-run -n' -l dry-run -s n -d 'Report the changes without making them'
complete -c jitid -n '__jitid_at "ledger prune"' -l field -r -fka 'before\\tfield identities\\tfield credentials\\tfield rows\\tfield event\\tfield left\\tfield dry_run\\tfield evidence_before\\tfield exported\\tfield kept\\tfield cut_event\\tfield file\\tfield' -d 'Print this field only; repeatable'

# jitid ledger restore
complete -c jitid -n '__jitid_at "ledger restore" --replace' -l replace -d 'Move the existing ledger aside, and keep it'
complete -c jitid -n '__jitid_at "ledger restore" --keep-live' -l keep-live -d 'Assert no later revocations; revoke nothing'
complete -c jitid -n '__jitid_at "ledger restore" --expect-head' -l expect-head -r -F -d 'File with a signed head from earlier'
complete -c jitid -n '__jitid_at "ledger restore"' -l field -r -fka 'path\\tfield ledger\\tfield made_at\\tfield events\\tfield lost\\tfield kept\\tfield ended\\tfield tasks\\tfield access\\tfield revoked\\tfield retired\\tfield trusted\\tfield replaced\\tfield event\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "ledger restore"; and test $__jitid_count = 0' -F

# jitid ledger vacuum
complete -c jitid -n '__jitid_at "ledger vacuum"' -l field -r -fka 'before\\tfield after\\tfield saved\\tfield log\\tfield' -d 'Print this field only; repeatable'

# jitid audit export
complete -c jitid -n '__jitid_at "audit export" --out -o' -l out -s o -r -F -d 'Write to FILE, readable by its owner (0600)'
complete -c jitid -n '__jitid_at "audit export" --format' -l format -r -fka 'jsonl\\tformat syslog\\tformat' -d 'table, tsv, json, jsonl, csv'

# jitid audit head
complete -c jitid -n '__jitid_at "audit head" --out -o' -l out -s o -r -F -d 'Write to FILE, readable by its owner (0600)'
complete -c jitid -n '__jitid_at "audit head"' -l field -r -fka 'head\\tfield' -d 'Print this field only; repeatable'

# jitid audit log
complete -c jitid -n '__jitid_at "audit log" --operation' -l operation -x -d 'Filter by operation, such as denial'
complete -c jitid -n '__jitid_at "audit log" --task -t' -l task -s t -r -fka '(__jitid_ask tasks)' -d 'Filter by task'
complete -c jitid -n '__jitid_at "audit log" --agent -a' -l agent -s a -r -fka '(__jitid_ask agents)' -d 'Filter by agent'
complete -c jitid -n '__jitid_at "audit log" --delegator -d' -l delegator -s d -r -fka '(__jitid_ask delegators)' -d 'Filter by root delegator, or agent:NAME'
complete -c jitid -n '__jitid_at "audit log" --by' -l by -x -d 'Filter by login, caller or identity (jid_)'
complete -c jitid -n '__jitid_at "audit log" --rule' -l rule -x -d 'Filter by policy rule'
complete -c jitid -n '__jitid_at "audit log" --sweep' -l sweep -x -d 'Filter by sweep'
complete -c jitid -n '__jitid_at "audit log" --trace' -l trace -x -d 'Filter by trace id or traceparent'
complete -c jitid -n '__jitid_at "audit log" --since' -l since -x -d 'Start at TIME, or a duration ago'
complete -c jitid -n '__jitid_at "audit log" --until' -l until -x -d 'End before TIME, or a duration ago'
complete -c jitid -n '__jitid_at "audit log" --event' -l event -x -d 'Show only this event'
complete -c jitid -n '__jitid_at "audit log" --at' -l at -x -d 'Actions near TIME, or a duration ago'
complete -c jitid -n '__jitid_at "audit log" --within' -l within -x -d 'Maximum distance from --at (default: 1m)'
complete -c jitid -n '__jitid_at "audit log" --action' -l action -x -d 'Filter actions by name; \'*\': all'
complete -c jitid -n '__jitid_at "audit log" --resource' -l resource -x -d 'Filter actions by exact resource'
complete -c jitid -n '__jitid_at "audit log" --after' -l after -x -d 'Start after event N'
complete -c jitid -n '__jitid_at "audit log" --members' -l members -d 'Add the credentials of each event'
complete -c jitid -n '__jitid_at "audit log" --limit -l' -l limit -s l -x -d 'Maximum number of rows'
complete -c jitid -n '__jitid_at "audit log" --tail' -l tail -x -d 'Show only the newest N events'
complete -c jitid -n '__jitid_at "audit log" --follow -f' -l follow -s f -d 'Continue with new events'
complete -c jitid -n '__jitid_at "audit log"' -l field -r -fka 'seq\\tfield at\\tfield op\\tfield by\\tfield task\\tfield agent\\tfield delegator\\tfield count\\tfield rules\\tfield reason\\tfield hash\\tfield members\\tfield decision\\tfield chain\\tfield purpose\\tfield action\\tfield resource\\tfield scope\\tfield id\\tfield jti\\tfield event\\tfield' -d 'Print this field only; repeatable'

# jitid audit verify
complete -c jitid -n '__jitid_at "audit verify" --expect-head' -l expect-head -r -F -d 'File with a signed head from earlier'
complete -c jitid -n '__jitid_at "audit verify" --file' -l file -r -F -d 'Verify this exported log instead'
complete -c jitid -n '__jitid_at "audit verify"' -l field -r -fka 'events\\tfield members\\tfield head\\tfield' -d 'Print this field only; repeatable'

# jitid config get
complete -c jitid -n '__jitid_at "config get"' -l field -r -fka 'key\\tfield value\\tfield origin\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "config get"; and test $__jitid_count = 0' -fka 'ledger\\tkey remote\\tkey remote_ca\\tkey remote_credential_file\\tkey home\\tkey issuer\\tkey trust_domain\\tkey audience\\tkey task\\tkey agent\\tkey purpose\\tkey sensitivity\\tkey ttl\\tkey task_deadline\\tkey overlap\\tkey max\\tkey max_issue\\tkey sweep_standing_low\\tkey sweep_standing_moderate\\tkey sweep_standing_high\\tkey sweep_standing_critical\\tkey sweep_duplicates\\tkey sweep_identities\\tkey sweep_agents_per_person\\tkey sweep_pending\\tkey sweep_key_age\\tkey sweep_asserted\\tkey sweep_unused\\tkey policy\\tkey delegators\\tkey timezone\\tkey approval_lifetime\\tkey approval_patience\\tkey login_lifetime\\tkey recurs_tasks\\tkey recurs_days\\tkey detail_types\\tkey publish_url\\tkey publish_lifetime\\tkey retain_rows\\tkey retain_evidence\\tkey timeout\\tkey serve_bind\\tkey serve_socket\\tkey serve_socket_mode\\tkey serve_tls_cert\\tkey serve_tls_key\\tkey serve_public_url\\tkey serve_workers\\tkey serve_log\\tkey serve_connections\\tkey serve_requests\\tkey serve_threads\\tkey serve_rate\\tkey serve_body\\tkey serve_time\\tkey serve_long_time\\tkey serve_stop\\tkey serve_hung\\tkey format\\tkey color\\tkey'

# jitid config path
complete -c jitid -n '__jitid_at "config path"' -l field -r -fka 'path\\tfield' -d 'Print this field only; repeatable'

# jitid config set
complete -c jitid -n '__jitid_at "config set"; and test $__jitid_count = 0' -fka 'ledger\\tkey remote\\tkey remote_ca\\tkey remote_credential_file\\tkey home\\tkey issuer\\tkey trust_domain\\tkey audience\\tkey task\\tkey agent\\tkey purpose\\tkey sensitivity\\tkey ttl\\tkey task_deadline\\tkey overlap\\tkey max\\tkey max_issue\\tkey sweep_standing_low\\tkey sweep_standing_moderate\\tkey sweep_standing_high\\tkey sweep_standing_critical\\tkey sweep_duplicates\\tkey sweep_identities\\tkey sweep_agents_per_person\\tkey sweep_pending\\tkey sweep_key_age\\tkey sweep_asserted\\tkey sweep_unused\\tkey policy\\tkey delegators\\tkey timezone\\tkey approval_lifetime\\tkey approval_patience\\tkey login_lifetime\\tkey recurs_tasks\\tkey recurs_days\\tkey detail_types\\tkey publish_url\\tkey publish_lifetime\\tkey retain_rows\\tkey retain_evidence\\tkey timeout\\tkey serve_bind\\tkey serve_socket\\tkey serve_socket_mode\\tkey serve_tls_cert\\tkey serve_tls_key\\tkey serve_public_url\\tkey serve_workers\\tkey serve_log\\tkey serve_connections\\tkey serve_requests\\tkey serve_threads\\tkey serve_rate\\tkey serve_body\\tkey serve_time\\tkey serve_long_time\\tkey serve_stop\\tkey serve_hung\\tkey format\\tkey color\\tkey'
complete -c jitid -n '__jitid_at "config set"; and test $__jitid_count = 1' -fka '(__jitid_setting)'

# jitid config show
complete -c jitid -n '__jitid_at "config show" --origin' -l origin -d 'Show the origin of each value'
complete -c jitid -n '__jitid_at "config show"' -l field -r -fka 'key\\tfield value\\tfield origin\\tfield' -d 'Print this field only; repeatable'

# jitid config unset
complete -c jitid -n '__jitid_at "config unset"; and test $__jitid_count = 0' -fka 'ledger\\tkey remote\\tkey remote_ca\\tkey remote_credential_file\\tkey home\\tkey issuer\\tkey trust_domain\\tkey audience\\tkey task\\tkey agent\\tkey purpose\\tkey sensitivity\\tkey ttl\\tkey task_deadline\\tkey overlap\\tkey max\\tkey max_issue\\tkey sweep_standing_low\\tkey sweep_standing_moderate\\tkey sweep_standing_high\\tkey sweep_standing_critical\\tkey sweep_duplicates\\tkey sweep_identities\\tkey sweep_agents_per_person\\tkey sweep_pending\\tkey sweep_key_age\\tkey sweep_asserted\\tkey sweep_unused\\tkey policy\\tkey delegators\\tkey timezone\\tkey approval_lifetime\\tkey approval_patience\\tkey login_lifetime\\tkey recurs_tasks\\tkey recurs_days\\tkey detail_types\\tkey publish_url\\tkey publish_lifetime\\tkey retain_rows\\tkey retain_evidence\\tkey timeout\\tkey serve_bind\\tkey serve_socket\\tkey serve_socket_mode\\tkey serve_tls_cert\\tkey serve_tls_key\\tkey serve_public_url\\tkey serve_workers\\tkey serve_log\\tkey serve_connections\\tkey serve_requests\\tkey serve_threads\\tkey serve_rate\\tkey serve_body\\tkey serve_time\\tkey serve_long_time\\tkey serve_stop\\tkey serve_hung\\tkey format\\tkey color\\tkey'

# jitid helper aws
complete -c jitid -n '__jitid_at "helper aws" --template' -l template -x -d 'Template, or TARGET/TEMPLATE'
complete -c jitid -n '__jitid_at "helper aws" --task -t' -l task -s t -r -fka '(__jitid_ask tasks)' -d 'Task of the identity'
complete -c jitid -n '__jitid_at "helper aws" --delegator -d' -l delegator -s d -r -fka '(__jitid_ask delegators)' -d 'Delegator: NAME, user:NAME or system:NAME'
complete -c jitid -n '__jitid_at "helper aws" --delegator-token-file' -l delegator-token-file -r -F -d 'ID token of the delegator; `-` for stdin'
complete -c jitid -n '__jitid_at "helper aws" --agent -a' -l agent -s a -r -fka '(__jitid_ask agents)' -d 'Agent (default: agent)'
complete -c jitid -n '__jitid_at "helper aws"' -l scope -s s -x -d 'Scope; repeatable'
complete -c jitid -n '__jitid_at "helper aws" --ttl' -l ttl -x -d 'Lifetime (default: 15m)'
complete -c jitid -n '__jitid_at "helper aws" --parent-file' -l parent-file -r -F -d 'Token of the parent identity; `-` for stdin'

# jitid helper docker
complete -c jitid -n '__jitid_at "helper docker" --task -t' -l task -s t -r -fka '(__jitid_ask tasks)' -d 'Task of the identity'
complete -c jitid -n '__jitid_at "helper docker" --delegator -d' -l delegator -s d -r -fka '(__jitid_ask delegators)' -d 'Delegator: NAME, user:NAME or system:NAME'
complete -c jitid -n '__jitid_at "helper docker" --delegator-token-file' -l delegator-token-file -r -F -d 'ID token of the delegator; `-` for stdin'
complete -c jitid -n '__jitid_at "helper docker" --agent -a' -l agent -s a -r -fka '(__jitid_ask agents)' -d 'Agent (default: agent)'
complete -c jitid -n '__jitid_at "helper docker" --kind -k' -l kind -s k -r -fka '(__jitid_ask kinds)' -d 'Kind (default: jwt)'
complete -c jitid -n '__jitid_at "helper docker"' -l scope -s s -x -d 'Scope; repeatable'
complete -c jitid -n '__jitid_at "helper docker"' -l audience -x -d 'Service; repeatable'
complete -c jitid -n '__jitid_at "helper docker" --ttl' -l ttl -x -d 'Lifetime (default: 15m)'
complete -c jitid -n '__jitid_at "helper docker" --parent-file' -l parent-file -r -F -d 'Token of the parent identity; `-` for stdin'
complete -c jitid -n '__jitid_at "helper docker"; and test $__jitid_count = 0' -fka 'get\\toperation store\\toperation erase\\toperation list\\toperation'

# jitid helper git
complete -c jitid -n '__jitid_at "helper git" --task -t' -l task -s t -r -fka '(__jitid_ask tasks)' -d 'Task of the identity'
complete -c jitid -n '__jitid_at "helper git" --delegator -d' -l delegator -s d -r -fka '(__jitid_ask delegators)' -d 'Delegator: NAME, user:NAME or system:NAME'
complete -c jitid -n '__jitid_at "helper git" --delegator-token-file' -l delegator-token-file -r -F -d 'ID token of the delegator; `-` for stdin'
complete -c jitid -n '__jitid_at "helper git" --agent -a' -l agent -s a -r -fka '(__jitid_ask agents)' -d 'Agent (default: agent)'
complete -c jitid -n '__jitid_at "helper git" --kind -k' -l kind -s k -r -fka '(__jitid_ask kinds)' -d 'Kind (default: jwt)'
complete -c jitid -n '__jitid_at "helper git"' -l scope -s s -x -d 'Scope; repeatable'
complete -c jitid -n '__jitid_at "helper git"' -l audience -x -d 'Service; repeatable'
complete -c jitid -n '__jitid_at "helper git" --ttl' -l ttl -x -d 'Lifetime (default: 15m)'
complete -c jitid -n '__jitid_at "helper git" --parent-file' -l parent-file -r -F -d 'Token of the parent identity; `-` for stdin'
complete -c jitid -n '__jitid_at "helper git"; and test $__jitid_count = 0' -fka 'get\\toperation store\\toperation erase\\toperation'

# jitid helper headers
complete -c jitid -n '__jitid_at "helper headers"' -l audience -x -d 'Service; repeatable'
complete -c jitid -n '__jitid_at "helper headers"' -l may-audience -x -d 'Service to obtain tokens for; repeatable'
complete -c jitid -n '__jitid_at "helper headers" --task -t' -l task -s t -r -fka '(__jitid_ask tasks)' -d 'Task of the identity'
complete -c jitid -n '__jitid_at "helper headers" --delegator -d' -l delegator -s d -r -fka '(__jitid_ask delegators)' -d 'Delegator: NAME, user:NAME or system:NAME'
complete -c jitid -n '__jitid_at "helper headers" --delegator-token-file' -l delegator-token-file -r -F -d 'ID token of the delegator; `-` for stdin'
complete -c jitid -n '__jitid_at "helper headers" --agent -a' -l agent -s a -r -fka '(__jitid_ask agents)' -d 'Agent (default: agent)'
complete -c jitid -n '__jitid_at "helper headers" --kind -k' -l kind -s k -r -fka 'jwt\\tkind opaque\\tkind jwt-svid\\tkind x509-svid\\tkind ssh-cert\\tkind aws-sts\\tkind postgres-role\\tkind openbao-lease\\tkind exec\\tkind adopted\\tkind' -d 'jwt (default), opaque or jwt-svid'
complete -c jitid -n '__jitid_at "helper headers"' -l scope -s s -x -d 'Scope; repeatable'
complete -c jitid -n '__jitid_at "helper headers" --ttl' -l ttl -x -d 'Lifetime (default: 15m)'
complete -c jitid -n '__jitid_at "helper headers" --parent-file' -l parent-file -r -F -d 'Token of the parent identity; `-` for stdin'

# jitid helper kube
complete -c jitid -n '__jitid_at "helper kube" --task -t' -l task -s t -r -fka '(__jitid_ask tasks)' -d 'Task of the identity'
complete -c jitid -n '__jitid_at "helper kube" --delegator -d' -l delegator -s d -r -fka '(__jitid_ask delegators)' -d 'Delegator: NAME, user:NAME or system:NAME'
complete -c jitid -n '__jitid_at "helper kube" --delegator-token-file' -l delegator-token-file -r -F -d 'ID token of the delegator; `-` for stdin'
complete -c jitid -n '__jitid_at "helper kube" --agent -a' -l agent -s a -r -fka '(__jitid_ask agents)' -d 'Agent (default: agent)'
complete -c jitid -n '__jitid_at "helper kube" --kind -k' -l kind -s k -r -fka '(__jitid_ask kinds)' -d 'Kind (default: jwt)'
complete -c jitid -n '__jitid_at "helper kube"' -l scope -s s -x -d 'Scope; repeatable'
complete -c jitid -n '__jitid_at "helper kube"' -l audience -x -d 'Service; repeatable'
complete -c jitid -n '__jitid_at "helper kube" --ttl' -l ttl -x -d 'Lifetime (default: 15m)'
complete -c jitid -n '__jitid_at "helper kube" --parent-file' -l parent-file -r -F -d 'Token of the parent identity; `-` for stdin'

# jitid helper pgpass
complete -c jitid -n '__jitid_at "helper pgpass" --template' -l template -x -d 'Template, or TARGET/TEMPLATE'
complete -c jitid -n '__jitid_at "helper pgpass" --service' -l service -x -d 'Write a service file with the section NAME'
complete -c jitid -n '__jitid_at "helper pgpass" --task -t' -l task -s t -r -fka '(__jitid_ask tasks)' -d 'Task of the identity'
complete -c jitid -n '__jitid_at "helper pgpass" --delegator -d' -l delegator -s d -r -fka '(__jitid_ask delegators)' -d 'Delegator: NAME, user:NAME or system:NAME'
complete -c jitid -n '__jitid_at "helper pgpass" --delegator-token-file' -l delegator-token-file -r -F -d 'ID token of the delegator; `-` for stdin'
complete -c jitid -n '__jitid_at "helper pgpass" --agent -a' -l agent -s a -r -fka '(__jitid_ask agents)' -d 'Agent (default: agent)'
complete -c jitid -n '__jitid_at "helper pgpass"' -l scope -s s -x -d 'Scope; repeatable'
complete -c jitid -n '__jitid_at "helper pgpass" --ttl' -l ttl -x -d 'Lifetime (default: 15m)'
complete -c jitid -n '__jitid_at "helper pgpass" --parent-file' -l parent-file -r -F -d 'Token of the parent identity; `-` for stdin'
complete -c jitid -n '__jitid_at "helper pgpass" --out -o' -l out -s o -r -F -d 'Write to FILE, readable by its owner (0600)'

# jitid helper session start
complete -c jitid -n '__jitid_at "helper session start" --client' -l client -r -fka 'claude-code\\tclient codex\\tclient gemini\\tclient copilot\\tclient cursor\\tclient opencode\\tclient' -d 'The client: claude-code, codex, …'
complete -c jitid -n '__jitid_at "helper session start" --task -t' -l task -s t -r -fka '(__jitid_ask tasks)' -d 'Task of the identity'
complete -c jitid -n '__jitid_at "helper session start" --delegator -d' -l delegator -s d -r -fka '(__jitid_ask delegators)' -d 'Delegator: NAME, user:NAME or system:NAME'
complete -c jitid -n '__jitid_at "helper session start" --delegator-token-file' -l delegator-token-file -r -F -d 'ID token of the delegator; `-` for stdin'
complete -c jitid -n '__jitid_at "helper session start" --agent -a' -l agent -s a -r -fka '(__jitid_ask agents)' -d 'Agent (default: the client\'s name)'
complete -c jitid -n '__jitid_at "helper session start"' -l scope -s s -x -d 'Scope; repeatable'
complete -c jitid -n '__jitid_at "helper session start"' -l audience -x -d 'Service; repeatable'
complete -c jitid -n '__jitid_at "helper session start"' -l may-audience -x -d 'Service to obtain tokens for; repeatable'
complete -c jitid -n '__jitid_at "helper session start"' -l may-kind -r -fka 'jwt\\tmay-kind opaque\\tmay-kind jwt-svid\\tmay-kind x509-svid\\tmay-kind ssh-cert\\tmay-kind aws-sts\\tmay-kind postgres-role\\tmay-kind openbao-lease\\tmay-kind exec\\tmay-kind adopted\\tmay-kind' -d 'Kind it may obtain'
complete -c jitid -n '__jitid_at "helper session start" --ttl' -l ttl -x -d 'Lifetime (default: 15m)'
complete -c jitid -n '__jitid_at "helper session start" --parent-file' -l parent-file -r -F -d 'Token of the parent identity; `-` for stdin'

# jitid helper session stop
complete -c jitid -n '__jitid_at "helper session stop" --client' -l client -r -fka 'claude-code\\tclient codex\\tclient gemini\\tclient copilot\\tclient cursor\\tclient opencode\\tclient' -d 'The client: claude-code, codex, …'

# jitid helper ssh
complete -c jitid -n '__jitid_at "helper ssh" --task -t' -l task -s t -r -fka '(__jitid_ask tasks)' -d 'Task of the identity'
complete -c jitid -n '__jitid_at "helper ssh" --delegator -d' -l delegator -s d -r -fka '(__jitid_ask delegators)' -d 'Delegator: NAME, user:NAME or system:NAME'
complete -c jitid -n '__jitid_at "helper ssh" --delegator-token-file' -l delegator-token-file -r -F -d 'ID token of the delegator; `-` for stdin'
complete -c jitid -n '__jitid_at "helper ssh" --agent -a' -l agent -s a -r -fka '(__jitid_ask agents)' -d 'Agent (default: agent)'
complete -c jitid -n '__jitid_at "helper ssh" --kind -k' -l kind -s k -r -fka 'jwt\\tkind opaque\\tkind jwt-svid\\tkind x509-svid\\tkind ssh-cert\\tkind aws-sts\\tkind postgres-role\\tkind openbao-lease\\tkind exec\\tkind adopted\\tkind' -d 'ssh-cert (default) or ssh-cert:TEMPLATE'
complete -c jitid -n '__jitid_at "helper ssh"' -l scope -s s -x -d 'Scope; repeatable'
complete -c jitid -n '__jitid_at "helper ssh" --ttl' -l ttl -x -d 'Lifetime (default: 15m)'
complete -c jitid -n '__jitid_at "helper ssh" --parent-file' -l parent-file -r -F -d 'Token of the parent identity; `-` for stdin'

# jitid helper token
complete -c jitid -n '__jitid_at "helper token"' -l audience -x -d 'Service; repeatable'
complete -c jitid -n '__jitid_at "helper token"' -l may-audience -x -d 'Service to obtain tokens for; repeatable'
complete -c jitid -n '__jitid_at "helper token" --task -t' -l task -s t -r -fka '(__jitid_ask tasks)' -d 'Task of the identity'
complete -c jitid -n '__jitid_at "helper token" --delegator -d' -l delegator -s d -r -fka '(__jitid_ask delegators)' -d 'Delegator: NAME, user:NAME or system:NAME'
complete -c jitid -n '__jitid_at "helper token" --delegator-token-file' -l delegator-token-file -r -F -d 'ID token of the delegator; `-` for stdin'
complete -c jitid -n '__jitid_at "helper token" --agent -a' -l agent -s a -r -fka '(__jitid_ask agents)' -d 'Agent (default: agent)'
complete -c jitid -n '__jitid_at "helper token" --kind -k' -l kind -s k -r -fka 'jwt\\tkind opaque\\tkind jwt-svid\\tkind x509-svid\\tkind ssh-cert\\tkind aws-sts\\tkind postgres-role\\tkind openbao-lease\\tkind exec\\tkind adopted\\tkind' -d 'jwt (default), opaque or jwt-svid'
complete -c jitid -n '__jitid_at "helper token"' -l scope -s s -x -d 'Scope; repeatable'
complete -c jitid -n '__jitid_at "helper token" --ttl' -l ttl -x -d 'Lifetime (default: 15m)'
complete -c jitid -n '__jitid_at "helper token" --parent-file' -l parent-file -r -F -d 'Token of the parent identity; `-` for stdin'

# jitid mcp
complete -c jitid -n '__jitid_at "mcp" --token-file' -l token-file -r -F -d 'File with the agent\'s own token, read at each call'
complete -c jitid -n '__jitid_at "mcp" --most' -l most -x -d 'Maximum number of identities at a time (default 100)'
complete -c jitid -n '__jitid_at "mcp" --rate' -l rate -x -d 'Ledger writes a second (default 5); 10 times as many at once'
complete -c jitid -n '__jitid_at "mcp" --keep' -l keep -d 'Do not revoke identities at the end'
complete -c jitid -n '__jitid_at "mcp" --format' -l format -r -fka 'json\\tformat' -d 'table, tsv, json, jsonl, csv'

# jitid federate
complete -c jitid -n '__jitid_at "federate" --check' -l check -r -F -d 'Verify this token as the vendor would (`-`: stdin)'
complete -c jitid -n '__jitid_at "federate" --delegator -d' -l delegator -s d -r -fka '(__jitid_ask delegators)' -d 'The delegator in the rule for `sub`'
complete -c jitid -n '__jitid_at "federate" --agent -a' -l agent -s a -r -fka '(__jitid_ask agents)' -d 'The agent in the rule for `sub`'
complete -c jitid -n '__jitid_at "federate"' -l field -r -fka 'name\\tfield vendor\\tfield issuer\\tfield audience\\tfield algorithm\\tfield jwks_uri\\tfield subject\\tfield template\\tfield claims\\tfield required\\tfield token_lifetime\\tfield exchanged_lifetime\\tfield missing\\tfield settings\\tfield variables\\tfield hidden\\tfield warnings\\tfield jwks\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "federate"; and test $__jitid_count = 0' -fka 'anthropic\\tname openai\\tname google\\tname azure\\tname aws\\tname vault\\tname'

# jitid schedule cron
complete -c jitid -n '__jitid_at "schedule cron" --every' -l every -x -d 'Interval (default: 10m)'

# jitid schedule systemd
complete -c jitid -n '__jitid_at "schedule systemd" --every' -l every -x -d 'Interval (default: 10m)'
complete -c jitid -n '__jitid_at "schedule systemd" --name' -l name -x -d 'Name of the units (default: jitid-sweep)'
complete -c jitid -n '__jitid_at "schedule systemd" --out -o' -l out -s o -r -fka '(__fish_complete_directories)' -d 'Write both units to DIR instead of printing'

# jitid example
complete -c jitid -n '__jitid_at "example"' -l field -r -fka 'example\\tfield about\\tfield' -d 'Print this field only; repeatable'
complete -c jitid -n '__jitid_at "example"; and test $__jitid_count = 0' -fka 'verifier.py\\tname asgi_guard.py\\tname flask_guard.py\\tname prometheus-rules.yml\\tname slack.sh\\tname webhook.sh\\tname systemd.sh\\tname github-action.yml\\tname github-workflow.yml\\tname gitlab-ci.yml\\tname Containerfile\\tname'

# jitid completion install
complete -c jitid -n '__jitid_at "completion install"' -l shell -r -fka 'bash\\tshell zsh\\tshell fish\\tshell' -d 'bash, zsh or fish; repeatable (default: installed shells)'
complete -c jitid -n '__jitid_at "completion install"' -l field -r -fka 'for\\tfield path\\tfield state\\tfield' -d 'Print this field only; repeatable'

# jitid completion show
complete -c jitid -n '__jitid_at "completion show"; and test $__jitid_count = 0' -fka 'bash\\tshell zsh\\tshell fish\\tshell'

# jitid help

# jitid version
complete -c jitid -n '__jitid_at "version"' -l field -r -fka 'version\\tfield python\\tfield' -d 'Print this field only; repeatable'
