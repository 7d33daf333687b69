#!/bin/sh
# Prints the installed size of the base and of the demo, without bytecode, as the README states it.
set -eu
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for name in base demo; do
  .venv/bin/python -m venv --without-pip "$scratch/$name"
  site=$("$scratch/$name/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  .venv/bin/python -m pip --disable-pip-version-check install -q --no-compile --require-hashes --no-deps \
    --target "$site" -r "requirements/$name.lock"
  echo "$name: $(du -sm "$site" | cut -f1) MB in $(find "$site" -maxdepth 1 -name '*.dist-info' | wc -l) packages"
done
