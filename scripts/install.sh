#!/bin/sh
# Installs the bridge as a service of this machine, or brings it up to date: sudo make install. Asks nothing; a
# configuration that is there stays. The clone is not needed afterwards.
set -eu
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/sbin:/sbin"
export PATH LC_ALL=C DEBIAN_FRONTEND=noninteractive

home=/opt/sms-bridge
say() { printf 'install: %s\n' "$*"; }
die() {
    printf 'install: %s\n' "$*" >&2
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

[ "$(id -u)" = 0 ] || die "this changes the system: run sudo make install"

missing=
have mosquitto || missing="$missing mosquitto"
have mosquitto_pub || missing="$missing mosquitto-clients"
/usr/bin/python3 -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
if [ -n "$missing" ]; then
    have apt-get || die "missing here:$missing. Install them, then repeat."
    say "installing from Debian:$missing"
    apt-get -q update >/dev/null || die "apt-get update failed; check the network, then repeat"
    # shellcheck disable=SC2086 # a list of words
    apt-get -q -y --no-install-recommends install $missing >/dev/null || die "apt-get could not install:$missing"
fi
# The system's own: the service's user may not enter whatever root has in its path.
python=/usr/bin/python3
[ -x $python ] || python=python3
$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    die "Python 3.11 or newer is needed; Debian 12 and Raspberry Pi OS 12 have it"

id sms-bridge >/dev/null 2>&1 ||
    useradd --system --user-group --home-dir /var/lib/sms-bridge --shell /usr/sbin/nologin sms-bridge
usermod --append --groups dialout sms-bridge

say "installing into $home (a few minutes on a small machine)"
[ -x "$home/bin/python" ] && "$home/bin/python" -c '' 2>/dev/null || $python -m venv --clear "$home"
# From a copy: what building leaves behind would be root's, in a clone that is not.
source=$(mktemp -d)
trap 'rm -rf "$source"' EXIT
cp -R pyproject.toml README.md LICENSE hardware sms_bridge "$source"
"$home/bin/python" -m pip install --quiet --retries 10 --timeout 60 --prefer-binary --no-input \
    --disable-pip-version-check --progress-bar off --upgrade --force-reinstall --no-deps "$source" &&
    "$home/bin/python" -m pip install --quiet --retries 10 --timeout 60 --prefer-binary --no-input \
        --disable-pip-version-check --progress-bar off "$source" ||
    die "pip could not install the packages; check the network and the free disk space, then repeat"
ln -sf "$home/bin/sms-bridge" /usr/local/bin/sms-bridge

if [ -e /etc/sms-bridge.yaml ]; then
    # It may hold PINs and a password: the service reads it, nobody else.
    chgrp sms-bridge /etc/sms-bridge.yaml
    chmod 0640 /etc/sms-bridge.yaml
    sms-bridge config check /etc/sms-bridge.yaml >/dev/null ||
        die "/etc/sms-bridge.yaml has mistakes: sudo sms-bridge config check. The service was not touched."
fi

install -D -m 0644 hardware/udev/60-sms-bridge.rules /etc/udev/rules.d/60-sms-bridge.rules
install -D -m 0644 hardware/systemd/sms-bridge.service /etc/systemd/system/sms-bridge.service
if have udevadm && [ -d /run/udev ]; then
    udevadm control --reload
    udevadm trigger --subsystem-match=usb --subsystem-match=tty
fi
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl enable --quiet sms-bridge
    systemctl restart sms-bridge
    say "done: systemctl status sms-bridge; journalctl -u sms-bridge -f; sms-bridge modems --watch"
else
    say "done. There is no systemd here: start it with sms-bridge run"
fi
