#!/bin/sh
# Usage: PYTHON=python3.11 sh scripts/oracle/install.sh VENV
# Makes VENV hold the reference implementations (Xplique on TensorFlow), apart from ours: they need
# older packages than we do. Does nothing where it already does.
set -eu

venv=$1
python=${PYTHON:-python3.11}
folder=$(dirname "$0")
wanted="$(pwd) $(cat "$folder"/requirements*.txt | cksum)"
if [ "$(cat "$venv/installed" 2>/dev/null)" = "$wanted" ]; then exit 0; fi

if ! "$python" -c 'import ensurepip, venv, sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
    echo "TensorFlow 2.12 needs Python 3.11 with venv, found '$python':" >&2
    echo "name one with make oracle ORACLE_PYTHON=/path/to/python3.11" >&2
    exit 1
fi
"$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear "$venv"
echo "Installing Xplique and TensorFlow into $venv (about 1.5 GB) ..."
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$folder/requirements.txt"
# Xplique asks for more than its metrics and methods use.
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$folder/requirements-no-deps.txt"
echo "$wanted" > "$venv/installed"
