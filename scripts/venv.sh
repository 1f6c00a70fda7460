#!/usr/bin/env bash
# Makes .venv from a hashed lock, or says exactly what the system lacks. Usage: scripts/venv.sh LOCK
set -euo pipefail
cd "$(dirname "$0")/.."
lock=$1

usable() { "$1" -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' 2>/dev/null; }

find_python() {
  local seen=""
  for name in ${PYTHON:-python3 python3.11 python3.12 python3.13 python3.14}; do
    if usable "$name"; then echo "$name"; return; fi
    [ -n "$seen" ] || seen=$("$name" --version 2>/dev/null || true)
  done
  if [ -n "$seen" ]; then
    echo "error  this is $seen; Kedge needs Python 3.11 or later" >&2
    echo "fix    install one (Debian 12, Ubuntu 24.04: apt-get install python3 python3-venv), or name it: make install PYTHON=/path/to/python3" >&2
  else
    echo "error  no Python found; Kedge needs Python 3.11 or later" >&2
    echo "fix    apt-get install python3 python3-venv" >&2
  fi
  return 1
}

if ! usable .venv/bin/python; then
  python=$(find_python)
  if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    echo "error  $("$python" --version) lacks the venv module" >&2
    echo "fix    apt-get install python3-venv" >&2
    exit 1
  fi
  "$python" -m venv --clear .venv
fi

# The lock alone: every file checked against its hash, nothing compiled here, the build backend included. uv, itself from the lock by pip,
# spares minutes on a small machine; where it cannot reach a registry that pip is set up for, pip goes on.
pip=(.venv/bin/python -m pip install --quiet --disable-pip-version-check)
locked=(--require-hashes --only-binary :all:)
"${pip[@]}" "${locked[@]}" -r <(awk '/^[a-z0-9]/ { wanted = /^uv==/ } wanted' "$lock")
if ! .venv/bin/uv pip install --quiet --python .venv/bin/python --compile-bytecode "${locked[@]}" -r "$lock"; then
  echo "note   uv could not install the lock; pip tries, which takes some minutes" >&2
  "${pip[@]}" "${locked[@]}" -r "$lock"
fi
"${pip[@]}" --no-deps --no-index --no-build-isolation --editable .
