#!/bin/sh
# Writes the pages that are made from the code. Tests fail while they differ from it.
set -eu
cd "$(dirname "$0")/.."
python=.venv/bin/python
export PYTHONPATH="$PWD"
$python -m sms_bridge.payloads.published docs
$python -m sms_bridge.config.reference >docs/reference.md
$python -m sms_bridge.web.openapi docs/openapi.json
