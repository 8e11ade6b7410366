#!/usr/bin/env bash
# Prints the path of a Chromium for the browser tests: BANNOU_CHROMIUM, one on the PATH, or Debian's, installed when this is root.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

find_it() {
  local name
  for name in "${BANNOU_CHROMIUM:-}" chromium chromium-browser google-chrome; do
    [ -n "$name" ] && command -v "$name" && return
  done
  return 1
}

find_it && exit
lock chromium
find_it && exit
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  die "no Chromium: install one (Debian: 'apt-get install chromium'), or name it in BANNOU_CHROMIUM"
fi
say "installing Debian's chromium"
export DEBIAN_FRONTEND=noninteractive
step apt-update apt-get update -q
step chromium apt-get install -q -y --no-install-recommends chromium
find_it || die "chromium was installed, but is not on the PATH"
