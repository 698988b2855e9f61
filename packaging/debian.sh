#!/usr/bin/env bash
# Runs a command in this clone, under another release of Debian: a folder with its packages, and no network.
# usage: packaging/debian.sh RELEASE FOLDER COMMAND..., as root, as in
#     packaging/debian.sh trixie build/trixie packaging/compilers.sh --whole build/trixie-compilers g++ clang++
# The packages come from where apt gets this system's, which has to be Debian; mmdebstrap puts them into FOLDER/root, once.
#     SLMPROF_DEBIAN_MORE  packages to put there as well, with commas between them: g++-12,g++-13
# llama.cpp's source and Python's wheels are found outside. In the folder the clone has the path that it has here.
set -euo pipefail
release=$1
mkdir -p "$2"
folder=$(realpath "$2")
shift 2
cd "$(dirname "$0")/.."

root=$folder/root
if [ ! -e "$folder/complete" ]; then
    here=$(. /etc/os-release && echo "$VERSION_CODENAME")
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $here" | head -1)
    [ -n "$mirror" ] || { echo "apt knows no mirror of Debian's $here" >&2; exit 1; }
    rm -rf "$root"
    packages=g++,clang,cmake,ninja-build,ccache,python3-dev,pybind11-dev,doctest-dev
    mmdebstrap --quiet --variant=apt --include="$packages${SLMPROF_DEBIAN_MORE:+,$SLMPROF_DEBIAN_MORE}" \
        "$release" "$root" "$mirror"
    touch "$folder/complete"
fi
interpreter=$(echo "$root"/usr/bin/python3.*[0-9])
packaging/dependencies.sh "$folder/wheels" "${interpreter##*/python}" "$(uname -m)"
found=$(python3 third_party/llama.cpp/resolve.py --pin third_party/llama.cpp/pin.toml)
source=${found%%;*}

# The mounts end with the command.
mkdir -p "$root$PWD" "$root/opt/wheels" "$root/opt/llama.cpp"
export root folder source
exec unshare --mount --pid --fork bash -ec '
    mount --bind "$PWD" "$root$PWD"
    mount --bind "$folder/wheels" "$root/opt/wheels"
    mount --bind "$source" "$root/opt/llama.cpp"
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    exec chroot "$root" /usr/bin/env -i HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin PYTHONPATH=/opt/wheels \
        SLMPROF_LLAMA_CPP_DIR=/opt/llama.cpp ${CMAKE_BUILD_PARALLEL_LEVEL:+CMAKE_BUILD_PARALLEL_LEVEL=$CMAKE_BUILD_PARALLEL_LEVEL} \
        sh -ec "cd \"\$0\" && exec \"\$@\"" "$PWD" "$@"
' debian "$@"
