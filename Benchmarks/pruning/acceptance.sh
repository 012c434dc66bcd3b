#!/bin/sh
# The acceptance table of pruning on the real all-MiniLM-L6-v2: three calibration seeds, 70 % and 50 % of the MLP weights,
# retrieval on items that no calibration saw. docs/pruning-evaluation.md holds what it printed.
#
#   scripts/fetch-minilm.sh && Benchmarks/pruning/fetch_data.sh
#   Benchmarks/pruning/acceptance.sh [OUT]          # about an hour on two cores; goes on where it stopped
#
# MODEL, DATA, ZOO name the model, the data and the tool; SEEDS, SPARSITIES, METHODS and TEST (test, validation or test-small)
# choose less.
set -eu
out=${1:-.models/prune-acceptance}
model=${MODEL:-.models/all-MiniLM-L6-v2}
data=${DATA:-.models/prune-data}
zoo=${ZOO:-.build/release/zoo}
seeds=${SEEDS:-0 1 2}
sparsities=${SPARSITIES:-0.7 0.5}
methods=${METHODS:-random magnitude dai-faithful dai wanda sparsegpt anchored}
test=${TEST:-test}
mkdir -p "$out"
for seed in $seeds; do
    scores=$out/scores-$seed
    [ -e "$scores/scores.json" ] || "$zoo" prune score "$model" --domain "$data/domain-calibration-$seed.jsonl" \
        --general "$data/general-calibration-$seed.jsonl" --test "$data/domain-$test.jsonl" --layers mlp --n 800 \
        --max-length 48 --seed "$seed" --to "$scores" --json > "$out/score-$seed.json"
    for sparsity in $sparsities; do
        for method in $methods; do
            to=$out/$method-$sparsity-$seed
            [ -e "$to/prune.json" ] || "$zoo" prune mask "$scores" --method "$method" --sparsity "$sparsity" \
                --layers mlp --seed "$seed" --to "$to" --json > "$out/mask-$method-$sparsity-$seed.json"
        done
    done
done
for sparsity in $sparsities; do
    set -- "dense=$model"
    for method in $methods; do
        for seed in $seeds; do set -- "$@" "$method=$out/$method-$sparsity-$seed"; done
    done
    "$zoo" prune evaluate "$@" --retrieval "$data/domain-$test.jsonl" --retrieval "$data/general-$test.jsonl" \
        --pairs "$data/words.jsonl" --json > "$out/evaluation-$sparsity.json"
    python3 "$(dirname "$0")/acceptance_table.py" "$sparsity" "$out/evaluation-$sparsity.json"
done
