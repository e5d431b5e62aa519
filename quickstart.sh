#!/usr/bin/env bash
# Makes .venv, installs translate-mix with pinned versions, and builds the sample mix: quickstart.sh [DIR]
# PYTHON names another interpreter; from 3.11 on.
set -euo pipefail
cd "$(dirname "$0")"
mix=${1:-mix}
python=${PYTHON:-python3}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "quickstart.sh: $python is no Python 3.11 or later; install one, or name it: PYTHON=python3.12 ./quickstart.sh" >&2
  exit 2
fi
if [ ! -x .venv/bin/pip ]; then
  rm -rf .venv
  if ! "$python" -m venv .venv; then
    echo "quickstart.sh: no venv module; on Debian and Ubuntu: sudo apt-get install python3-venv" >&2
    exit 2
  fi
fi
echo "Installing into .venv (a minute or two) ..."
.venv/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
.venv/bin/translate-mix run --output "$mix" --overwrite
echo
echo "Put translate-mix on your PATH:  source .venv/bin/activate"
