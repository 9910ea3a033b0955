#!/bin/sh
# The checks that need no running, fastest first. Stops at the first that fails.
set -eu
cd "$(dirname "$0")/.."
step() { printf '== %s\n' "$1"; }

step "ruff"
.venv/bin/ruff check hardware sms_bridge tests bench
step "import-linter"
.venv/bin/lint-imports --no-cache
step "mypy"
.venv/bin/mypy
