#!/usr/bin/env bash
# Installs what the tests need into .venv (torch among it, for the model converter), then checks style, types and
# behaviour, in two processes. .venv grows to 2 GB with a CPU build of torch; where PyPI's brings CUDA (x86 Linux), by
# several GB more: for the CPU build, first `.venv/bin/pip install torch==2.13.0 --index-url
# https://download.pytorch.org/whl/cpu`. Arguments go to pytest: ./run-tests.sh tests/translation -k engine
set -euo pipefail
cd "$(dirname "$0")"
python=${PYTHON:-python3}
[ -x .venv/bin/pip ] || "$python" -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
# Two processes with two threads each would wait for each other.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
.venv/bin/python -m pytest -n 2 --dist loadfile "$@"
