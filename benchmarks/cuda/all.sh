#!/usr/bin/env bash
# Every check that needs a GPU, on a machine with the CUDA toolkit, from this checkout and carried sources.
#
#     benchmarks/cuda/all.sh OUT [WHEELS]
#
# Builds with CUDA for the GPU that is there, runs the tests marked `gpu` and the benchmarks, and writes their
# JSON and logs to the folder OUT. Without a network: WHEELS is a folder of wheels, from
#     pip download -d WHEELS scikit-build-core 'pybind11[global]' cmake ninja '.[test]'
# and llama.cpp's source is found in $SLMPROF_LLAMA_CPP_DIR or in the cache folder (docs/architecture.md).
# SLMPROF_PEERS_DIR: a folder with a llama-bench that was built with CUDA; without it parity is left out.
# Where one part fails the others still run; the status is then 1.
set -uo pipefail
cd "$(dirname "$0")/../.."

out=${1:?usage: benchmarks/cuda/all.sh OUT [WHEELS]}
wheels=${2:-}
mkdir -p "$out"
out=$(cd "$out" && pwd)
failed=()

part() {
    local name=$1
    shift
    printf '== %s (after %s s)\n' "$name" "$SECONDS" | tee -a "$out/parts.txt"
    if ! "$@" >"$out/$name.log" 2>&1; then
        failed+=("$name")
        tail -20 "$out/$name.log"
    fi
}

build() {
    python3 -m venv "$out/venv" && . "$out/venv/bin/activate" || return 1
    local from=()
    [ -z "$wheels" ] || from=(--no-index --find-links "$wheels")
    python -m pip install -q "${from[@]}" scikit-build-core 'pybind11[global]' cmake ninja &&
        CMAKE_BUILD_PARALLEL_LEVEL=$(nproc) python -m pip install -q --no-build-isolation "${from[@]}" \
            -C cmake.define.GGML_CUDA=ON -C cmake.define.GGML_CUDA_FA_ALL_QUANTS=OFF \
            -C cmake.define.GGML_CUDA_COMPRESSION_MODE=none '.[test]'
}

nvidia-smi >"$out/nvidia-smi.txt" 2>&1 || echo 'nvidia-smi does not run here' | tee -a "$out/parts.txt"
part build build
if [ ${#failed[@]} -gt 0 ]; then
    echo 'the build failed' && exit 1
fi
. "$out/venv/bin/activate"
export PYTHONPATH=$PWD/tests/builders:$PWD/tests/engines

# The installed package, not this checkout: the tests must not find src/.
part tests python -m pytest -q -n 0 -m gpu --junitxml="$out/tests.xml" tests
part observing python benchmarks/cuda/observing.py --json "$out/observing.json"
part figure10b python benchmarks/paper/kernels.py --json "$out/figure10b.json"
part nsight python benchmarks/cuda/nsight.py --json "$out/nsight.json"
if [ -n "${SLMPROF_PEERS_DIR:-}" ]; then
    part parity python benchmarks/parity.py --device cuda --models qwen2-0.5b --threads 1 --rounds 5 \
        --peers "$SLMPROF_PEERS_DIR" --json "$out/parity.json"
fi

printf '== done (after %s s): %s\n' "$SECONDS" "${failed[*]:-all parts ran}" | tee -a "$out/parts.txt"
rm -rf "$out/venv"
[ ${#failed[@]} -eq 0 ]
