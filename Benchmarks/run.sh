#!/usr/bin/env bash
# All benchmarks beside their Python peers. The peers are installed from PyPI into Benchmarks/.venv unless
# ZOO_PEERS_PYTHON names a Python that has them.
#   Benchmarks/run.sh [path to zoo] [tool|catalog|kernel|engine|retrieval …]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
zoo=$(realpath "${1:-$here/../.build/release/zoo}")
shift || true
wanted=("$@")
[ ${#wanted[@]} -gt 0 ] || wanted=(tool catalog kernel engine retrieval)

if [ -z "${ZOO_PEERS_PYTHON:-}" ]; then
    if [ ! -x "$here/.venv/bin/python" ]; then
        python3 -m venv "$here/.venv"
        "$here/.venv/bin/pip" install --quiet -r "$here/peers/requirements.txt"
    fi
    export ZOO_PEERS_PYTHON="$here/.venv/bin/python"
fi

for name in "${wanted[@]}"; do
    case "$name" in
    tool) "$ZOO_PEERS_PYTHON" "$here/tool_benchmark.py" "$zoo" ;;
    catalog | kernel | engine | retrieval)
        swift build --package-path "$here" -c release --product "$name-benchmark" >&2
        "$here/.build/release/$name-benchmark"
        ;;
    *)
        echo "run.sh: no benchmark is called '$name' (tool, catalog, kernel, engine, retrieval)" >&2
        exit 64
        ;;
    esac
done
