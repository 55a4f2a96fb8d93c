#!/usr/bin/env bash
# All tests but the matrix: makes .venv with what it needs, then checks style and types and runs pytest.
# Arguments go to pytest. Exit codes: pytest's own, or 3 where the environment cannot be made.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. ./.ci/environment
if [ $# -eq 0 ]; then
  .venv/bin/ruff check .
  .venv/bin/ruff format --check .
  .venv/bin/mypy
fi
exec .venv/bin/python -m pytest "$@"
