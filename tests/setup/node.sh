#!/usr/bin/env bash
# Installs the development packages of each package.json that has a lock file, by that lock file, when it changed since.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

need node "install Node.js 20 or later"
need npm "install npm"
major=$(node -p 'process.versions.node.split(".")[0]')
[ "$major" -ge 20 ] || die "Node.js 20 or later is wanted, this is $(node --version)"

install() { cd "$1" && npm ci --no-audit --no-fund --ignore-scripts; }

cd "$ROOT"
git ls-files --cached --others --exclude-standard -- '*package-lock.json' | while read -r file; do
  folder="$ROOT/$(dirname "$file")"
  mark="$folder/node_modules/.bannou-$(digest "$ROOT/$file")"
  if [ ! -e "$mark" ]; then
    lock node
    if [ ! -e "$mark" ]; then
      say "npm ci in $(dirname "$file")"
      step node install "$folder"
      mkdir -p "$folder/node_modules"
      touch "$mark"
    fi
  fi
  echo "$folder/node_modules"
done
