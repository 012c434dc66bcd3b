#!/bin/sh
# Removed neurons, and 100 steps of retraining with their control, on the real all-MiniLM-L6-v2; after acceptance.sh, whose
# scores and masks it takes. docs/pruning-evaluation.md holds what it printed.
#
#   Benchmarks/pruning/acceptance.sh && Benchmarks/pruning/smaller.sh [OUT]      # an hour on two cores
#
# MODEL, DATA, ZOO, SEEDS as there; SHARES of the neurons to remove, BY what they are valued by.
set -eu
out=${1:-.models/prune-acceptance}
model=${MODEL:-.models/all-MiniLM-L6-v2}
data=${DATA:-.models/prune-data}
zoo=${ZOO:-.build/release/zoo}
seeds=${SEEDS:-0 1 2}
shares=${SHARES:-0.25 0.5}
by=${BY:-obd activation anchored}
table=$(dirname "$0")/acceptance_table.py
for share in $shares; do
    set -- "dense=$model"
    for value in $by; do
        for seed in $seeds; do
            to=$out/smaller-$value-$share-$seed
            [ -e "$to/prune.json" ] || "$zoo" prune structured "$out/scores-$seed" --ffn "$share" --by "$value" \
                --to "$to" --json > "$to.json"
            set -- "$@" "$value=$to"
        done
    done
    "$zoo" prune evaluate "$@" --retrieval "$data/domain-test.jsonl" --retrieval "$data/general-test.jsonl" \
        --pairs "$data/words.jsonl" --json > "$out/evaluation-smaller-$share.json"
    python3 "$table" "$share" "$out/evaluation-smaller-$share.json"
done
# A quarter of the neurons and of the heads.
set -- "dense=$model"
for seed in $seeds; do
    to=$out/smaller-heads-$seed
    [ -e "$to/prune.json" ] || "$zoo" prune structured "$out/scores-$seed" --ffn 0.25 --heads 0.25 --to "$to" --json \
        > "$to.json"
    set -- "$@" "heads=$to"
done
"$zoo" prune evaluate "$@" --retrieval "$data/domain-test.jsonl" --retrieval "$data/general-test.jsonl" \
    --pairs "$data/words.jsonl" --json > "$out/evaluation-smaller-heads.json"
python3 "$table" 0.25 "$out/evaluation-smaller-heads.json"
# Speed, on an idle machine.
for name in $shares heads; do
    smaller=$out/smaller-anchored-$name-0
    if [ "$name" = heads ]; then smaller=$out/smaller-heads-0; fi
    "$zoo" prune bench "$model" "$smaller"
done
# Training of what was pruned, and of what was not.
to=$out/retrained
[ -e "$to/prune.json" ] || "$zoo" prune retrain "$out/dai-0.7-0" --domain "$data/domain-retrain.jsonl" \
    --general "$data/general-retrain.jsonl" --test "$data/domain-test.jsonl" --steps 100 --max-length 48 \
    --control "$model" --to "$to" --json > "$to.json"
"$zoo" prune evaluate "dense=$model" "control=$to-control" "dai=$out/dai-0.7-0" "retrained=$to" --against control \
    --retrieval "$data/domain-test.jsonl" --retrieval "$data/general-test.jsonl" --pairs "$data/words.jsonl" --json \
    > "$out/evaluation-retrained.json"
python3 "$table" 0.7 "$out/evaluation-retrained.json"
