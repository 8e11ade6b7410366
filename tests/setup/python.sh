#!/usr/bin/env bash
# Prints the path of a Python that has exactly what requirements.txt says: the official Dapr SDK, a WebSocket library that is
# not ours, the Autobahn cases. To move a version: change requirements.in, run `tests/setup/python.sh --pin`, commit both.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

need python3 "install Python 3.11 or later with its venv module"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "Python 3.11 or later is wanted, this is $(python3 --version)"

make_venv() { # FOLDER REQUIREMENTS
  python3 -m venv "$1" && "$1/bin/python" -m pip install --quiet --disable-pip-version-check -r "$2"
}

if [ "${1:-}" = --pin ]; then
  scratch=$(mktemp -d)
  step python-pin make_venv "$scratch" "$SETUP/requirements.in"
  { echo "# Made by 'tests/setup/python.sh --pin' from requirements.in"; "$scratch/bin/python" -m pip freeze; } >"$SETUP/requirements.txt"
  rm -rf "$scratch"
fi

# A venv knows its own path, so it cannot be built elsewhere and moved into place: a mark, written last, says that it is whole.
target="$CACHE/python/$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')-$(digest "$SETUP/requirements.txt")"
if [ ! -e "$target/whole" ]; then
  lock python
  if [ ! -e "$target/whole" ]; then
    say "installing the Python packages of the tests"
    rm -rf "$target"
    mkdir -p "$(dirname "$target")"
    step python make_venv "$target" "$SETUP/requirements.txt"
    touch "$target/whole"
  fi
fi
echo "$target/bin/python"
