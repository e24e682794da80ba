#!/usr/bin/env bash
# Makes the virtual environment with the Python client that tests/tests/clients.rs uses. Does nothing where it is there.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
venv="$RAFTSMAN_CACHE/python"
pin=kubernetes==37.0.2
[ "$(cat "$venv/pin" 2>/dev/null)" = "$pin" ] && exit 0
python3 -m venv --clear "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check "$pin"
echo "$pin" >"$venv/pin"
