#!/bin/sh
# Post each open finding of a sweep to a webhook, as one JSON object with the host's name, unless its severity is info;
# and each part that was not examined, as an object with `coverage`.
# The address and its token are secrets: keep them in a file of mode 0600:
#   url = "https://soc.example/hooks/jitid"
#   header = "Authorization: Bearer ..."
set -eu
webhook=${1:-"$HOME/.config/jitid/webhook.curl"}

status=0
findings=$(jitid --quiet --no-input sweep --format jsonl) || status=$?
case $status in
0 | 10 | 11) ;;
*) exit "$status" ;;
esac

printf '%s\n' "$findings" |
    jq --compact-output --arg host "$(uname -n)" '
        select((.state? == "open" and .severity != "info") or .coverage?.complete == false) + {host: $host}' |
    while IFS= read -r finding; do
        printf '%s' "$finding" |
            curl --silent --show-error --fail --max-time 20 --config "$webhook" \
                --header 'Content-Type: application/json' --data @- >/dev/null || exit 5
    done || {
    echo "webhook.sh: a finding could not be posted" >&2
    exit 5 # as of a storage that cannot be reached: the statuses of curl have other meanings in jitid
}
exit "$status"
