#!/bin/sh
# Installs what `run` or `test` needs and is missing: Debian packages, and .venv with the Python packages. For `kernel`,
# the kernel lab: QEMU too, and a Debian kernel in .lab, unpacked and not installed.
# usage: bootstrap.sh run|test|kernel. Asks nothing; says what it does; a second call with nothing to do is silent and fast.
set -eu
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/sbin:/sbin"
export PATH LC_ALL=C DEBIAN_FRONTEND=noninteractive

goal=${1:-run}
target=$goal # what a person types after make
venv=.venv
lab=.lab

main() {
    case $goal in
        run | test) ;;
        kernel) goal=test target=test-kernel ;;
        *) die "usage: scripts/bootstrap.sh run|test|kernel" ;;
    esac
    stamp=$venv/.ready-$goal
    wanted=$(missing_packages)
    [ -z "$wanted" ] || install_packages "$wanted"
    find_python
    make_venv
    [ "$goal" = run ] || install_peers
    [ $target != test-kernel ] || [ -d $lab/kernel ] || fetch_kernel
}

say() { printf 'setup: %s\n' "$*"; }
die() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }
# A venv knows its own path: one that was moved here is as good as none.
have_pip() { grep -qF "$(pwd)/$venv/" $venv/bin/pip 2>/dev/null; }

# --- Debian packages -------------------------------------------------------------------------------------------------

missing_packages() {
    list=
    need() { have "$1" || list="$list $2"; }
    need python3 python3
    # Debian splits ensurepip off; a venv made without it has no pip.
    have_pip || python3 -c 'import ensurepip, venv' 2>/dev/null || list="$list python3-venv"
    need mosquitto mosquitto
    need mosquitto_pub mosquitto-clients
    if [ "$goal" = test ]; then
        need gammu gammu
        need gammu-smsd gammu-smsd
        need smsd smstools
        need socat socat
        need gcc gcc
        need node nodejs
        need npm npm
        [ -e /usr/include/dlfcn.h ] || list="$list libc6-dev"
    fi
    [ $target != test-kernel ] || need qemu-system-x86_64 qemu-system-x86
    printf '%s' "${list# }"
}

install_packages() {
    have apt-get || die "missing here: $1. This is no Debian: install them with this system's package manager, then repeat."
    keep_daemons_off "$1"
    say "installing from Debian: $1"
    # A fresh machine has no package lists; an old list names versions that are gone: update, then once more.
    ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1 || update_lists
    # shellcheck disable=SC2086 # a list of words
    if ! apt_install $1; then
        update_lists
        apt_install $1 || die "apt-get could not install: $1. Its message is above; check the network, then run: make $target"
    fi
}

update_lists() {
    say "apt-get update"
    try=1
    until quietly root apt-get -q -o Acquire::Retries=3 update; do
        [ $try -lt 3 ] || die "apt-get update failed three times. Its message is above; check the network, then run: make $target"
        say "trying again"
        try=$((try + 1))
        sleep 10 # another apt may hold the lock: a new machine upgrades itself
    done
}

apt_install() {
    # shellcheck disable=SC2086
    quietly root apt-get -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 \
        -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold $no_daemons \
        install "$@"
}

# The newest kernel of this Debian, and a busybox that needs no library, for the virtual machine of the kernel lab. Neither
# is installed: the one would go into this machine's boot menu, the other replace its busybox.
fetch_kernel() {
    [ "$(uname -m)" = x86_64 ] ||
        die "the kernel lab runs Debian's amd64 kernel, and this machine is $(uname -m): run it on a PC."
    have apt-get || die "the kernel lab takes its kernel from Debian with apt-get, which is not here."
    say "fetching a Debian kernel for the lab into $lab"
    rm -rf $lab/packages $lab/new
    mkdir -p $lab/packages $lab/new
    download || {
        update_lists
        download || die "apt-get could not download a kernel and busybox. Its message is above; check the network, then run: make $target"
    }
    dpkg-deb --extract $lab/packages/busybox-static_*.deb $lab/new
    dpkg-deb --fsys-tarfile $lab/packages/linux-image-*.deb | tar -x -C $lab/new --no-same-owner --wildcards \
        '*/vmlinuz-*' '*/modules.builtin' '*/kernel/drivers/usb/*' '*/kernel/drivers/net/*' '*/kernel/drivers/virtio/*' \
        '*/kernel/drivers/char/*' '*/kernel/drivers/scsi/*' '*/kernel/fs/*' '*/kernel/net/9p/*' ||
        die "could not unpack the kernel: is the disk full?"
    rm -rf $lab/packages
    mv $lab/new $lab/kernel
}

download() {
    image=$(apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*\)$/\1/p')
    [ -n "$image" ] || return 1
    # shellcheck disable=SC2086
    (cd $lab/packages && quietly apt-get -q -o Acquire::Retries=3 download "$image" busybox-static)
}

# Runs a command; what it printed is shown only if it failed.
quietly() {
    log=$(mktemp)
    if "$@" >"$log" 2>&1; then
        rm -f "$log"
        return 0
    fi
    tail -n 25 "$log" >&2
    rm -f "$log"
    return 1
}

# gammu-smsd and smstools are wanted as programs for the tests, not as services: started by the package or at the next
# boot they would open a real modem's port. Only for a package that we are about to install: one that is here already
# belongs to somebody.
no_daemons=
keep_daemons_off() {
    for unit in gammu-smsd smstools; do
        case " $1 " in
            *" $unit "*) ;;
            *) continue ;;
        esac
        link=/etc/systemd/system/$unit.service
        if [ -d /run/systemd/system ]; then
            if [ ! -e "$link" ] && [ ! -L "$link" ]; then
                say "masking $unit.service before its package comes (undo: sudo systemctl unmask $unit)"
                root ln -s /dev/null "$link" && root systemctl daemon-reload ||
                    die "could not mask $unit.service, which would take the modems; install $unit yourself, then repeat."
            fi
        else
            # No systemd: leave the init script out of the unpacked package; its start is then skipped.
            no_daemons="$no_daemons -o Dpkg::Options::=--path-exclude=/etc/init.d/$unit"
        fi
    done
}

root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif ! have sudo; then
        die "this needs root: $*. There is no sudo here: log in as root, run that line, then repeat."
    elif [ -t 0 ]; then
        sudo env DEBIAN_FRONTEND=noninteractive "$@"
    else
        sudo -n env DEBIAN_FRONTEND=noninteractive "$@"
    fi
}

# --- Python ----------------------------------------------------------------------------------------------------------

find_python() {
    for python in python3 python3.14 python3.13 python3.12 python3.11; do
        have $python && $python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        have_pip || $python -c 'import ensurepip, venv' 2>/dev/null || continue
        return 0
    done
    die "Python 3.11 or newer with its venv module is needed, and this system has $(python3 -V 2>&1). Debian 12, Raspberry Pi OS 12 (bookworm) and newer have it."
}

make_venv() {
    # Same packages wanted, same interpreter: nothing to do.
    mark="$(cksum <pyproject.toml) $($python -c 'import sys; print(sys.version, sys.platform)' | tr '\n' ' ') $(pwd)"
    if [ -x $venv/bin/sms-bridge ] && [ "$(cat "$stamp" 2>/dev/null)" = "$mark" ]; then
        return
    fi
    if ! have_pip || ! $venv/bin/python -m pip --version >/dev/null 2>&1; then
        say "making $venv with $($python -V)"
        rm -rf $venv
        $python -m venv $venv || die "could not make $venv: its message is above; is the disk full, or the folder not yours?"
    fi
    what=.
    [ "$goal" = run ] || what='.[dev]'
    say "installing Python packages into $venv (a few minutes on a small machine)"
    try=1
    until $venv/bin/python -m pip install --quiet --retries 10 --timeout 60 --prefer-binary --no-input \
        --disable-pip-version-check --progress-bar off --editable "$what"; do
        [ $try -lt 3 ] || die "pip could not install the packages. Its message is above; check the network and the free disk space, then run: make $target"
        try=$((try + 1))
        say "trying again"
        sleep 5
    done
    printf '%s' "$mark" >"$stamp"
    [ "$goal" = run ] || printf '%s' "$mark" >$venv/.ready-run
}

# --- npm -------------------------------------------------------------------------------------------------------------

# Other people's programs that the tests talk to; below .venv, so that one folder holds all that was installed.
install_peers() {
    peers=$venv/peers
    mark="$(cksum <tests/peers/package.json) $(node --version)"
    if [ "$(cat "$peers/.ready" 2>/dev/null)" = "$mark" ]; then
        return
    fi
    say "installing npm packages for the tests into $peers"
    mkdir -p "$peers"
    cp tests/peers/package.json tests/peers/.npmrc "$peers/"
    try=1
    until (cd "$peers" && quietly npm install --no-package-lock --ignore-scripts --loglevel=error); do
        [ $try -lt 3 ] || die "npm could not install the packages. Its message is above; check the network, then run: make $target"
        try=$((try + 1))
        say "trying again"
        sleep 5
    done
    printf '%s' "$mark" >"$peers/.ready"
}

main
