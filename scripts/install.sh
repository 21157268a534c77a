#!/bin/sh
# Usage: PYTHON=python3 VENV=.venv TORCH=cpu sh scripts/install.sh {demo|docs|test|dev}
# Makes $VENV hold this package with the given extra, in the versions of constraints.txt. Does nothing
# where it already does; what an interrupted installation left behind is completed, or made anew where
# it cannot be. A torch that is in $VENV is kept. TORCH: `cpu`, or the URL of an index of torch builds.
set -eu

extra=$1
python=${PYTHON:-python3}
venv=${VENV:-.venv}
torch_index=${TORCH:-}
[ "$torch_index" != cpu ] || torch_index=https://download.pytorch.org/whl/cpu
case $torch_index in
    ''|http://*|https://*) ;;
    *) echo "install.sh: TORCH: expected 'cpu' or the URL of an index, found '$torch_index'" >&2; exit 2 ;;
esac
# `test` includes `demo` and `docs`, and `dev` all: a larger one that is installed serves a smaller.
case $extra in
    demo) serving="demo test dev" ;;
    docs) serving="docs test dev" ;;
    test) serving="test dev" ;;
    dev) serving="dev" ;;
    *) echo "install.sh: unknown extra '$extra': expected demo, docs, test or dev" >&2; exit 2 ;;
esac

wanted="$(pwd) $(cat pyproject.toml constraints.txt | cksum)"
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
pip_install() {
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}
torch_there() {
    "$venv/bin/python" -c 'from importlib.metadata import version; print(version("torch"))' 2>/dev/null || true
}
echo "Installing bench[$extra] into $venv."
if [ -n "$(torch_there)" ]; then
    echo "PyTorch $(torch_there) is there and is kept. The rest is about 0.3 GB from PyPI."
elif [ -n "$torch_index" ]; then
    echo "PyTorch comes from $torch_index (CPU only: about 0.2 GB), the rest from PyPI (0.3 GB)."
    pip_install torch torchvision --index-url "$torch_index"
else
    echo "About 3.3 GB from PyPI, 6.3 GB on disk, most of it PyTorch with CUDA on Linux."
    echo "Without a GPU, about 0.5 GB will do: stop this, and run 'make $extra TORCH=cpu'."
fi
# Its version is asked for where it is there: pip would rather replace it than a package that wants another.
pinned=$(torch_there)
if ! pip_install --constraint constraints.txt ${pinned:+"torch==$pinned"} --editable ".[$extra]"; then
    [ -z "$pinned" ] || echo "If pip names torch: $pinned was to be kept. For another one, '$venv/bin/pip uninstall torch torchvision' and run this again." >&2
    exit 1
fi
if ! "$venv/bin/python" -c 'import torchvision' 2>/dev/null; then
    echo "torchvision cannot be imported beside PyTorch $(torch_there): both have to come from one index. Mend it:" >&2
    echo "$venv/bin/pip uninstall -y torch torchvision && make $extra TORCH=cpu" >&2
    exit 1
fi
echo "$wanted" > "$venv/installed-$extra"
