# What t/install/source and t/install/deb share: bare Debian systems, each in a
# folder, with a network of their own while something is served in them.

set -euo pipefail

repository=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
suite=${1:-bookworm}
work=$(mktemp -d)
roots=()
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8


fail() {
    echo "failed: $*" >&2
    exit 1
}


# "step SECONDS WHAT COMMAND...": what a command says is shown if it fails
step() {
    local limit=$1 what=$2 begin=$SECONDS status=0
    shift 2

    timeout --kill-after=10 "$limit" "$@" > "$work/log" 2>&1 < /dev/null \
        || status=$?

    if [ $status != 0 ]; then
        tail -n 60 "$work/log" >&2
        fail "$what, status $status after $((SECONDS - begin)) s"
    fi

    echo "ok: $what, $((SECONDS - begin)) s"
}


cleanup() {
    local root mount

    for root in "${roots[@]}"; do
        for mount in dev proc; do
            umount -R "$root/$mount" 2> /dev/null || :
        done
    done

    rm -rf --one-file-system "$work"
}


# "make_root NAME": BASE is a tar of a bare system, kept for the next time
make_root() {
    local root=$work/$1 base=${BASE:-}

    if [ -z "$base" ]; then
        base=$work/base-$suite.tar
    fi

    if [ ! -e "$base" ]; then
        step 400 "debootstrap of $suite" \
            debootstrap --variant=minbase "$suite" "$work/base"
        tar -C "$work/base" --numeric-owner -cf "$base" .
        rm -rf --one-file-system "$work/base"
    fi

    mkdir "$root"
    tar -C "$root" -xf "$base"
    roots+=("$root")

    # installing a package starts nothing here
    printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    cp -L /etc/resolv.conf "$root/etc/resolv.conf"
    echo '127.0.0.1 localhost' > "$root/etc/hosts"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount --make-rslave "$root/dev"
}


# "inside ROOT WHAT SECONDS COMMAND": the command is the shell's
inside() {
    step "$3" "$2" chroot "$work/$1" sh -euc "cd /root; $4"
}


# the same with loopback alone, so that every port is free
offline() {
    step "$3" "$2" unshare --net --pid --fork --kill-child \
        sh -euc 'ip link set lo up; exec chroot "$@"' \
        offline "$work/$1" sh -euc "cd /root; $4"
}


copy_source() {
    mkdir "$work/$1/root/source"
    tar -C "$repository" --exclude=./.git --exclude='./build*' -cf - . \
        | tar -C "$work/$1/root/source" -xf -
}


[ "$(id -u)" = 0 ] || fail "$0 makes file systems of its own: run it as root"

for tool in debootstrap ip unshare; do
    command -v $tool > /dev/null \
        || fail "no $tool: apt-get install debootstrap iproute2 util-linux"
done

trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
