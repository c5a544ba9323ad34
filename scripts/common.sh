# Helpers shared by ./run, ./test and ./soak. Sourced, never run.
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
CACHE=${ROWLOCK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rowlock}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE/target}

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# The prefix with which this user may install packages: nothing for root, sudo where it asks no password.
root_prefix() {
    if [ "$(id -u)" = 0 ]; then
        echo ""
    elif have sudo && sudo -n true 2>/dev/null; then
        echo "sudo -n"
    else
        return 1
    fi
}

# apt_install PURPOSE PACKAGE…: installs, or says what to install and gives up.
apt_install() {
    local purpose=$1 prefix
    shift
    if ! have apt-get || ! prefix=$(root_prefix); then
        die "$purpose: please install $* (Debian: apt-get install $*), then run this again."
    fi
    say "Installing $* ($purpose)…"
    local quiet=(-y -q --no-install-recommends)
    # shellcheck disable=SC2086
    if ! $prefix env DEBIAN_FRONTEND=noninteractive apt-get install "${quiet[@]}" "$@" >"$CACHE/apt.log" 2>&1; then
        $prefix apt-get update -q >"$CACHE/apt.log" 2>&1 || true
        $prefix env DEBIAN_FRONTEND=noninteractive apt-get install "${quiet[@]}" "$@" >>"$CACHE/apt.log" 2>&1 ||
            { tail -n 20 "$CACHE/apt.log" >&2; die "apt-get install $* failed (the whole output: $CACHE/apt.log)."; }
    fi
}

# Prints the folder of PostgreSQL's server programs (15 or newer, the newest first); fails where there is none.
postgres_bin_dir() {
    local dir major
    if [ -n "${POSTGRES_BIN_DIR:-}" ]; then
        [ -x "$POSTGRES_BIN_DIR/postgres" ] && echo "$POSTGRES_BIN_DIR" && return 0
        return 1
    fi
    for dir in $(ls -d /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql*/bin \
        /usr/local/opt/postgresql*/bin /usr/local/pgsql/bin 2>/dev/null | sort -Vr) \
        "$(dirname "$(command -v postgres 2>/dev/null || echo /none/postgres)")"; do
        [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ] || continue
        major=$("$dir/postgres" --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/')
        if [ "$major" -ge 15 ] 2>/dev/null; then
            echo "$dir"
            return 0
        fi
    done
    return 1
}

# PostgreSQL's server programs, without the cluster that Debian would create and start on port 5432.
ensure_postgres() {
    postgres_bin_dir >/dev/null && return 0
    if [ -n "${POSTGRES_BIN_DIR:-}" ]; then
        die "POSTGRES_BIN_DIR=$POSTGRES_BIN_DIR holds no 'postgres' program."
    fi
    local prefix note=/etc/postgresql-common/createcluster.d/rowlock.conf made=""
    if have apt-get && prefix=$(root_prefix); then
        if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
            # shellcheck disable=SC2086
            { $prefix mkdir -p "${note%/*}" && echo "create_main_cluster = false" | $prefix tee "$note" >/dev/null; } && made=yes
        fi
        apt_install "PostgreSQL's server programs" postgresql
        # shellcheck disable=SC2086
        if [ -n "$made" ]; then $prefix rm -f "$note"; fi
    else
        die "PostgreSQL 15 or newer is needed (its server programs; no running server). Install it:
  Debian, Ubuntu: apt-get install postgresql
  Fedora:         dnf install postgresql-server
  RHEL 8 and 9:   dnf module enable postgresql:16, then the same
or name the folder of its programs in POSTGRES_BIN_DIR, or point DATABASE_URL at a database of your own."
    fi
    postgres_bin_dir >/dev/null || die "The installed PostgreSQL is older than 15: please install a newer one, or set POSTGRES_BIN_DIR."
}

# Rust and a C compiler (for the TLS and digest library).
ensure_rust() {
    [ -x "$HOME/.cargo/bin/cargo" ] && PATH="$HOME/.cargo/bin:$PATH"
    have cargo || die "Rust is needed to build the server: install it from https://rustup.rs, then run this again."
    local want has
    want=$(sed -nE 's/^rust-version *= *"([0-9.]+)".*/\1/p' "$ROOT/Cargo.toml" | head -n 1)
    has=$(cargo --version | awk '{print $2}')
    if [ "$(printf '%s\n%s\n' "$want" "$has" | sort -V | head -n 1)" != "$want" ]; then
        die "Rust $want or newer is needed, this is $has: run 'rustup update stable'."
    fi
    have cc || apt_install "a C compiler, to build" gcc libc6-dev
}

# is_set_in_env_file NAME: whether ./.env gives NAME a value.
is_set_in_env_file() {
    [ -f "$ROOT/.env" ] && grep -Eq "^[[:space:]]*(export[[:space:]]+)?$1=[\"']?[^[:space:]\"']" "$ROOT/.env"
}

mkdir -p "$CACHE"
