#!/usr/bin/env bash
# The Autobahn cases (kosoku) against an echo built on the gateway's own WebSocket codec. The reports of the cases land in
# build/autobahn/, index.html first.
#
#   tests/autobahn/run.sh                     all cases but those of compression (12, 13), which the gateway does not offer
#   tests/autobahn/run.sh -i '6.*' -i 9.1.1   these alone
#   AUTOBAHN_ECHO='COMMAND…'                  another server, one that prints its port in its first line of output
set -euo pipefail
cd "$(dirname "$0")/../.."

python=$(tests/setup/python.sh)
out=build/autobahn
rm -rf "$out"
mkdir -p "$out"

if [ -n "${AUTOBAHN_ECHO:-}" ]; then
  read -r -a echo_server <<<"$AUTOBAHN_ECHO"
else
  cargo build --quiet -p bannou-gateway --example autobahn_echo
  echo_server=("${CARGO_TARGET_DIR:-target}/debug/examples/autobahn_echo" 0)
fi

# As a coprocess its input is a pipe from here, so `tied` ends it with this script, also when that is killed.
coproc ECHO { exec tests/services/tied "${echo_server[@]}" 2>"$out/echo.log"; }
read -r -t 30 line <&"${ECHO[0]}" || { echo "autobahn: the echo server did not say where it listens: $out/echo.log" >&2; exit 1; }
port=$(grep -oE '[0-9]+' <<<"$line" | tail -n 1)

cases=("$@")
[ $# -gt 0 ] || cases=(-x '12.*' -x '13.*')
status=0
"$(dirname "$python")/kosoku" -m fuzzingclient -p 2 "${cases[@]}" -o "$out" "ws://127.0.0.1:$port" || status=$?
[ -n "${ECHO_PID:-}" ] || { echo "autobahn: the echo server ended before the cases did: $out/echo.log" >&2; exit 1; }
if [ $# -gt 0 ]; then least=1; else least=300; fi
# kosoku's own status counts what the gateway is allowed as well; the reports decide, unless it wrote none.
[ -e "$out/index.json" ] || { echo "autobahn: kosoku ended with $status and without a report" >&2; exit 1; }
"$python" tests/autobahn/judge.py "$out/index.json" "$least"
