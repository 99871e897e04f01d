# shellcheck shell=bash
#
# matrix.sh
#     The check in a root of each release of Debian that has a PostgreSQL of its
#     own: what scripts/check --matrix adds to lib.sh.
#
# A root is a directory that debootstrap fills once; later its packages are
# brought up to date.  All of it comes from the mirror that this machine's apt is
# configured with, through its proxy, and trusted by the same keys.  A root is
# given its name when it is complete.
#
# What runs in a root has namespaces of its own for mounts and for processes, so
# that there is nothing to unmount or to stop, whatever ends it: when its first
# process is gone, so are they.
#
# Sourced, not run.  Sets
#   ROOTS                the directory of the roots
#   MIRROR KEYRING       by find_mirror: a URI; a file, or nothing
#
# Copyright (c) 2026, the rswebhook maintainers

ROOTS=~/.cache
ROOTS=${RSWEBHOOK_ROOTS:-${XDG_CACHE_HOME:-$ROOTS}/rswebhook/roots}
[[ $ROOTS = /* ]] || ROOTS=$PWD/$ROOTS

# release and PostgreSQL; 16 is in none
MATRIX=('bookworm 15' 'trixie 17' 'sid 18' 'experimental 19')

# The process group of what is running apart from us
apart=

# alone COMMAND...: so that it can be ended with all that it started, at once
alone() {
    local status
    set -m
    "$@" &
    apart=$!
    set +m
    wait "$apart"
    status=$?
    apart=
    return "$status"
}

end_alone() {
    [ -z "$apart" ] || { kill -KILL -- "-$apart" && wait "$apart"; } 2>/dev/null
}

# in_root ROOT COMMAND...: with nothing of our environment but what is named here;
# a directory of vectors is out of its sight
in_root() {
    local root=$1 name environment=(HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin)
    shift
    for name in http_proxy https_proxy no_proxy "${!RSWEBHOOK_@}"; do
        [ "$name" = RSWEBHOOK_VECTORS ] || [ -z "${!name:-}" ] || environment+=("$name=${!name}")
    done
    unshare --mount --pid --fork --kill-child bash -c '
        root=$1
        shift
        mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" &&
            mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm" || exit 1
        chroot "$root" env -i "$@"
        exit $?' bash "$root" "${environment[@]}" "$@"
}

# ---------------------------------------------------------------------
# Roots
# ---------------------------------------------------------------------

find_mirror() {
    local source try
    for try in 1 2; do
        # shellcheck disable=SC2016
        read -r MIRROR source < <(
            apt-get indextargets --format '$(REPO_URI) $(SOURCESENTRY)' \
                'Created-By: Packages' 'Origin: Debian' 'Label: Debian' 'Component: main'
        )
        [ -z "$MIRROR" ] || break
        # there may be no lists yet
        [ "$try" -eq 2 ] || apt-get -qq update >/dev/null
    done
    [ -n "$MIRROR" ] || die "this machine's apt is configured with no mirror of Debian"
    # "/etc/apt/sources.list.d/debian.sources:1"
    KEYRING=$(sed -nE 's,^Signed-By: *(/[^ ]+) *$,\1,p; s,^deb .*[[ ]signed-by=(/[^] ]+).*,\1,p' "${source%:*}" | head -n 1)
    export http_proxy https_proxy
    eval "$(apt-config shell http_proxy Acquire::http::Proxy https_proxy Acquire::https::Proxy)"
}

# update_root ROOT RELEASE MAJOR
update_root() {
    local root=$1 release=$2 major=$3 suites=("$2")
    [ "$release" != experimental ] || suites=(sid experimental)
    if [ -n "$KEYRING" ] && [ ! -e "$root$KEYRING" ]; then
        install -D -m 644 "$KEYRING" "$root$KEYRING" || return 1
    fi
    printf "deb ${KEYRING:+[signed-by=$KEYRING] }$MIRROR %s main\n" "${suites[@]}" >"$root/etc/apt/sources.list"
    # only what makes a PostgreSQL comes from experimental
    printf '%s\n' "Package: src:postgresql-$major" 'Pin: release a=experimental' 'Pin-Priority: 500' \
        >"$root/etc/apt/preferences.d/postgresql"
    apt-config dump | grep -E '^Acquire::(https?|Retries|ForceIP|Check-)' >"$root/etc/apt/apt.conf.d/90machine"
    printf '%s\n' 'APT::Install-Recommends "0";' >"$root/etc/apt/apt.conf.d/90rswebhook"
    # packages start no servers
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    cp /etc/hosts /etc/resolv.conf "$root/etc/"

    # scripts/check installs what it needs itself; the tests skip what needs more
    in_root "$root" env DEBIAN_FRONTEND=noninteractive sh -ec '
        dpkg --configure -a
        apt-get -q update
        apt-get -qy dist-upgrade
        apt-get -qy install "$@"
        apt-get clean' sh "postgresql-$major" "postgresql-server-dev-$major" nodejs openssl locales
}

# make_root ROOT RELEASE
make_root() {
    local root=$1 release=$2
    rm -rf "$root"
    [ "$release" != experimental ] || release=sid
    unshare --mount --pid --fork --kill-child --mount-proc \
        debootstrap --variant=minbase --include=ca-certificates ${KEYRING:+--keyring="$KEYRING"} \
        "$release" "$root" "$MIRROR"
}

# prepare_root ROOT RELEASE MAJOR: says what it does; fails if there is no root
prepare_root() {
    local root=$1 release=$2 major=$3 log=$WORK/root.log
    if [ -d "$root" ]; then
        echo "bringing $root up to date"
        alone update_root "$root" "$release" "$major" >"$log" 2>&1 </dev/null || {
            tail -n 5 "$log" | sed 's/^/    | /'
            echo 'it could not be, and is used as it is'
        }
        return 0
    fi
    echo "making $root: its system"
    alone make_root "$root.new" "$release" >"$log" 2>&1 </dev/null &&
        echo "making $root: PostgreSQL and what the tests need" &&
        alone update_root "$root.new" "$release" "$major" >>"$log" 2>&1 </dev/null &&
        mv "$root.new" "$root" && return 0
    fail "root of $release" "$log"
    return 1
}

# ---------------------------------------------------------------------
# The matrix
# ---------------------------------------------------------------------

# The committed tree, which need not be what is in the checkout
copy_commit() {
    rm -rf "$1" && mkdir -p "$1" &&
        git -c safe.directory='*' -C "$TREE" archive HEAD | tar -C "$1" -xf -
}

# check_apart NAME COMMAND...: shows a check and adds what it counted, with a line
# to remember
# shellcheck disable=SC2154
check_apart() {
    local name=$1 log=$WORK/$1.log began=$SECONDS good=$passed bad=$failed postgres curl
    shift
    alone show "$log" "$@"
    count_closing_line "$log" "$name"
    read -r postgres curl < <(sed -n 's/^== build for PostgreSQL \(.*\) with libcurl \(.*\)$/\1 \2/p' "$log")
    lines+=("$(printf '%-13s PostgreSQL %-8s libcurl %-8s %d passed, %d failed, %d s' "$name" \
        "${postgres:-?}" "${curl:-?}" $((passed - good)) $((failed - bad)) $((SECONDS - began)))")
    echo "${lines[-1]}"
}

# check_root RELEASE MAJOR [ARGUMENT...]
check_root() {
    local release=$1 major=$2 root=$ROOTS/$1
    shift 2
    section "root of $release"
    prepare_root "$root" "$release" "$major" || {
        lines+=("$(printf '%-13s could not be made' "$release")")
        return
    }
    # what an earlier check may have left
    rm -rf "$root/tmp" && mkdir -m 1777 "$root/tmp"
    copy_commit "$root/srv/rswebhook" || die 'the committed tree could not be copied'
    check_apart "$release" in_root "$root" /srv/rswebhook/scripts/check "$@"
}

# matrix [ARGUMENT...]: of each check
matrix() {
    local entry lines=()
    mkdir -p "$ROOTS" || die "could not make $ROOTS"
    exec 9>"$ROOTS/lock"
    flock -n 9 || die "$ROOTS is in use by another one"
    have debootstrap || apt_install debootstrap >"$WORK/apt.log" 2>&1 || die 'debootstrap cannot be had'
    find_mirror
    for entry in "${MATRIX[@]}"; do
        # shellcheck disable=SC2086
        check_root $entry "$@"
    done
    if [ -n "${PG_CONFIG:-}" ]; then
        section "$PG_CONFIG"
        copy_commit "$WORK/commit" || die 'the committed tree could not be copied'
        check_apart here "$WORK/commit/scripts/check" "$@"
    fi
    section 'matrix'
    printf '%s\n' "${lines[@]}"
}
