#!/usr/bin/env bash
# Prints a folder that holds what enforces NetworkPolicies on a node of kubelet.sh: kube-router, built from its Go module once (some two minutes), and, unpacked
# from Debian's package into a folder of its own, the ipset that it calls beside the iptables of kubelet.sh. Only Linux, only root.
# With --have: only whether it is there.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
version=2.1.0

[ "$(id -u)" -eq 0 ] || die "a node needs root: namespaces, mounts and cgroups of its own"
target="$CACHE/policies/$version-$(digest "$SETUP"/policies/*)"

# Whether it is there already.
if [ "${1:-}" = --have ]; then
  [ -d "$target" ]
  exit
fi

build() {
  cd "$SETUP/policies"
  # Two at a time: a build of this size on all cores starves a small machine.
  CGO_ENABLED=0 go build -mod=readonly -p 2 -trimpath \
    -ldflags "-s -w -X github.com/cloudnativelabs/kube-router/v2/pkg/version.Version=v$version" \
    -o "$part/kube-router" github.com/cloudnativelabs/kube-router/v2/cmd/kube-router
}

if [ ! -d "$target" ]; then
  lock policies
  if [ ! -d "$target" ]; then
    need go "install Go 1.26 or later"
    need apt-get "ipset is taken from Debian's packages"
    part=$(fresh "$target")
    say "building kube-router $version from its Go module, once"
    step kube-router build
    say "unpacking ipset from Debian's packages"
    step ipset unpack_debian "$part/debian" ipset
    land "$target"
  fi
fi
echo "$target"
