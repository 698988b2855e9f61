#!/usr/bin/env bash
# Cross-compiles slmprof for aarch64 with Debian's toolchain, and tries it under qemu's user emulation: the native unit
# tests, those in Python of what depends on the machine, and third_party/llama.cpp/smoke.py.
# usage: packaging/aarch64.sh FOLDER
# FOLDER takes everything: Debian's arm64 packages of Python, unpacked and never installed, its wheels, the build.
# Needs g++-aarch64-linux-gnu and qemu-user-static, apt's package lists to be within reach, and, for the build, what
# CONTRIBUTING.md installs for work on the native part; no root.
#     SLMPROF_ARM_ARCH  what ggml is compiled for, as gcc's -march names it; without, the preset's
#     SLMPROF_ARM_CPU   which processor qemu is to be: cortex-a76
set -euo pipefail
mkdir -p "$1"
folder=$(realpath "$1")
cd "$(dirname "$0")/.."
cpu=${SLMPROF_ARM_CPU:-cortex-a76}
sysroot=$folder/sysroot

step() { printf '\n== %s (after %s s)\n' "$1" "$SECONDS"; }
quietly() { "$@" >"$folder/last.log" 2>&1 || { tail -50 "$folder/last.log" >&2; exit 1; }; }

qemu=$(command -v qemu-aarch64-static || command -v qemu-aarch64) || { echo 'there is no qemu-aarch64' >&2; exit 1; }

if [ ! -e "$sysroot/complete" ]; then
    step "Debian's packages for arm64"
    # An apt of its own, which knows the mirrors of the system's, and of which nothing is installed: it finds out
    # what Python needs, and gets all of it.
    apt=$folder/apt
    rm -rf "$sysroot" "$apt"
    mkdir -p "$apt"/{lists,archives}/partial
    : >"$apt/status"
    cat >"$apt/apt.conf" <<END
APT::Architecture "arm64";
APT::Architectures "arm64";
APT::Sandbox::User "$(id -un)";
Dir::State "$apt";
Dir::State::status "$apt/status";
Dir::Cache "$apt";
END
    (
        export APT_CONFIG=$apt/apt.conf
        quietly apt-get update
        quietly apt-get -y --download-only --no-install-recommends install python3 libpython3-dev libstdc++6 doctest-dev
    )
    # As base-files links them: some packages name one folder, some the other.
    mkdir -p "$sysroot"/usr/{lib,bin}
    ln -s usr/lib usr/bin "$sysroot"
    for package in "$apt"/archives/*.deb; do
        dpkg -x "$package" "$sysroot"
    done
    rm -rf "$apt/archives"
    # Debian's pyconfig.h includes that of the architecture by this name; nothing else of the folder is asked for.
    headers=$(echo "$sysroot"/usr/include/python3.*)
    ln -s ../aarch64-linux-gnu "$headers/aarch64-linux-gnu"
    touch "$sysroot/complete"
fi

# A Python as good as one of this machine: it starts others by its own name. Its folder is where it finds its library.
python=$sysroot/usr/bin/emulated-python
interpreter=$(echo "$sysroot"/usr/bin/python3.*[0-9])
cat >"$python" <<END
#!/bin/sh
exec '$qemu' -cpu '$cpu' -L '$sysroot' -0 '$python' '$interpreter' "\$@"
END
chmod +x "$python"
version=${interpreter##*/python}

step "wheels for Python $version"
quietly packaging/dependencies.sh "$folder/wheels" "$version" aarch64

step 'build'
# Fast to compile rather than fast.
mkdir -p "$folder/include"
ln -sfn "$sysroot/usr/include/doctest" "$folder/include/doctest"
launchers=()
if command -v ccache >/dev/null; then
    launchers=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
fi
quietly cmake --preset aarch64 -B "$folder/build" \
    -DSLMPROF_SYSROOT="$sysroot" -DSLMPROF_BUILD_TESTS=ON -DSLMPROF_DOCTEST_INCLUDE="$folder/include" \
    -DCMAKE_CROSSCOMPILING_EMULATOR="$qemu;-cpu;$cpu;-L;$sysroot" \
    -DCMAKE_BUILD_TYPE=None -DCMAKE_C_FLAGS=-O1 -DCMAKE_CXX_FLAGS=-O1 "${launchers[@]}" \
    ${SLMPROF_ARM_ARCH:+-DGGML_CPU_ARM_ARCH="$SLMPROF_ARM_ARCH"}
quietly cmake --build "$folder/build"
rm -rf "$folder/package"
mkdir "$folder/package"
cp -R src/slmprof "$folder/package/"
# Of another build, linked there for work in place.
rm -f "$folder"/package/slmprof/_core*.so
quietly cmake --install "$folder/build" --prefix "$folder/package"

step 'native unit tests'
quietly ctest --test-dir "$folder/build" --output-on-failure
tail -4 "$folder/last.log"

step 'microkernels of other processors'
# Those of the build are among the tests above.
for of in cortex-a53:armv8-a max:armv8.6-a+fp16; do
    quietly aarch64-linux-gnu-g++ -std=c++17 -O3 -Wall -Wextra -Werror -static -march="${of#*:}" \
        -DDOCTEST_CONFIG_IMPLEMENT_WITH_MAIN -Icsrc -isystem "$folder/include" \
        csrc/machine/microkernels.cpp tests/native/test_microkernels.cpp -o "$folder/microkernels"
    quietly "$qemu" -cpu "${of%:*}" "$folder/microkernels"
    echo "$of $(grep assertions "$folder/last.log")"
done

export PYTHONPATH=$folder/package:$folder/wheels SLMPROF_CACHE_DIR=$folder/cache
step 'what was built'
"$python" -m slmprof --version --verbose

step 'unit tests of what depends on the machine'
CC=aarch64-linux-gnu-gcc "$python" -m pytest -q -n 0 -p no:cacheprovider tests/unit/machine tests/unit/system

step 'smoke test'
mkdir -p "$folder/smoke"
problems=$("$python" third_party/llama.cpp/smoke.py "$folder/smoke")
echo "$problems"
[ "$problems" = '[]' ] || exit 1
step 'done'
