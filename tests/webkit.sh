#!/bin/sh
# Bring WebKit, the engine of Safari, for its tests of the page where there is none: sh tests/webkit.sh
# Where that does not work, these tests say that they did not run.
set -eu
command -v WebKitWebDriver >/dev/null && command -v Xvfb >/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing WebKit for the tests of the page …"
    install() { apt-get install -qq -y --no-install-recommends webkit2gtk-driver xvfb >/dev/null 2>&1; }
    if install || { apt-get update -qq && install; }; then
        exit 0
    fi
fi
echo "no WebKit: the page is tested in Chromium only"
