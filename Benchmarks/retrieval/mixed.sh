#!/bin/sh
# Perceptrons, small convolutional networks and vision transformers of the same tasks (docs/retrieval.md). Encoders learn
# from perceptrons alone; 60 perceptrons of another width, 60 convolutional networks and 60 transformers are the gallery.
# After run.sh, whose zoos it goes on with.
#   Benchmarks/retrieval/mixed.sh ZOO FOLDER [SEEDS]
set -eu
zoo=$1 folder=$2 seeds=${3:-0}
export ZOO_CATALOG="$folder/catalog.sqlite"
here=$(dirname "$0")
data=digits-retrieval
for seed in $seeds; do
    python3 "$here/grow.py" "$seed" "$folder"
    for name in mixed mixed-vit; do "$zoo" train "$folder/retrieval-$name-$seed.yaml" --to "$folder" --quiet; done
    for job in "families" "families-unseen --hold-out 20"; do
        set -- $job
        index="$folder/$1-$seed.retrieval.safetensors"
        shift
        "$zoo" retrieve fit "where:zoo = 'retrieval-mlp-$seed' and epoch = last" --probes $data:val \
            --queries $data:query --map-data $data:train --index "$index" --seed "$seed" --quiet "$@"
        for name in gallery mixed mixed-vit; do
            "$zoo" retrieve add "where:zoo = 'retrieval-$name-$seed' and epoch = last" --index "$index" --quiet
        done
    done
done
for name in families families-unseen; do
    list=
    for seed in $seeds; do list="$list $folder/$name-$seed.retrieval.safetensors"; done
    # The transformers' name has the other's in it: a pattern for the whole name tells them apart.
    for gallery in "zoo ~ 'retrieval-gallery'" "zoo ~ 'retrieval-mixed-?'" "zoo ~ 'retrieval-mixed-vit'" \
        "zoo !~ 'retrieval-mlp'"; do
        echo "== $name $gallery"
        "$zoo" retrieve evaluate $list --data $data:test --where "$gallery and epoch = last" --quiet \
            --rankings know2vec+surrogate,know2vec,surrogate,logit,prototype,know2vec+leep,leep,random
    done
done
