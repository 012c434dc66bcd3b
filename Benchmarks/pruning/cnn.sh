#!/bin/sh
# Pruning of convolutions: the CNN of zoos/digits-tasks calibrated on 600 plain and 600 noisy digits, test accuracy on both.
# docs/pruning-evaluation.md holds what it printed.
#
#   Benchmarks/pruning/cnn.sh            # half a minute; ZOO, METHODS, SPARSITIES choose
set -eu
cd "$(dirname "$0")/../.."
zoo=${ZOO:-.build/release/zoo}
model=zoos/digits-tasks/pretrained.safetensors
data=zoos/digits-tasks/data/zoo_c_data.safetensors
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
accuracy() {
    for task in clean noise; do
        "$zoo" eval "$1" --architecture manifests/architectures/TaskCNN-16-64.yaml --data "$data:$task.test" \
            --catalog "$work/none" --json | python3 -c "import json, sys; print('%.3f' % json.load(sys.stdin)[0]['accuracy'])"
    done | paste -sd ' ' -
}
"$zoo" prune score "$model" --domain "$data:clean.train" --general "$data:noise.train" --n 600 --to "$work/scores" \
    --catalog "$work/none" --quiet > "$work/log"
echo "dense $(accuracy "$model")"
for sparsity in ${SPARSITIES:-0.5 0.7 0.8}; do
    for method in ${METHODS:-magnitude dai wanda sparsegpt anchored}; do
        "$zoo" prune mask "$work/scores" --method "$method" --sparsity "$sparsity" --to "$work/pruned" --replace \
            --catalog "$work/none" --quiet > "$work/log"
        echo "$sparsity $method $(accuracy "$work/pruned")"
    done
done
