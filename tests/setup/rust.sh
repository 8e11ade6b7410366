#!/usr/bin/env bash
# Installs the Rust tools that the checks use, pinned, apart from what cargo has installed for the person, and prints the folder
# of their binaries. `rust.sh fuzz` brings the fuzzer too.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

need cargo "install Rust by rustup (the version is in Cargo.toml, rust-version)"

tool() { # NAME VERSION
  local target="$CACHE/rust/$1-$2"
  if [ ! -x "$target/bin/$1" ]; then
    lock "rust-$1"
    if [ ! -x "$target/bin/$1" ]; then
      fresh "$target" >/dev/null
      say "building $1 $2, a few minutes, once"
      step "$1" env CARGO_TARGET_DIR="$CACHE/target-tools" cargo install --quiet --locked --version "$2" --root "$target.part" "$1"
      land "$target"
    fi
  fi
  echo "$target/bin"
}

case "${1:-check}" in
  check) tool cargo-deny 0.20.2 ;;
  fuzz) tool cargo-fuzz 0.13.2 ;;
  *) die "usage: rust.sh [check|fuzz]" ;;
esac
