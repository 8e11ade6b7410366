#!/usr/bin/env bash
# Shows of what docker/stage.sh has laid out that it is an image as the Dockerfile says: one static program that runs as 65532 on a read-only
# file system with nothing else in it, looks up names, and knows public authorities. Needs root, for namespaces of its own.
#
#   docker/check.sh bannou-gateway|bannou-operator|bannou FOLDER
set -euo pipefail
program=${1:?which program} folder=$(cd "${2:?which folder}" && pwd)

files=$(cd "$folder" && find . -type f | sort)
[ "$files" = "$(printf './%s\n' "$program" etc/ssl/certs/ca-certificates.crt)" ] || { echo "there is more in it: $files"; exit 1; }
! readelf --program-headers "$folder/$program" | grep -q INTERP || { echo "$program wants a loader"; exit 1; }
readelf --file-header "$folder/$program" | grep -q 'Type:.*DYN' || { echo "$program is not position-independent"; exit 1; }
grep -q 'BEGIN CERTIFICATE' "$folder/etc/ssl/certs/ca-certificates.crt"

# inside COMMAND…: in the image, as kubelet runs it: nobody's rights, nothing to write to, and the /etc/hosts of its Pod.
inside() {
  # shellcheck disable=SC2016 # for the shell inside
  unshare --mount --pid --fork --kill-child bash -c '
    set -euo pipefail
    folder=$1; shift
    mount --make-rprivate /
    root=$(mktemp -d)
    mount -t tmpfs tmpfs "$root"
    cp -a "$folder/." "$root/"
    echo "127.0.0.1 here" >"$root/etc/hosts"
    echo "not a token" >"$root/token"
    mount -o remount,ro "$root"
    exec setpriv --no-new-privs chroot --userspec=65532:65532 --groups= "$root" "$@"
  ' -- "$folder" "$@"
}

version=$(inside "/$program" --version)
echo "runs: $version"
if inside /bin/sh -c true 2>/dev/null; then echo "there is a shell"; exit 1; fi
echo "no shell"

# says WORDS COMMAND…: it says so within a minute, and is ended then.
says() {
  local words=$1 log pid
  shift
  log=$(mktemp)
  inside "$@" >"$log" 2>&1 &
  pid=$!
  for _ in $(seq 600); do
    grep -q -- "$words" "$log" && break
    sleep 0.1
  done
  kill "$pid" 2>/dev/null || true
  grep -m1 -- "$words" "$log" || { echo "nothing about '$words' in:"; cat "$log"; exit 1; }
}
case "$program" in
  bannou-gateway)
    # A name of /etc/hosts, and the authorities: it dials, and nobody is there.
    says 'Connection refused' /bannou-gateway --operator wss://here:1 --operator-ca /etc/ssl/certs/ca-certificates.crt \
      --operator-token-file /token --pod-name check --bind 127.0.0.1 --port 0 --admin-bind 127.0.0.1 --admin-port 0 --internal-port 0 --inspect-port 0
    ;;
  bannou-operator)
    # It is in no cluster, and says so.
    says 'KUBERNETES_SERVICE_HOST\|in-cluster\|kubeconfig\|KUBECONFIG' /bannou-operator --namespace check --pod-name check
    ;;
  bannou)
    # A name of /etc/hosts again.
    says 'port 1 cannot be reached' /bannou check --url ws://here:1/connect
    ;;
esac
echo "$program: as an image would run it"
