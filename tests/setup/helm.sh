#!/usr/bin/env bash
# Prints the path of helm, in the version that the tests are written for. One on the PATH at that version is taken; else it is
# built from its Go module (about 2 minutes on 2 cores, once); helm/go.mod and go.sum pin every module of it.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
version=4.3.1

says() { "$1" version --template '{{.Version}}' 2>/dev/null || true; }

have=$(command -v helm || true)
if [ -n "$have" ] && [ "$(says "$have")" = "v$version" ]; then
  echo "$have"
  exit
fi

target="$CACHE/helm/$version-$(digest "$SETUP"/helm/*)"
if [ ! -x "$target/helm" ]; then
  lock helm
  if [ ! -x "$target/helm" ]; then
    need go "install Go 1.26 or later, or put helm $version on the PATH"
    part=$(fresh "$target")
    say "building helm $version from its Go module, about 2 minutes, once"
    build() {
      cd "$SETUP/helm"
      # Two at a time: a build of this size on all cores starves a small machine.
      CGO_ENABLED=0 go build -mod=readonly -p 2 -trimpath \
        -ldflags "-s -w -X helm.sh/helm/v4/internal/version.version=v$version" -o "$part/helm" helm.sh/helm/v4/cmd/helm
    }
    step helm build
    said=$(says "$part/helm")
    [ "$said" = "v$version" ] || die "the built helm calls itself '$said', not v$version"
    land "$target"
  fi
fi
echo "$target/helm"
