#!/usr/bin/env bash
# Prints a folder with the definitions of the Gateway API (its standard channel), as a cluster installs them. They are files of its Go module, which
# gateway-api/go.mod and go.sum pin; nothing is built.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
target="$CACHE/gateway-api/$(digest "$SETUP"/gateway-api/*)"
if [ ! -d "$target" ]; then
  lock gateway-api
  if [ ! -d "$target" ]; then
    need go "install Go 1.26 or later"
    part=$(fresh "$target")
    take() {
      cd "$SETUP/gateway-api"
      local from
      from=$(go mod download -json sigs.k8s.io/gateway-api | sed -nE 's/^\t"Dir": "(.*)",?$/\1/p')
      [ -d "$from" ]
      cp "$from"/config/crd/standard/*.yaml "$part"
      chmod u+w "$part"/*
    }
    step gateway-api take
    land "$target"
  fi
fi
echo "$target"
