#!/bin/sh
# Install hash-locked packages into /opt/venv, drop what is for developers of those packages only, compile the rest.
#
#     install-locked LOCK... [--without NAME|FOLDER...]
#
# NAMEs are left out of the locks: their files would only be deleted again. A FOLDER, with a slash, is one of site-packages.
set -eu

locks=
while [ $# -gt 0 ] && [ "$1" != --without ]; do
    locks="$locks $1"
    shift
done
[ $# -eq 0 ] || shift
skip="^($(printf '%s|' "$@")-)=="
# shellcheck disable=SC2086 # a list of files
awk -v skip="$skip" '/^[a-z0-9]/ { keep = $0 !~ skip } keep' $locks >/tmp/lock.txt

# The pip of the base image installs into the virtual environment, so that none is left there. Wheels only: there is no
# compiler here either.
pip --python /opt/venv/bin/python install \
    --require-hashes --no-deps --only-binary :all: --no-compile --requirement /tmp/lock.txt

cd /opt/venv/lib/python3*/site-packages

for folder in "$@"; do
    case $folder in */*) rm -r "$folder" ;; esac
done

# Tests of libraries (56 MB, Keras' 10); h5py names its own in `h5py/__init__.py`. Modules called tests.py stay: jinja2
# has one. NumPy's _simd is for its tests alone.
find . -type d -name tests -not -path './h5py/*' -prune -exec rm -rf {} +
rm -rf joblib/test matplotlib/mpl-data/sample_data numpy/_core/_simd.*
if [ -d keras ]; then find keras -name '*_test.py' -delete; fi

# What Pillow needs for AVIF, WebP, colour profiles and fonts (9 MB): our plots are drawn by Matplotlib, which brings its
# own FreeType. Pillow asks for each only when it is to read such a file.
for name in avif webp imagingcms imagingft; do rm -f PIL/_$name.*; done
for name in avif webp webpdemux webpmux sharpyuv lcms2 freetype harfbuzz; do rm -f "pillow.libs/lib$name"-*; done

# Of Matplotlib's fonts (9 MB) its first one measures what is drawn, and the "last resort" stands for letters that that one
# lacks; each of the others would be read at each start.
find matplotlib/mpl-data/fonts -type f -not -name DejaVuSans.ttf -not -name 'LastResort*' -not -name 'LICENSE*' -delete

# What compilers and type checkers read: 13 MB, and 432 MB in tensorflow/include.
rm -rf tensorflow/include tensorflow/xla_aot_runtime_src pyarrow/include numpy/_core/include
find . -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -o -name '*.h' -o -name '*.hpp' \
    -o -name '*.c' -o -name '*.cpp' -o -name '*.cc' -o -name '*.a' \) -delete

# Wheels know no symbolic links: oneDAL's threads come three times, as libtbb.so, libtbb.so.12 and libtbb.so.12.20 (15
# MB). Programs load the one that bears the name that is written into it.
for file in /opt/venv/lib/*.so*; do
    [ ! -e "$file" ] || [ "$(objdump -p "$file" | awk '$1 == "SONAME" { print $2 }')" = "${file##*/}" ] || rm "$file"
done

# Symbols that only debuggers read: 40 MB, 12 MB in oneDAL, and 220 MB in TensorFlow. The libraries that wheels bundle
# (*.libs) stay as their makers patched them; of the others each must still load.
find /opt/venv/lib -type f -name '*.so*' -not -path '*.libs/*' -exec strip --strip-unneeded {} +
if find /opt/venv/lib -type f -name '*.so*' -exec ldd {} + 2>&1 | grep -i -e 'properly aligned' -e 'error while loading'
then
    exit 1
fi

# Nobody may write here at run time. Hashed and unchecked, bytecode stays valid whatever becomes of file times on the way
# through registries.
python -m compileall -q -j 0 --invalidation-mode unchecked-hash .
