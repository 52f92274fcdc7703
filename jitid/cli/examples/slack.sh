#!/bin/sh
# Post the open findings of a sweep to Slack. Run it from cron in place of `jitid sweep`.
# The address of the webhook is a secret: keep it in a file of mode 0600 with this line:
#   url = "https://hooks.slack.com/services/..."
set -eu
webhook=${1:-"$HOME/.config/jitid/slack.curl"}

status=0
findings=$(jitid --quiet --no-input sweep --json) || status=$?
case $status in
0 | 10 | 11) ;;
*) exit "$status" ;; # jitid has printed the error
esac
[ "$status" = 0 ] && exit 0

# Slack reads `&`, `<` and `>` as markup: a finding may contain text of others, such as the name of a source.
printf '%s' "$findings" | jq '
    def plain: gsub("&"; "&amp;") | gsub("<"; "&lt;") | gsub(">"; "&gt;");
    [.findings[] | select(.state == "open" and .severity != "info" and .severity != "low")] as $open
    | [.coverage[] | select(.complete | not)] as $missed
    | {text: ("jitid: \($open | length) open finding\(if ($open | length) == 1 then "" else "s" end)"
        + (if $missed == [] then "" else ", *incomplete*: \($missed | map(.rule) | join(", "))" end) + "\n"
        + ($open[:20]
          | map("*\(.severity)* \(.rule): \(.summary | plain)" + (if .remedy then "\n`\(.remedy | plain)`" else "" end))
          | join("\n")))}' |
    curl --silent --show-error --fail --max-time 20 --config "$webhook" \
        --header 'Content-Type: application/json' --data @- >/dev/null || {
    echo "slack.sh: the findings could not be posted" >&2
    exit 5 # as of a storage that cannot be reached: the statuses of curl have other meanings in jitid
}
exit "$status"
