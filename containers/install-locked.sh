#!/bin/sh
# Install hash-locked packages into /opt/venv, drop what is for developers of those packages only, compile the rest.
#
#     install-locked LOCK... [--without NAME...]
#
# NAMEs are left out of the locks: their files would only be deleted again.
set -eu

locks=
while [ $# -gt 0 ] && [ "$1" != --without ]; do
    locks="$locks $1"
    shift
done
skip="^($(printf '%s|' "$@")-)=="
# shellcheck disable=SC2086 # a list of files
awk -v skip="$skip" '/^[a-z0-9]/ { keep = $0 !~ skip } keep' $locks >/tmp/lock.txt

# The pip of the base image installs into the virtual environment, so that none is left there. Wheels only: there is no
# compiler here either.
pip --python /opt/venv/bin/python install \
    --require-hashes --no-deps --only-binary :all: --no-compile --requirement /tmp/lock.txt

cd /opt/venv/lib/python3*/site-packages

# Tests of libraries (56 MB); h5py names its own in `h5py/__init__.py`. Modules called tests.py stay: jinja2 has one.
find . -type d -name tests -not -path './h5py/*' -prune -exec rm -rf {} +

# What compilers and type checkers read: 13 MB, and 432 MB in tensorflow/include.
rm -rf tensorflow/include tensorflow/xla_aot_runtime_src pyarrow/include numpy/_core/include
find . -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -o -name '*.h' -o -name '*.hpp' \
    -o -name '*.c' -o -name '*.cpp' -o -name '*.cc' -o -name '*.a' \) -delete

# Symbols that only debuggers read: 40 MB, and 220 MB in TensorFlow. The libraries that wheels bundle (*.libs) stay as
# their makers patched them; of the others each must still load.
find . -type f -name '*.so*' -not -path './*.libs/*' -exec strip --strip-unneeded {} +
if find . -type f -name '*.so*' -exec ldd {} + 2>&1 | grep -i -e 'properly aligned' -e 'error while loading'; then
    exit 1
fi

# Nobody may write here at run time. Hashed and unchecked, bytecode stays valid whatever becomes of file times on the way
# through registries.
python -m compileall -q -j 0 --invalidation-mode unchecked-hash .
