#!/bin/sh
# Usage: PYTHON=python3 VENV=.venv sh scripts/install.sh {demo|docs|test|dev}
# Makes $VENV hold this package with the given extra. Does nothing where it already does; what an
# interrupted installation left behind is completed, or made anew where it cannot be.
set -eu

extra=$1
python=${PYTHON:-python3}
venv=${VENV:-.venv}
# `test` includes `demo` and `docs`, and `dev` all: a larger one that is installed serves a smaller.
case $extra in
    demo) serving="demo test dev" ;;
    docs) serving="docs test dev" ;;
    test) serving="test dev" ;;
    dev) serving="dev" ;;
    *) echo "install.sh: unknown extra '$extra': expected demo, docs, test or dev" >&2; exit 2 ;;
esac

wanted="$(pwd) $(cksum < pyproject.toml)"
healthy() {
    "$venv/bin/python" -c 'import bench, hydra, pip, rich' >/dev/null 2>&1 && [ -x "$venv/bin/bench" ]
}
if healthy; then
    for name in $serving; do
        if [ "$(cat "$venv/installed-$name" 2>/dev/null)" = "$wanted" ]; then exit 0; fi
    done
fi

if ! command -v "$python" >/dev/null || ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "bench needs Python >= 3.11 as '$python'. Install it: sudo apt install python3 python3-venv" >&2
    echo "(or name another one: make $extra PYTHON=/path/to/python3.12)" >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    echo "'$python' cannot make virtual environments. Install what is missing: sudo apt install python$version-venv" >&2
    exit 1
fi

"$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear "$venv"
echo "Installing bench[$extra] into $venv (about 6 GB the first time: PyTorch comes with CUDA) ..."
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".[$extra]"
echo "$wanted" > "$venv/installed-$extra"
