#!/bin/sh
# Bring a Chromium for the tests of the page where there is none: sh tests/chromium.sh PYTHON
set -eu
for name in chromium chromium-browser google-chrome google-chrome-stable; do
    command -v "$name" >/dev/null && exit 0
done
own='from playwright.sync_api import sync_playwright as s
with s() as p: print(p.chromium.executable_path)'
test -x "$("$1" -c "$own")" && exit 0
echo "installing Chromium for the tests of the page …"
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    install() { apt-get install -qq -y --no-install-recommends chromium >/dev/null; }
    if install 2>/dev/null || { apt-get update -qq && install; }; then
        command -v chromium >/dev/null && exit 0
    fi
fi
exec "$1" -m playwright install chromium
