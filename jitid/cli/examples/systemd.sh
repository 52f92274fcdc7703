#!/bin/sh
# Install the units of an authority and of its sweep, as root, on the machine of the ledger.
# Both verbs print hardened units for this installation, with its paths and its user.
set -eu
units=${1:-/etc/systemd/system}
ledger=${2:-/var/lib/jitid}

# The unit runs as the owner of the ledger. It appears only when it is whole.
jitid --ledger "$ledger" serve --socket /run/jitid/authority.sock --print-unit >"$units/jitid.service.new"
mv "$units/jitid.service.new" "$units/jitid.service"
jitid --ledger "$ledger" schedule systemd --every 15m --out "$units"
if [ "$units" = /etc/systemd/system ]; then
    systemctl daemon-reload
    systemctl enable --now jitid.service jitid-sweep.timer
fi
