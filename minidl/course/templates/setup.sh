#!/usr/bin/env bash
# Gradescope runs this once, with a network, when the autograder is built.
set -euo pipefail
ROOT="${AUTOGRADER_ROOT:-/autograder}"

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

PYTHON=""
for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
    if new_enough "$candidate"; then PYTHON="$candidate"; break; fi
done
if [ -z "$PYTHON" ]; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends python3.11 python3.11-venv
    PYTHON=python3.11
fi
"$PYTHON" -m venv "$ROOT/venv" 2>/dev/null || {
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "$(basename "$(readlink -f "$(command -v "$PYTHON")")")-venv"
    "$PYTHON" -m venv "$ROOT/venv"
}
"$ROOT/venv/bin/python" -m pip install --quiet --disable-pip-version-check @PACKAGES@
"$ROOT/venv/bin/python" -m compileall -q "$ROOT/source"
chmod 700 "$ROOT/source" # the answers: not for the user that submissions run as
