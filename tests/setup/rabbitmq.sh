#!/usr/bin/env bash
# Prints where RabbitMQ 4 is: `/` when a rabbitmq-server 4 is on the PATH of this machine, else the folder of a Debian 13 with its
# rabbitmq-server (4.0.5, Erlang 27; 70 s and 370 MB, once), to be used by chroot. Debian 12's own 3.10 is out of support and will not do.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
suite=trixie version=4.0.5

major() { rabbitmq-server --version 2>/dev/null || rabbitmqctl version 2>/dev/null; }
if command -v rabbitmq-server >/dev/null && [[ "$(major || true)" == 4.* ]]; then
  echo /
  exit
fi

target="$CACHE/rabbitmq/$suite-$version"
if [ ! -x "$target/usr/sbin/rabbitmq-server" ]; then
  lock rabbitmq
  if [ ! -x "$target/usr/sbin/rabbitmq-server" ]; then
    [ "$(id -u)" -eq 0 ] || die "RabbitMQ 4 is not on the PATH, and only root can install it into a folder (debootstrap, chroot)"
    export DEBIAN_FRONTEND=noninteractive
    if ! command -v debootstrap >/dev/null; then
      need apt-get "put RabbitMQ 4 on the PATH, or install debootstrap"
      say "installing Debian's debootstrap"
      step apt-update apt-get update -q
      step debootstrap apt-get install -q -y --no-install-recommends debootstrap
    fi
    part=$(fresh "$target")
    chmod 755 "$part" # the broker reads its files as another user might
    say "installing RabbitMQ $version from Debian $suite into a folder, about 70 s, once"
    install() {
      # No service may start in there: the policy says so, and nothing of the machine's init is seen inside.
      unshare --mount --fork --kill-child debootstrap --variant=minbase --include=rabbitmq-server "$suite" "$part"
      rm -rf "$part"/var/cache/apt/archives/*.deb "$part"/var/lib/apt/lists/* "$part"/usr/share/{doc,man,locale}
    }
    step rabbitmq install
    have=$(chroot "$part" dpkg-query -W -f '${Version}' rabbitmq-server)
    [[ "$have" == "$version"-* ]] || die "Debian $suite has rabbitmq-server $have, not $version"
    land "$target"
  fi
fi
echo "$target"
