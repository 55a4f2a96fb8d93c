#!/usr/bin/env bash
# The one door to the conformance matrix: makes .venv with what it needs, then runs every cell.
# Flags: ./run-matrix.sh --help. Exit codes: 0 as expected, 1 a failure, 2 usage or config, 3 environment.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. ./.ci/environment
exec .venv/bin/crosswire-matrix run "$@"
