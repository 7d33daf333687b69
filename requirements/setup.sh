#!/bin/sh
# Builds .venv from a hashed lock: `setup.sh demo` for playing, `setup.sh dev` (a superset) for developing.
# Does nothing when .venv already holds what the lock says. PYTHON=... chooses the interpreter.
set -eu
cd "$(dirname "$0")/.."
want=$1
stamp=.venv/evertrain.stamp

mark() { echo "$1 $(cat "requirements/$1.lock" pyproject.toml | cksum)"; }
whole() { [ -x .venv/bin/python ] && .venv/bin/python -c '' 2>/dev/null; }
newer() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

if whole && [ -f "$stamp" ]; then
  have=$(cat "$stamp")
  { [ "$have" = "$(mark "$want")" ] || [ "$have" = "$(mark dev)" ]; } && exit 0
fi
if ! whole; then
  python=""
  for name in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
    if newer "$name"; then python=$name; break; fi
  done
  if [ -z "$python" ]; then
    echo "evertrain needs Python 3.11 or newer, and finds none. Install one, or say where it is: make setup PYTHON=/path/to/python3" >&2
    exit 1
  fi
  rm -rf .venv
  if ! "$python" -m venv .venv; then
    rm -rf .venv
    echo "$python cannot make a virtual environment. On Debian and Ubuntu: apt install python3-venv" >&2
    exit 1
  fi
fi
echo "Installing $(grep -c '==' "requirements/$want.lock") locked packages into .venv (a minute or two, once) ..."
pip() { .venv/bin/python -m pip --disable-pip-version-check --no-input "$@"; }
rm -f "$stamp"
pip install -q --require-hashes --no-deps -r "requirements/$want.lock"
pip install -q --no-deps --no-build-isolation -e .
mark "$want" > "$stamp"
