#!/bin/sh
# Make .venv with the locked dependencies and prove it by one real Prefect task. Needs Python 3.11, 3.12 or 3.13;
# uses uv where it is there and works, else pip. Needs no root. Does nothing where nothing has changed.
set -eu
cd "$(dirname "$0")/.."

stamp=.venv/assetline-set-up
wanted=$(cat requirements.lock pyproject.toml | cksum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && .venv/bin/python -c '' 2>/dev/null; then
    exit 0
fi

suits='import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))'
python=
for candidate in ${PYTHON:-} python3.11 python3.12 python3.13 python3 python; do
    if "$candidate" -c "$suits" 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "assetline needs Python 3.11, 3.12 or 3.13 with venv. Install one (Debian: apt-get install python3-venv)," >&2
    echo "or say where it is: make setup PYTHON=/path/to/python3.11" >&2
    exit 1
fi

start=$(date +%s)
with_uv() {
    command -v uv >/dev/null 2>&1 || return 1
    uv venv --quiet --clear --python "$python" .venv \
        && uv pip install --quiet --python .venv/bin/python --require-hashes -r requirements.lock \
        && uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation -e .
}
with_pip() {
    "$python" -m venv --clear .venv \
        && .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock \
        && .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
}

tool=uv
if ! with_uv; then
    tool=pip
    echo "Setting up with pip; this takes a few minutes the first time." >&2
    with_pip
fi
echo "Set up with $tool and $("$python" -V) in $(($(date +%s) - start)) s; now one real Prefect task." >&2

.venv/bin/python -m apps.setup_check
echo "$wanted" >"$stamp"
