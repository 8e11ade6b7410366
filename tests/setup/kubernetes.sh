#!/usr/bin/env bash
# Prints a folder that holds the parts of a real Kubernetes control plane, in the version that the tests are written for: etcd,
# kube-apiserver, kube-controller-manager, kube-scheduler and kubectl. Each is taken from KUBEBUILDER_ASSETS where that has it (in
# whatever version: who sets it means it), from the PATH at exactly this version, or is built from its Go module, once (about ten
# minutes for all on 2 cores); kubernetes/go.mod and etcd/go.mod pin every module of them.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
kubernetes=1.37.2
etcd=3.7.3
parts=(etcd kube-apiserver kube-controller-manager kube-scheduler kubectl)

built="$CACHE/kubernetes/$kubernetes-$(digest "$SETUP"/{kubernetes,etcd}/*)"

# version PROGRAM: what it calls itself, without the words around it
version() {
  case "$1" in
    *kubectl) "$1" version --client ;;
    *) "$1" --version ;;
  esac 2>/dev/null | sed -nE '1s/^(Kubernetes|etcd Version:|Client Version:) v?//p'
}

wanted() { if [ "$1" = etcd ]; then echo "$etcd"; else echo "$kubernetes"; fi; }

# A person's own one, or nothing.
given() {
  local path
  if [ -n "${KUBEBUILDER_ASSETS:-}" ] && [ -x "$KUBEBUILDER_ASSETS/$1" ]; then
    echo "$KUBEBUILDER_ASSETS/$1"
  elif path=$(command -v "$1") && [ "$(version "$path")" = "$(wanted "$1")" ]; then
    echo "$path"
  fi
}

compile() { # PART
  local stamp="" package
  if [ "$1" = etcd ]; then
    cd "$SETUP/etcd"
    package=go.etcd.io/etcd/server/v3
  else
    cd "$SETUP/kubernetes"
    package="k8s.io/kubernetes/cmd/$1"
    # Without them it calls itself v0.0.0, and clients that look at the server's version choke on that.
    for path in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
      stamp+=" -X $path.gitVersion=v$kubernetes -X $path.gitMajor=${kubernetes%%.*}"
      stamp+=" -X $path.gitMinor=$(cut -d. -f2 <<<"$kubernetes") -X $path.gitTreeState=clean"
    done
  fi
  # Two at a time: a build of this size on all cores starves a small machine.
  CGO_ENABLED=0 go build -mod=readonly -p 2 -trimpath -ldflags "-s -w$stamp" -o "$built/.$1" "$package"
}

# A part on its own is moved in once it is whole, so that an interrupted build goes on where it stopped.
provide() { # PART
  [ -x "$built/$1" ] && return
  lock kubernetes
  [ -x "$built/$1" ] && return
  need go "install Go 1.26 or later, or name the folder of a control plane's programs in KUBEBUILDER_ASSETS"
  mkdir -p "$built"
  say "building $1 $(wanted "$1") from its Go module, once"
  step "$1" compile "$1"
  local said
  said=$(version "$built/.$1")
  [ "$said" = "$(wanted "$1")" ] || die "the built $1 calls itself '$said', not $(wanted "$1")"
  mv "$built/.$1" "$built/$1"
}

paths=()
for part in "${parts[@]}"; do
  path=$(given "$part")
  if [ -z "$path" ]; then
    provide "$part"
    path="$built/$part"
  fi
  paths+=("$path")
done

# One folder of links, named after where they lead: what one run is given does not change under another.
folder="$CACHE/kubernetes/use-$(printf '%s\n' "${paths[@]}" | sha256sum | cut -c1-12)"
mkdir -p "$folder"
for path in "${paths[@]}"; do ln -sfn "$path" "$folder/$(basename "$path")"; done
echo "$folder"
