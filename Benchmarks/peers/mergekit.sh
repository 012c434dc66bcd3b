#!/usr/bin/env bash
# Makes the virtual environment that merge_mergekit.py runs in: mergekit pins versions that clash with a current torch,
# so it goes in without its dependencies and gets those it really needs.
#   Benchmarks/peers/mergekit.sh FOLDER
set -euo pipefail
folder=${1:?"folder of the virtual environment"}
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet torch==2.13.0 numpy safetensors pyyaml networkx huggingface_hub click tqdm \
    "pydantic<2.11" transformers sentencepiece psutil regex
"$folder/bin/pip" install --quiet --no-deps mergekit==0.1.4 immutables accelerate peft
