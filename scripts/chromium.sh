#!/usr/bin/env bash
# Makes sure that there is a Chromium for `make stack-test`: the system's own, installed where this is root on Debian or Ubuntu.
set -euo pipefail

for name in chromium chromium-browser google-chrome; do
  command -v "$name" >/dev/null && exit
done

install='apt-get update && apt-get install -y --no-install-recommends chromium'
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  printf 'error  no Chromium\nwhy    the dashboard is tested in the browser of the system\nfix    sudo sh -c "%s"\n' "$install" >&2
  exit 1
fi
echo "installing Chromium" >&2
apt-get update -qq
RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core >/dev/null ||
  { printf 'error  Chromium could not be installed\nwhy    apt-get says above\nfix    %s\n' "$install" >&2; exit 1; }
