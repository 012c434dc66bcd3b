#!/usr/bin/env bash
# The main job on a real zoo: catalog an archive without unpacking it, find models, look at one, average some.
# Works in a folder of its own and removes it; nothing in the repository changes.
set -euo pipefail
zoo=$(realpath "$1")
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export ZOO_CATALOG="$work/catalog.sqlite"

step() {
    # Arguments with blanks are shown in the quotes that a shell needs.
    local shown="" argument
    for argument in "$@"; do
        case "$argument" in
        *[!A-Za-z0-9_./@=,:-]*) shown+=" \"$argument\"" ;;
        *) shown+=" $argument" ;;
        esac
    done
    printf '\n$ zoo%s\n' "$shown"
    "$zoo" "$@"
}

echo "76 trials of a Ray Tune sweep, zipped as they are published; four of them went wrong, as they do."
step index zoos/digits-cnn.zip
echo
echo "Which of the GELU networks is best at the end of its training? Keys of params.json are columns."
step query "nlin = 'gelu' and epoch = last" --sort -test_accuracy --limit 5 \
    --columns "id, lr, init_type, seed, test_accuracy, train_loss"
step query --from models --group-by nlin --columns "nlin, count, mean(test_accuracy), max(test_accuracy)"
best=$("$zoo" query "nlin = 'gelu' and epoch = last" --sort -test_accuracy --limit 1 --columns id --csv --quiet | tail -n 1 | tr -d '\r')
step show "$best"
echo
echo "The tensors of two epochs of that model, compared where they lie in the zip."
model=$("$zoo" sql "SELECT model_id FROM checkpoint WHERE id = $best" --csv --quiet | tail -n 1 | tr -d '\r')
first=$("$zoo" sql "SELECT id FROM checkpoint WHERE model_id = $model ORDER BY epoch LIMIT 1" --csv --quiet | tail -n 1 | tr -d '\r')
step diff "$first" "$best"
echo
echo "The last three epochs averaged in one streamed pass, and what was written."
step average "where:model_id = $model and epoch >= 15" --to "$work/average.safetensors"
step inspect "$work/average.safetensors"
echo
echo "Loss and accuracy of that model and of the average on images that neither has seen."
step eval "$best" "$work/average.safetensors" --data zoos/data/digits.safetensors:test --architecture CNN-s-8x8 \
    --set model::nlin=gelu
echo
echo "Weights of all 76 final models as one matrix for a notebook, and the results as Parquet."
step export "zoo = 'digits-cnn' and epoch = last" --format npz --to "$work/weights.npz"
step export "zoo = 'digits-cnn' and epoch = last" --format parquet --to "$work/results.parquet"
echo
echo "A second zoo, a tar.gz: 36 cells of width and batch size, three seeds each, as a picture."
step index zoos/digits-phases.tar.gz
step plot "zoo = 'digits-phases'" --x width --y batchsize --value "test_accuracy, train_loss" --to "$work/phases.svg"
echo
echo "Twelve fine-tunings of one network, mixed greedily by held-out accuracy; the test split is touched once."
step soup greedy zoos/digits-tasks/soup/*.safetensors --data zoos/digits-tasks/data/zoo_c_data.safetensors:soup.val \
    --to "$work/soup.safetensors" --figure "$work/soup.svg"
echo
echo "Four tasks added to one network: a coefficient per task vector and tensor, learned on a few images of each."
step compose zoos/digits-tasks/pretrained.safetensors zoos/digits-tasks/tasks/{dim,noise,shift,occlude}.safetensors \
    --data 'zoos/digits-tasks/data/zoo_c_data.safetensors:{task}.val' --steps 200 --rate 1e-2 --batch 64 \
    --to "$work/composed.safetensors" --figure "$work/coefficients.svg"
echo
echo "How sharp are the minima of the GELU networks? Largest Hessian eigenvalue and trace, kept in the catalog."
step landscape "where:nlin = 'gelu' and lr = 0.001 and epoch = last" --data zoos/data/digits.safetensors:train \
    --subset 64 --metrics hessian_top,hessian_trace
echo
echo "The phases of the loss landscape over 48 cells of width and batch size, from the metrics that lie beside the zoo."
step index zoos/digits-mlp-phases.tar.gz
step phases digits-mlp-phases --figure "$work/phases.png"
echo
echo "A zoo of our own, grown in a second from a manifest: settings x seeds, resumable, the same bytes on any machine's"
echo "number of threads; PyTorch reads its checkpoints. The fifth trial goes wrong on purpose."
step train manifests/train/digits-demo.yaml --to "$work"
step query "zoo = 'digits-demo' and epoch = last" --columns "nlin, optimizer, lr, test_accuracy, train_loss"
step verify --quick
