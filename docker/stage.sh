#!/usr/bin/env bash
# Builds one program and lays out the whole file system of its image: the program, and the certificates of public authorities. What the
# Dockerfile copies into an empty image, and what makes an image without Docker.
#
#   docker/stage.sh bannou-gateway|bannou-operator|bannou FOLDER
#
# CARGO_TARGET_DIR, CARGO and PROFILE (release) as for cargo; AUTHORITIES names the bundle of certificates.
set -euo pipefail
cd "$(dirname "$0")/.."
program=${1:?which program} folder=${2:?which folder}
authorities=${AUTHORITIES:-/etc/ssl/certs/ca-certificates.crt}
profile=${PROFILE:-release}
case "$program" in
  bannou-gateway | bannou-operator) package=$program ;;
  bannou) package=bannou-cli ;;
  *) echo "docker/stage.sh: there is no image of '$program'" >&2; exit 2 ;;
esac
[ -s "$authorities" ] || { echo "docker/stage.sh: $authorities is not there: install ca-certificates" >&2; exit 1; }

target=$(rustc -vV | sed -n 's/^host: //p')
# With a target of its own, the flag is for what runs in the image alone, not for build scripts. Statically linked against glibc, which since
# 2.34 looks up names by files and DNS without loading anything.
RUSTFLAGS="-C target-feature=+crt-static" "${CARGO:-cargo}" build --locked --profile "$profile" --target "$target" -p "$package" --bin "$program"

built="${CARGO_TARGET_DIR:-target}/$target/${profile/#dev/debug}/$program"
mkdir -p "$folder/etc/ssl/certs"
# Without its debug information, which is for a core file beside the unstripped one.
strip -o "$folder/$program" "$built"
cp "$authorities" "$folder/etc/ssl/certs/ca-certificates.crt"
chmod -R u=rwX,go=rX "$folder"
echo "$folder/$program: $(du -h "$folder/$program" | cut -f1)"
