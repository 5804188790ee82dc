#!/bin/sh
# Bring Prometheus's own check of alerts and queries where it is missing: sh tests/promtool.sh FOLDER
# Nothing is installed: the program is taken out of Debian's package and put into that folder.
set -eu
command -v promtool >/dev/null && exit 0
test -x "$1/promtool" && exit 0
if command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
    echo "fetching promtool for the tests of deploy/ …"
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    download() { (cd "$folder" && apt-get download -qq prometheus >/dev/null 2>&1); }
    if download || { apt-get update -qq 2>/dev/null && download; }; then
        dpkg-deb -x "$folder"/prometheus_*.deb "$folder"
        mv "$folder/usr/bin/promtool" "$1/promtool"
        exit 0
    fi
fi
echo "no promtool: Prometheus does not check the alerts"
