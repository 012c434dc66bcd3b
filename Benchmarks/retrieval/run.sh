#!/bin/sh
# The retrieval protocol of docs/retrieval.md: grows the zoos of each seed, fits, adds the gallery, evaluates.
#   Benchmarks/retrieval/run.sh ZOO FOLDER [SEEDS]
set -eu
zoo=$1 folder=$2 seeds=${3:-"0 1 2"}
mkdir -p "$folder"
export ZOO_CATALOG="$folder/catalog.sqlite"
here=$(dirname "$0")
data=digits-retrieval
fit() { # SEED NAME SELECTOR OPTIONS...
    seed=$1 name=$2 selector=$3
    shift 3
    index="$folder/$name-$seed.retrieval.safetensors"
    "$zoo" retrieve fit "$selector" --probes $data:val --queries $data:query --map-data $data:train --index "$index" \
        --seed "$seed" --quiet "$@"
}
add() { # SEED NAME SELECTOR OPTIONS...
    index="$folder/$2-$1.retrieval.safetensors" selector=$3
    shift 3
    "$zoo" retrieve add "$selector" --index "$index" --quiet "$@"
}
for seed in $seeds; do
    python3 "$here/grow.py" "$seed" "$folder"
    for name in mlp gallery; do "$zoo" train "$folder/retrieval-$name-$seed.yaml" --to "$folder" --quiet; done
    train="where:zoo = 'retrieval-mlp-$seed' and epoch = last" gallery="where:zoo = 'retrieval-gallery-$seed' and epoch = last"
    for job in "seen" "unseen --hold-out 20" "whole --whole-tasks" "whole-unseen --whole-tasks --hold-out 20" \
        "lstm --encoder lstm --map raw --lambda 1" "tans --encoder tans" "tans-unseen --encoder tans --hold-out 20" \
        "nodes --nodes-only --hold-out 20" "raw --map raw --hold-out 20" "graded --loss graded" \
        "listwise --loss listwise" "labels --labels-only" "few --probe-count 100" \
        "narrow --transforms identity,rot90"; do
        set -- $job
        name=$1
        shift
        fit "$seed" "$name" "$train" "$@"
        if [ "$name" = labels ]; then set -- --labels-only; else set --; fi
        add "$seed" "$name" "$gallery" "$@"
    done
done
evaluate() { # NAME OPTIONS...
    name=$1
    shift
    echo "== $name $*"
    "$zoo" retrieve evaluate $(files "$name" " ") --data $data:test --where "$gallery and epoch = last" --quiet "$@"
}
files() { # NAME SEPARATOR
    list=
    for seed in $seeds; do list="$list${list:+$2}$folder/$1-$seed.retrieval.safetensors"; done
    echo "$list"
}
rival() { echo "--compare $1=$(files "$2" ,)"; }
gallery="zoo ~ 'retrieval-gallery'"
all=know2vec+surrogate,know2vec,surrogate,surrogate-leep,logit,prototype,know2vec+leep,know2vec+surrogate+leep,leep,fewshot
more=nce,logme,logme-published,hscore,hscore-reg,transrate,gbc,sfda,random,parameters,source-accuracy,best-average
evaluate seen --rankings $all,$more $(rival tans tans) --figure "$folder/seen.svg"
evaluate seen --rankings know2vec,logit,fewshot $(rival tans tans) $(rival whole whole) $(rival lstm lstm) \
    $(rival graded graded) $(rival listwise listwise)
evaluate seen --rankings know2vec+surrogate,know2vec,surrogate,leep,fewshot,nce,logme,gbc --shots 1
evaluate unseen --rankings $all $(rival tans tans-unseen)
evaluate unseen --rankings know2vec,logit $(rival tans tans-unseen) $(rival whole whole-unseen) $(rival nodes nodes) \
    $(rival raw raw)
for name in labels few narrow; do evaluate $name --rankings know2vec+surrogate,know2vec,surrogate,logit; done
