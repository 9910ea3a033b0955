#!/bin/sh
# The app's options and Home Assistant's broker become the bridge's configuration; then the bridge runs, again when it asks
# for a restart. usage: run.sh run|health
set -eu
data=${SMS_BRIDGE_DATA:-/data}
config=${SMS_BRIDGE_CONFIG:-/config/sms-bridge.yaml}
here=$(dirname "$0")

if [ "${1:-run}" = health ]; then
    # shellcheck disable=SC1091 # written by configure.py
    . "$data/broker.env"
    exec sms-bridge health --config "$config"
fi

# tini -g tells the bridge to end as well; this shell waits for it.
trap : TERM INT
while :; do
    python "$here/configure.py" "$data" "$config"
    # shellcheck disable=SC1091
    . "$data/broker.env"
    code=0
    sms-bridge run --config "$config" --data "$data" || code=$?
    [ $code -eq 75 ] || exit $code
done
