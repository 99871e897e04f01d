# shellcheck shell=bash
#
# sanitize.sh
#     The extension under AddressSanitizer and UndefinedBehaviorSanitizer, in
#     an ordinary server: what scripts/check --sanitize adds to lib.sh.
#
# The server is not built with them, so their libraries are preloaded into it,
# and only into it: BINDIR becomes a directory whose "postgres" does that.  The
# server's early calls of gettext wait for ever under AddressSanitizer with some
# C libraries; messages are English here, so they are made to do nothing.
#
# Up to PostgreSQL 15 palloc is malloc there (sanitize.h), so that they also see
# what memory contexts hide.
#
# What they find aborts the process, which fails the test, and is written to a
# file of WORK/reports, which fails the check.
#
# Sourced, not run.
#
# Copyright (c) 2026, the rswebhook maintainers

SANITIZE_FLAGS='-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all'

pallocs_are_seen() {
    [ "$("$PG_CONFIG" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')" -lt 16 ]
}

# In the copy, whose postgres.h is ours first and then PostgreSQL's.
add_sanitized_pallocs() {
    local src=$WORK/tree/src
    as_user mkdir "$src/sanitize" || return 1
    as_user cp "$TREE/scripts/sanitize.c" "$src/" || return 1
    as_user cp "$TREE/scripts/sanitize.h" "$src/sanitize/" || return 1
    printf '%s\n' '#include_next "postgres.h"' '#include "sanitize.h"' |
        as_user tee "$src/sanitize/postgres.h" >/dev/null
    SANITIZE_FLAGS+=' -Isrc/sanitize'
}

# A sanitizer that sees nothing finds nothing: a write just behind a piece of
# memory, and one just before it, must each end in a report.
mistakes_are_seen() {
    local place seen
    start_cluster 'fsync = off'
    psql -X -d postgres -v ON_ERROR_STOP=1 -c "CREATE FUNCTION mistake(int) RETURNS int
        LANGUAGE c AS 'rswebhook', 'rswebhook_mistake'" -c 'SELECT mistake(12)' || return 1
    for place in 13 -1; do
        psql -X -d postgres -c "SELECT mistake($place)"
        seen=$(grep -l 'ERROR: AddressSanitizer' "$WORK"/reports/*) || return 1
        grep -q 'in unsanitized_rswebhook_mistake' "$seen" || return 1
        rm "$seen"
        for _ in {1..300}; do
            psql -X -d postgres -c 'SELECT 1' && break
            sleep 0.1
        done
    done
    stop_cluster
}

sanitizer_libraries() {
    local name path
    for name in libasan.so libubsan.so; do
        path=$(cc -print-file-name="$name")
        [ "$path" != "$name" ] || return 1
        # not lib*.so itself, which may be a script for the linker
        readlink -f "$path"
    done
}

# The way into the server, once it is known.  Says why not, and fails.
make_sanitized_bindir() {
    local libraries options file
    # not called bin, or the server would look for its files beside it
    local bin=$WORK/sanitized
    libraries=$(sanitizer_libraries) || {
        echo "the compiler $(cc --version | head -n 1) has no libasan and libubsan"
        return 1
    }
    as_user mkdir "$bin" "$WORK/reports"
    as_user tee "$WORK/gettext.c" >/dev/null <<'END'
char *bindtextdomain(const char *domain, const char *directory)
{ (void) domain; return (char *) directory; }
char *bind_textdomain_codeset(const char *domain, const char *codeset)
{ (void) domain; return (char *) codeset; }
char *textdomain(const char *domain)
{ return (char *) domain; }
END
    as_user cc -shared -fPIC -o "$WORK/gettext.so" "$WORK/gettext.c" || return 1

    # pg_ctl starts the postgres beside it
    for file in "$BINDIR"/*; do
        as_user ln -s "$file" "$bin/"
    done
    as_user rm "$bin/postgres" "$bin/pg_ctl"
    as_user cp "$BINDIR/pg_ctl" "$bin/"
    options=abort_on_error=1:print_stacktrace=1:log_path=$WORK/reports/report
    as_user tee "$bin/postgres" >/dev/null <<END
#!/bin/bash
LD_PRELOAD="$(echo "$libraries" | tr '\n' ':')$WORK/gettext.so\${LD_PRELOAD:+:\$LD_PRELOAD}"
ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:quarantine_size_mb=16:$options
UBSAN_OPTIONS=$options
export LD_PRELOAD ASAN_OPTIONS UBSAN_OPTIONS
# under this name, which pg_ctl notes down for a restart
exec -a "$bin/postgres" $BINDIR/postgres "\$@"
END
    as_user chmod +x "$bin/postgres"
    as_user timeout 20 "$bin/postgres" -V >/dev/null 2>&1 || {
        echo "$BINDIR/postgres does not start with the libraries of the sanitizers"
        return 1
    }
    BINDIR=$bin
}

sanitizer_reports() {
    find "$WORK/reports" -type f -exec head -n 40 {} +
    [ -z "$(find "$WORK/reports" -type f)" ]
}
