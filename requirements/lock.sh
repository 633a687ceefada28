#!/bin/sh
# lock.sh UV [FLAGS...]: makes the seven lock files of this folder from pyproject.toml, for every supported Python and system.
# Versions already locked stay unless --upgrade is among FLAGS. No index address is written into them.
set -eu
uv=$1
shift
cd "$(dirname "$0")/.."

lock() { # lock FILE SOURCE...
    out=$1
    shift
    set -- "$@" --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links
    "$UV" pip compile --quiet --custom-compile-command "make lock  (uv pip compile $* -o $out)" "$@" $FLAGS -o "$out"
}
UV=$uv FLAGS=$*

lock requirements/runtime.txt pyproject.toml
lock requirements/postgresql.txt pyproject.toml --extra postgresql -c requirements/runtime.txt
lock requirements/build.txt requirements/build.in -c requirements/runtime.txt
lock requirements/fuzz.txt requirements/fuzz.in -c requirements/runtime.txt
lock requirements/dev.txt pyproject.toml requirements/build.in --group dev -c requirements/runtime.txt
lock requirements/manifests.txt requirements/manifests.in -c requirements/dev.txt
lock requirements/contract.txt requirements/contract.in -c requirements/dev.txt
