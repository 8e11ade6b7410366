#!/usr/bin/env bash
# Prints the path of daprd, Dapr's sidecar, in the version that the tests are written for. One on the PATH at that version is
# taken; else dapr/main.go is built (about 3 minutes on 2 cores, once); dapr/go.mod and go.sum pin every module of it.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
version=1.18.1

have=$(command -v daprd || true)
if [ -n "$have" ] && [ "$("$have" --version 2>/dev/null)" = "$version" ]; then
  echo "$have"
  exit
fi

target="$CACHE/daprd/$version-$(digest "$SETUP"/dapr/*)"
if [ ! -x "$target/daprd" ]; then
  lock daprd
  if [ ! -x "$target/daprd" ]; then
    need go "install Go 1.26 or later, or put daprd $version on the PATH"
    part=$(fresh "$target")
    say "building daprd $version from its Go module, about 3 minutes, once"
    build() {
      cd "$SETUP/dapr"
      # Two at a time: a build of this size on all cores starves a small machine.
      go build -mod=readonly -p 2 -trimpath -tags stablecomponents \
        -ldflags "-s -w -X github.com/dapr/dapr/pkg/buildinfo.version=$version" -o "$part/daprd" .
    }
    step daprd build
    said=$("$part/daprd" --version || true)
    [ "$said" = "$version" ] || die "the built daprd calls itself '$said', not $version"
    land "$target"
  fi
fi
echo "$target/daprd"
