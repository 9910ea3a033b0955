#!/bin/busybox sh
# The guest's first program: kernel modules, the host's disk read-only below a file system in memory, the tests in there.
set -eu
mount() { /bin/busybox mount "$@"; }
root=/guest/root

main() {
    mount -t proc proc /proc
    mount -t sysfs sys /sys
    mount -t devtmpfs dev /dev
    load_modules
    make_root
    /bin/busybox ifconfig lo 127.0.0.1 up
    /bin/busybox dmesg -n 7 # from here on the console's log tells of USB
    read -r project </project
    /bin/busybox chroot $root /bin/sh -c 'cd "$1" && exec .venv/bin/python -m tests.kernel.guest' sh "$project"
}

load_modules() {
    while read -r name parameters; do
        # shellcheck disable=SC2086 # a list of words
        /bin/busybox insmod "/modules/$name.ko" $parameters || echo "lab: the module $name did not load"
    done </modules/order
}

make_root() {
    mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=512000 disk /disk
    mount -t tmpfs -o mode=755 tmpfs /guest
    /bin/busybox mkdir -p /guest/upper /guest/work $root
    mount -t overlay -o lowerdir=/disk,upperdir=/guest/upper,workdir=/guest/work,xino=off overlay $root
    mount -t proc proc $root/proc
    mount -t sysfs sys $root/sys
    mount -t configfs configfs $root/sys/kernel/config
    mount -t devtmpfs dev $root/dev
    /bin/busybox mkdir -p $root/dev/pts $root/dev/shm
    mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts $root/dev/pts
    mount -t tmpfs tmpfs $root/dev/shm
    mount -t tmpfs -o mode=755 tmpfs $root/run
    /bin/busybox mkdir $root$TMPDIR
    number=0
    while read -r folder; do
        mount --bind "/copies/$number" "$root$folder"
        number=$((number + 1))
    done </copies/list
}

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
export TMPDIR=/run/tmp # not /tmp: the project itself may be there
export PYTHONUNBUFFERED=1 SMS_BRIDGE_LAB=1
main || echo "lab: the guest's program ended with $?"
/bin/busybox poweroff -f
