#!/usr/bin/env bash
# Makes .venv, installs translate-mix with pinned versions, and builds the sample mix: quickstart.sh [DIR]
# Without DIR the mix is mix/ beside this file.
# PYTHON names another interpreter, of Python 3.11 to 3.13.
set -euo pipefail
case ${1:-} in
  "" | /*) mix=${1:-mix} ;;
  *) mix=$PWD/$1 ;;
esac
cd "$(dirname "$0")"
python=${PYTHON:-python3}

if ! "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
  echo "quickstart.sh: $python is no Python 3.11 to 3.13; install one, or name it: PYTHON=python3.12 ./quickstart.sh" >&2
  exit 2
fi
if [ ! -x .venv/bin/pip ]; then
  if ! "$python" -m venv .venv; then
    echo "quickstart.sh: no venv module; on Debian and Ubuntu: sudo apt-get install python3-venv" >&2
    exit 2
  fi
fi
echo "Installing into .venv (a minute or two) ..."
.venv/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
if [ -f "$mix/manifest.json" ] && ! .venv/bin/python - "$mix/manifest.json" <<'END'
import json, sys
sys.exit(json.load(open(sys.argv[1], encoding="utf-8"))["recipe"]["name"] != "sample")
END
then
  echo "quickstart.sh: $mix holds another mix than the sample; name another folder: ./quickstart.sh DIR" >&2
  exit 2
fi
.venv/bin/translate-mix run --output "$mix" --overwrite
echo
echo "Put translate-mix on your PATH:  source .venv/bin/activate"
