#!/usr/bin/env bash
# Fetches the packages that slmprof and its tests depend on, for another Python or another machine than this: their wheels,
# unpacked. (slmprof's own are made by packaging/wheels.py.)
# usage: packaging/dependencies.sh FOLDER PYTHON ARCHITECTURE, as in `packaging/dependencies.sh build/for-arm 3.13 aarch64`
set -euo pipefail
folder=$1 version=$2 architecture=$3
wanted=$(python3 - "$(dirname "$0")/../pyproject.toml" <<'END'
import sys

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

with open(sys.argv[1], "rb") as stream:
    project = tomllib.load(stream)["project"]
print("\n".join(project["dependencies"] + project["optional-dependencies"]["test"]))
END
)
if [ -e "$folder/complete" ] && [ "$wanted" = "$(cat "$folder/requirements.txt")" ]; then
    exit 0
fi
rm -rf "$folder"
mkdir -p "$folder"
printf '%s\n' "$wanted" >"$folder/requirements.txt"
# Those that Debian 12's C library, 2.36, runs.
platforms=()
for library in 2014 _2_24 _2_26 _2_27 _2_28 _2_31 _2_34 _2_35 _2_36; do
    platforms+=(--platform "manylinux${library}_$architecture")
done
python3 -m pip install --quiet --target "$folder" --requirement "$folder/requirements.txt" \
    --only-binary :all: --implementation cp --python-version "$version" "${platforms[@]}"
touch "$folder/complete"
