#!/bin/sh
# Puts Home Assistant itself into .venv-ha, for `make test-ha`: the newest release that the newest Python here may run, or
# HA=<version>. From 3.12 on; HA_PYTHON names another interpreter. Its native parts come as wheels: nothing is compiled.
set -eu
cd "$(dirname "$0")/.."
venv=.venv-ha

say() { printf 'setup: %s\n' "$*"; }
die() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

find_python() {
    versions='3.14 3.13 3.12'
    case ${HA:-} in 2024.*) versions=3.12 ;; esac # its native parts are not made for newer ones
    pyenv=${PYENV_ROOT:-$HOME/.pyenv}/versions
    for version in $versions; do
        for python in ${HA_PYTHON:-} python$version "$pyenv"/$version.*/bin/python python3; do
            "$python" -c 'import sys, ssl, sqlite3, venv; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && return
        done
    done
    die "Home Assistant with device discovery (2024.11) needs Python 3.12 or newer with its venv module: install one, or name it in HA_PYTHON."
}

pip() { $venv/bin/python -m pip --quiet --disable-pip-version-check --no-input "$@"; }

find_python
wanted="homeassistant${HA:+==$HA}"
mark="$wanted $($python -c 'import sys; print(sys.version)' | tr '\n' ' ') $(pwd)"
if [ "$(cat $venv/.ready 2>/dev/null)" != "$mark" ]; then
    say "making $venv with $($python -V) and $wanted (a minute or two)"
    rm -rf $venv
    "$python" -m venv $venv
    # A release names the versions of all that its integrations need: what it was tested with, and nothing newer.
    pip download --no-deps --dest $venv/wheel "$wanted" || die "no release of Home Assistant could be had: is there a network, and does $wanted run on $($python -V)?"
    (cd $venv/wheel && ../bin/python -m zipfile -e homeassistant-*.whl .)
    old= # what a release of then takes of what it does not name
    case $(ls $venv/wheel/homeassistant-*.whl) in *-2024.*) old='josepy<2' ;; esac
    # shellcheck disable=SC2086 # a word or none
    pip install --prefer-binary --constraint $venv/wheel/homeassistant/package_constraints.txt "$wanted" \
        paho-mqtt home-assistant-frontend hassil home-assistant-intents numpy securetar $old ||
        die "Home Assistant could not be installed: pip's message is above."
    rm -rf $venv/wheel
    printf '%s' "$mark" >$venv/.ready
fi
say "Home Assistant $($venv/bin/python -c 'from homeassistant.const import __version__; print(__version__)') on $($venv/bin/python -V)"
