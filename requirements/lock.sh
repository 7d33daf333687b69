#!/bin/sh
# Writes all locks anew. Needs uv on PATH; bounds are in pyproject.toml.
set -eu
command -v uv >/dev/null || { echo "Locks are resolved by uv, which is not on PATH: pip install uv, in an environment of its own." >&2; exit 1; }
cd "$(dirname "$0")/.."
lock() {
  out=$1; shift
  uv pip compile pyproject.toml "$@" --universal --python-version 3.11 --generate-hashes \
    --no-header --no-annotate --no-emit-index-url -q -o "$out"
}
lock requirements/base.lock
lock requirements/demo.lock --extra demo --group build --override requirements/overrides.txt
lock requirements/dev.lock --all-extras --group dev
# A client that others wrote, which the contract of the protocol is tested with; it has an environment of its own.
uv pip compile tests/contract/clients/kserve.in --universal --python-version 3.11 --generate-hashes \
  --no-header --no-annotate --no-emit-index-url -q -o tests/contract/clients/kserve.lock
