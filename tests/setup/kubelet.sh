#!/usr/bin/env bash
# Prints a folder that holds what a real node of Kubernetes needs beside the control plane of kubernetes.sh: kubelet, kube-proxy, CoreDNS, the
# control plane of Dapr with its chart, and, unpacked from Debian's packages into a folder of their own, containerd, runc and the
# network's tools (nothing of them is installed on this machine). Built from Go modules, once (some three minutes after
# kubernetes.sh and daprd.sh, whose builds they share; ten alone). Only Linux, only root. With --have: only whether it is there.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
kubernetes=1.37.2
dapr=1.18.1
coredns=1.15.0
packages=(containerd runc containernetworking-plugins nftables iptables conntrack)

[ "$(id -u)" -eq 0 ] || die "a node needs root: namespaces, mounts and cgroups of its own"
target="$CACHE/node/$kubernetes-$dapr-$(digest "$SETUP"/kubelet/*/*)"

# Whether it is there already.
if [ "${1:-}" = --have ]; then
  [ -e "$target/whole" ]
  exit
fi

compile() { # NAME MODULE PACKAGE FLAGS…
  local name=$1 module=$2 package=$3
  shift 3
  cd "$SETUP/kubelet/$module"
  # Two at a time: a build of this size on all cores starves a small machine.
  CGO_ENABLED=0 go build -mod=readonly -p 2 -trimpath "$@" -o "$target/.$name" "$package"
}

# part NAME MODULE PACKAGE FLAGS…: moved in once it is whole, so that an interrupted build goes on where it stopped.
part() {
  [ -x "$target/$1" ] && return
  need go "install Go 1.26 or later"
  say "building $1 from its Go module, once"
  step "$1" compile "$@"
  mv "$target/.$1" "$target/$1"
}

debian() {
  local part
  part=$(fresh "$target/debian")
  unpack_debian "$part" "${packages[@]}"
  # The package leaves the choice between two kinds of tables to its installation.
  for name in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
    ln -sf "${name/tables/tables-nft}" "$part/usr/sbin/$name"
  done
  land "$target/debian"
}

if [ ! -e "$target/whole" ]; then
  lock kubelet
  if [ ! -e "$target/whole" ]; then
    mkdir -p "$target"
    stamp=""
    # Without them it calls itself v0.0.0, and clients that look at the version choke on that.
    for path in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
      stamp+=" -X $path.gitVersion=v$kubernetes -X $path.gitMajor=${kubernetes%%.*}"
      stamp+=" -X $path.gitMinor=$(cut -d. -f2 <<<"$kubernetes") -X $path.gitTreeState=clean"
    done
    for name in kubelet kube-proxy; do part "$name" kubernetes "k8s.io/kubernetes/cmd/$name" -ldflags "-s -w$stamp"; done
    part coredns coredns . -ldflags "-s -w -X github.com/coredns/coredns/coremain.CoreVersion=$coredns"
    for name in injector sentry operator placement; do
      part "dapr-$name" dapr "github.com/dapr/dapr/cmd/$name" -tags stablecomponents \
        -ldflags "-s -w -X github.com/dapr/dapr/pkg/buildinfo.version=$dapr"
    done
    if [ ! -d "$target/dapr-chart" ]; then
      module=$(cd "$SETUP/kubelet/dapr" && go list -mod=readonly -m -f '{{.Dir}}' github.com/dapr/dapr)
      part=$(fresh "$target/dapr-chart")
      cp -r --no-preserve=mode "$module/charts/dapr/." "$part"
      land "$target/dapr-chart"
    fi
    if [ ! -d "$target/debian" ]; then
      need apt-get "containerd and runc are taken from Debian's packages"
      say "unpacking containerd and what it needs from Debian's packages"
      step debian debian
    fi
    touch "$target/whole"
  fi
fi
echo "$target"
