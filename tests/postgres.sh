#!/bin/sh
# Bring PostgreSQL for the tests of feedback where there is none: sh tests/postgres.sh
# Where that does not work the tests on SQLite are run, and the others say that they were not.
set -eu
command -v initdb >/dev/null && exit 0
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing PostgreSQL for the tests of feedback …"
    install() { apt-get install -qq -y --no-install-recommends postgresql >/dev/null; }
    if install 2>/dev/null || { apt-get update -qq && install; }; then
        exit 0
    fi
fi
echo "no PostgreSQL: the tests of feedback run on SQLite only"
