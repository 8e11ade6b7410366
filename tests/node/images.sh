#!/usr/bin/env bash
# Prints the tar files of the project's images, bannou-operator, bannou-gateway and bannou (the command, for the demo's services and page), and of RabbitMQ,
# written anew where what is in them has changed. No registry and no daemon. BANNOU_PROFILE: debug (default, built in
# a few minutes) or release (as they are released, some fifteen).
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
profile=${BANNOU_PROFILE:-debug}
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$BANNOU_CACHE/target}"
out="$BANNOU_CACHE/node/project"
# Certificates of public authorities: of identity providers, of brokers.
authorities=/etc/ssl/certs/ca-certificates.crt
[ -s "$authorities" ] || die "$authorities is not there: install ca-certificates"
mkdir -p "$out"

# image NAME TAG ARGUMENTS-OF-image.py…: the tag says what is in it, so that Pods are made anew when that has changed.
image() {
  local tar="$out/$1-$2.tar"
  if [ ! -e "$tar" ]; then
    rm -f "$out/$1"-????????????.tar
    python3 "$HERE/image.py" "$tar.part" "localhost/$1:$2" --user 65532 --entrypoint "[\"/$1\"]" "${@:3}"
    mv "$tar.part" "$tar"
  fi
  echo "$tar"
}

# As docker/Dockerfile makes them: one static program. A debug build is the workspace's, with the libraries that it wants.
programs() {
  local program folder what
  [ "$profile" = release ] || (cd "$ROOT" && cargo build --quiet --locked --workspace --bins) >&2
  for program in bannou-operator bannou-gateway bannou; do
    folder="$CARGO_TARGET_DIR/$profile" what=("$CARGO_TARGET_DIR/$profile/$program:/$program" "$authorities:$authorities")
    if [ "$profile" = release ]; then
      folder="$ROOT/build/images/$program" what=(--tree "$ROOT/build/images/$program")
      CARGO_TARGET_DIR="$CARGO_TARGET_DIR/images" "$ROOT/docker/stage.sh" "$program" "$folder" >&2
    fi
    image "$program" "$(cat "$HERE/image.py" "$folder/$program" | sha256sum | cut -c1-12)" "${what[@]}"
  done
}
programs

# What speaks in the tests: Node with a client of RabbitMQ.
if [ "${1:-}" = --tests ]; then
  "$ROOT/tests/setup/node.sh" >/dev/null
  tar="$out/speaker-$(cat "$HERE/image.py" "$ROOT"/tests/services/{speak.mjs,package-lock.json} | sha256sum | cut -c1-12).tar"
  if [ ! -e "$tar" ]; then
    rm -f "$out"/speaker-????????????.tar
    python3 "$HERE/image.py" "$tar.part" localhost/speaker:dev --user 65532 --entrypoint '["/node"]' "$(readlink -f "$(command -v node)"):/node" \
      "$ROOT/tests/services/speak.mjs:/app/speak.mjs" "$ROOT/tests/services/package.json:/app/package.json" "$ROOT/tests/services/node_modules:/app/node_modules"
    mv "$tar.part" "$tar"
  fi
  echo "$tar"
fi

# RabbitMQ as Debian has it, with a start of its own, since the package's wants to change users.
rabbitmq=$("$ROOT/tests/setup/rabbitmq.sh")
[ "$rabbitmq" != / ] || die "RabbitMQ is installed on this machine itself, which is no folder to make an image of"
tar="$out/rabbitmq-$(basename "$rabbitmq").tar"
if [ ! -e "$tar" ]; then
  python3 "$HERE/image.py" "$tar.part" localhost/rabbitmq:4.0.5 --tree "$rabbitmq" \
    --entrypoint '["/usr/lib/rabbitmq/bin/rabbitmq-server"]' --env LANG=C.UTF-8
  mv "$tar.part" "$tar"
fi
echo "$tar"
