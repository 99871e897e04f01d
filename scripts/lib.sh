# shellcheck shell=bash
#
# lib.sh
#     What scripts/demo, scripts/check and scripts/lint share: counting,
#     packages, a user that PostgreSQL accepts, and a build of their own.
#
# Nothing is built or written in the checkout, and nothing is installed but
# packages: the tree is copied to a temporary directory, built there, installed
# below that directory, and a temporary cluster is told where to look.
#
# Sourced, not run.  Sets TREE (the checkout) at once, and
#   PG_CONFIG BINDIR     by find_postgres
#   WORK                 by make_work: the temporary directory, owned by the
#                        user that runs PostgreSQL
#   SERVER_CONF          by stage: settings with which a server finds the build
#   INJECTED_CONF        by stage_injected: likewise
#
# Copyright (c) 2026, the rswebhook maintainers

TREE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
WORK=
INJECTED_CONF=
passed=0
failed=0

# ---------------------------------------------------------------------
# Saying and counting
# ---------------------------------------------------------------------

die() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

section() {
    printf '\n== %s\n' "$*"
}

pass() {
    passed=$((passed + 1))
    echo "ok      $*"
}

# fail NAME [LOG]: with the end of the log
fail() {
    failed=$((failed + 1))
    echo "FAILED  $1"
    if [ -n "${2:-}" ] && [ -s "$2" ]; then
        tail -n 60 "$2" | sed 's/^/    | /'
    fi
}

skip() {
    echo "skipped $*"
}

# verdict NAME LOG COMMAND...: passes if the command succeeds; says how long it
# took if that can be felt
verdict() {
    local name=$1 log=$2 began=$SECONDS good=yes
    shift 2
    "$@" >"$log" 2>&1 </dev/null || good=
    [ "$SECONDS" -eq "$began" ] || name="$name ($((SECONDS - began)) s)"
    if [ -n "$good" ]; then pass "$name"; else fail "$name" "$log"; fi
}

closing_line() {
    printf '\n%d passed, %d failed\n' "$passed" "$failed"
    [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}

# ---------------------------------------------------------------------
# Packages
# ---------------------------------------------------------------------

have() {
    command -v "$1" >/dev/null 2>&1
}

have_perl_modules() {
    have perl && perl -e 'foreach (@ARGV) { eval "require $_; 1" or exit 1 }' "$@"
}

# A pg_config with a server and the headers to build for it.
usable_pg_config() {
    [ -x "$1" ] &&
        [ -f "$("$1" --pgxs)" ] &&
        [ -f "$("$1" --includedir-server)/postgres.h" ] &&
        [ -x "$("$1" --bindir)/initdb" ] && [ -x "$("$1" --bindir)/postgres" ]
}

# The one in PG_CONFIG if set, else the newest that is there.
find_postgres() {
    local candidate
    if [ -n "${PG_CONFIG:-}" ]; then
        candidate=$(command -v "$PG_CONFIG") && usable_pg_config "$candidate" || return 1
        PG_CONFIG=$candidate
    else
        while read -r candidate; do
            if usable_pg_config "$candidate"; then
                PG_CONFIG=$candidate
                break
            fi
        done < <(
            find /usr/lib/postgresql/*/bin -maxdepth 1 -name pg_config 2>/dev/null | sort -rV
            command -v pg_config
        )
        [ -n "${PG_CONFIG:-}" ] || return 1
    fi
    BINDIR=$("$PG_CONFIG" --bindir)
}

# Names of the packages without which we cannot go on.
#   missing_packages run     to build and run
#   missing_packages test    to test, too
missing_packages() {
    local newest
    have cc && have make || echo build-essential
    have pkg-config || echo pkg-config
    pkg-config --exists libcurl 2>/dev/null || echo libcurl4-openssl-dev
    pkg-config --exists libcares 2>/dev/null || echo libc-ares-dev
    pkg-config --exists libidn2 2>/dev/null || echo libidn2-dev
    pkg-config --exists libssl libcrypto 2>/dev/null || echo libssl-dev
    have_perl_modules Getopt::Long IO::Compress::Gzip IO::Socket::INET JSON::PP Time::HiRes || echo perl
    if ! find_postgres; then
        newest=$(find /usr/lib/postgresql/*/bin -maxdepth 1 -name postgres 2>/dev/null |
            sort -rV | sed -n '1s,.*/postgresql/\([0-9]*\)/bin/.*,\1,p')
        if [ -n "$newest" ]; then
            echo "postgresql-server-dev-$newest"
        else
            echo "postgresql postgresql-server-dev-all"
        fi
    fi
    if [ "$1" = test ]; then
        have_perl_modules IPC::Run Test::More || echo libipc-run-perl
        [ -n "$(PATH=$PATH:/usr/sbin command -v nginx)" ] || echo nginx-light
    fi
}

# with_root COMMAND...: as root, or through sudo
with_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif [ -t 0 ] && [ -t 2 ]; then
        sudo "$@"
    else
        sudo -n "$@"
    fi
}

apt_install() {
    with_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update &&
        with_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y \
            --no-install-recommends install "$@"
}

# need_packages run|test: installs what is missing, if anything
need_packages() {
    local missing
    mapfile -t missing < <(missing_packages "$1" | tr ' ' '\n')
    if [ "${#missing[@]}" -gt 0 ]; then
        echo "missing packages: ${missing[*]}"
        have apt-get || die "please install what these packages of Debian hold: ${missing[*]}"
        [ "$(id -u)" -eq 0 ] || have sudo ||
            die "neither root nor sudo: please have these packages installed: ${missing[*]}"
        apt_install "${missing[@]}" >"${TMPDIR:-/tmp}/rswebhook-apt.$$" 2>&1 || {
            tail -n 20 "${TMPDIR:-/tmp}/rswebhook-apt.$$" >&2
            rm -f "${TMPDIR:-/tmp}/rswebhook-apt.$$"
            die "could not install ${missing[*]}"
        }
        rm -f "${TMPDIR:-/tmp}/rswebhook-apt.$$"
    fi
    find_postgres || die "no PostgreSQL with server headers found${PG_CONFIG:+ by PG_CONFIG=$PG_CONFIG}"
}

# ---------------------------------------------------------------------
# A user, a directory, a build
# ---------------------------------------------------------------------

# PostgreSQL refuses to run as root.
postgres_user() {
    if id postgres >/dev/null 2>&1; then echo postgres; else echo nobody; fi
}

as_user() {
    if [ "$(id -u)" -eq 0 ]; then
        HOME=$WORK runuser -u "$(postgres_user)" -- "$@"
    else
        "$@"
    fi
}

# Also goes there, since the checkout may be out of that user's sight.
make_work() {
    local base
    for base in "${TMPDIR:-/tmp}" /tmp; do
        WORK=$(mktemp -d "$base/rswebhook.XXXXXX") || die "could not make a directory in $base"
        [ "$(id -u)" -ne 0 ] || chown "$(postgres_user)" "$WORK"
        chmod 755 "$WORK"
        # a socket's path has little room
        if [ "${#WORK}" -le 80 ] && as_user test -w "$WORK"; then
            cd "$WORK" || die "could not go to $WORK"
            return
        fi
        rm -rf "$WORK"
    done
    die "no directory for temporary files"
}

# If somebody has built a copy, RSWEBHOOK_BUILT, then with what was built.
copy_tree() {
    local built=("--exclude=*.o" "--exclude=*.so" "--exclude=*.bc")
    [ -z "${RSWEBHOOK_BUILT:-}" ] || built=()
    as_user mkdir "$WORK/tree"
    tar -C "${RSWEBHOOK_BUILT:-$TREE}" -cf - --exclude=./.git ${built[@]+"${built[@]}"} \
        --exclude=./tmp_check --exclude=./results --exclude=./log --exclude=./bench/out . |
        as_user tar -C "$WORK/tree" -xf - --no-same-owner
}

# build [VARIABLE=VALUE...]: in the copy; bitcode is for JIT, which we lack no
# use for here
build() {
    as_user make -s -j2 -C "$WORK/tree" PG_CONFIG="$PG_CONFIG" with_llvm=no "$@"
}

# Installs below WORK and writes the settings for a server to find it there.
stage() {
    local lib share
    lib=$("$PG_CONFIG" --pkglibdir)
    share=$("$PG_CONFIG" --sharedir)
    SERVER_CONF=$WORK/server.conf
    if [ "$("$PG_CONFIG" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')" -ge 18 ]; then
        echo "extension_control_path = '$WORK/stage$share:\$system'"
    elif grep -aq extension_destdir "$("$PG_CONFIG" --bindir)/postgres"; then
        echo "extension_destdir = '$WORK/stage'"
    else
        echo "$BINDIR/postgres looks for extensions in its own directory only: installing there" >&2
        with_root make -s -C "$WORK/tree" PG_CONFIG="$PG_CONFIG" with_llvm=no install
        as_user touch "$SERVER_CONF"
        return
    fi | as_user tee "$SERVER_CONF" >/dev/null
    echo "dynamic_library_path = '$WORK/stage$lib:\$libdir'" | as_user tee -a "$SERVER_CONF" >/dev/null
    build install DESTDIR="$WORK/stage"
}

# stage_injected FLAGS: another build beside it, for tests that stop the worker
# at a given moment.  Sets INJECTED_CONF; leaves it empty where a server finds
# extensions in its own directory only.
stage_injected() {
    local tree=$WORK/injected/tree objects
    [ -s "$SERVER_CONF" ] || return 0
    as_user mkdir "$WORK/injected"
    as_user cp -a "$WORK/tree" "$tree"
    mapfile -t objects < <(grep -l 'inject\.h' "$tree"/src/*/*.c | sed 's/c$/o/')
    as_user rm -f "$tree/rswebhook.so" "${objects[@]}"
    as_user make -s -j2 -C "$tree" PG_CONFIG="$PG_CONFIG" with_llvm=no \
        COPT="$1 -DRSWEBHOOK_INJECTION" install DESTDIR="$WORK/injected/stage" || return 1
    INJECTED_CONF=$WORK/injected/server.conf
    sed "s,$WORK/stage,$WORK/injected/stage,g" "$SERVER_CONF" | as_user tee "$INJECTED_CONF" >/dev/null
}

# ---------------------------------------------------------------------
# A temporary cluster
# ---------------------------------------------------------------------

# init_cluster DIRECTORY [OPTION...]
init_cluster() {
    local data=$1
    shift
    as_user "$BINDIR/initdb" -D "$data" -A trust -N --encoding=UTF8 --locale=C "$@" >"$WORK/initdb.log" 2>&1 || {
        cat "$WORK/initdb.log" >&2
        die "initdb failed"
    }
}

# start_cluster [SETTING...]: reached by PGHOST and PGUSER, which are exported
start_cluster() {
    rm -rf "$WORK/data"
    init_cluster "$WORK/data" -U postgres
    {
        cat "$SERVER_CONF"
        printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$WORK'" "$@"
    } | as_user tee -a "$WORK/data/postgresql.conf" >/dev/null
    as_user "$BINDIR/pg_ctl" -D "$WORK/data" -l "$WORK/server.log" -w -t 60 -s start </dev/null || {
        tail -n 30 "$WORK/server.log" >&2
        die "the server did not start"
    }
    unset PGDATABASE PGOPTIONS PGSERVICE PGPASSFILE
    export PGHOST=$WORK PGPORT=5432 PGUSER=postgres
}

stop_cluster() {
    if [ -f "$WORK/data/postmaster.pid" ]; then
        as_user "$BINDIR/pg_ctl" -D "$WORK/data" -w -t 60 -s -m immediate stop </dev/null
    fi
}
