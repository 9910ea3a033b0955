#!/bin/sh
# Runs the bridge; starts it again when it ends with 75, which is how it answers the request `restart`.
set -u
cd "$(dirname "$0")/.."
while :; do
    .venv/bin/sms-bridge run "$@"
    code=$?
    [ $code -eq 75 ] || exit $code
done
