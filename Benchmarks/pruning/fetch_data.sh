#!/bin/sh
# Gets the dictionaries and the word list (25 MB) and builds the data of the pruning experiments in a folder.
#   Benchmarks/pruning/fetch_data.sh .models/prune-data
# Debian's dict-foldoc (GFDL 1.1 or later) and dict-wn (WordNet licence); simlex999.txt of PyPI's gensim (LGPL-2.1).
set -eu
target=${1:-.models/prune-data}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get download -qq dict-foldoc dict-wn && for deb in *.deb; do dpkg-deb -x "$deb" tree; done)
python3 -m pip download --quiet --no-deps --dest "$work" gensim==4.4.0
python3 -m zipfile -e "$work"/gensim-*.whl "$work/wheel"
python3 "$here/make_data.py" --dictd "$work/tree/usr/share/dictd" \
    --simlex "$work/wheel/gensim/test/test_data/simlex999.txt" "$target"
