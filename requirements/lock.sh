#!/bin/sh
# Writes the two lock files anew: every version with its hashes, for Python 3.11 and later on every platform,
# and without the address of any registry (your own installer's settings say where packages come from).
set -eu
cd "$(dirname "$0")/.."
compile() {
    uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-header --quiet --extra server --group build "$@"
}
compile --output-file requirements/server.txt
compile --group dev --constraint requirements/server.txt --output-file requirements/dev.txt
