# Sourced by the scripts: where caches live, and what must be installed.
# Caches stand outside the clone, so that a fresh clone is warm.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export SPANWISE_CACHE="${SPANWISE_CACHE:-$HOME/.cache/spanwise}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$SPANWISE_CACHE/target}"
mkdir -p "$SPANWISE_CACHE"

# rustup puts its tools here without telling shells that are already open.
if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then
    export PATH="$HOME/.cargo/bin:$PATH"
fi

say() { printf '\n== %s\n' "$*" >&2; }

# need TOOL… : ends with one clear line per missing tool.
need() {
    local tool missing=0
    for tool in "$@"; do
        case $tool in
            rust) command -v cargo >/dev/null && command -v rustc >/dev/null ||
                { echo "missing: a Rust toolchain (rustup.rs, or your distribution's)" >&2; missing=1; } ;;
            cc) command -v cc >/dev/null ||
                { echo "missing: a C compiler called cc (Debian: apt-get install build-essential)" >&2; missing=1; } ;;
            python) python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
                { echo "missing: python3, version 3.10 or newer" >&2; missing=1; } ;;
            node) node -e 'process.exit(process.versions.node.split(".")[0] >= 20 ? 0 : 1)' 2>/dev/null && command -v npm >/dev/null ||
                { echo "missing: node 20 or newer, with npm" >&2; missing=1; } ;;
        esac
    done
    [ "$missing" = 0 ] || exit 1
}
