"""Builds the retrieval data of the pruning experiments from two Debian dictionaries and a word list.

    Benchmarks/pruning/fetch_data.sh .models/prune-data        # downloads and calls this
    python3 make_data.py --dictd DIR --simlex simlex999.txt OUT

Query = headword, positive = its definition with the headword replaced by "it" (it would give the answer away), negative
= a definition of the same subject (domain) or any other one (general), always out of the same part of the data.

Domain: dict-foldoc, the Free On-line Dictionary of Computing, http://www.foldoc.org/, editor Denis Howe; GNU Free
Documentation License 1.1 or later. General: dict-wn, WordNet 3.0, copyright 2006 by Princeton University; WordNet
licence. Word pairs: SimLex-999 (Hill, Reichart, Korhonen 2015), as shipped in the gensim wheel (LGPL-2.1-only).
What is written here is derived from them and stays under those licences; nothing of it is committed.

Parts (positions in the shuffled list; disjoint by query and by definition, over both sides):

    calibration-0  0-799         retrain  1000-2999      test-small  3000-3299
    calibration-1  3300-4099     calibration-2  4100-4899
    validation     4900-5899     test     5900-7899

Only the standard library is needed. The output depends on nothing but the input files.
"""

import argparse
import gzip
import hashlib
import json
import os
import re
import sys

DIGITS = {c: i for i, c in enumerate(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")}
PARTS = {
    "calibration-0": (0, 800), "retrain": (1000, 3000), "test-small": (3000, 3300), "calibration-1": (3300, 4100),
    "calibration-2": (4100, 4900), "validation": (4900, 5900), "test": (5900, 7900)}
MOST_WORDS, LEAST_WORDS = 40, 4


def number(text):
    value = 0
    for digit in text:
        value = value * 64 + DIGITS[digit]
    return value


def entries(folder, name):
    """(headword as printed, text of the entry) in the order of the file, each entry once."""
    with gzip.open(os.path.join(folder, name + ".dict.dz")) as file:
        text = file.read()
    places = set()
    with open(os.path.join(folder, name + ".index"), encoding="utf-8") as file:
        for line in file:
            headword, offset, length = line.rstrip("\n").split("\t")[:3]
            if not headword.startswith("00-database"):
                places.add((number(offset), number(length)))
    for offset, length in sorted(places):
        lines = text[offset:offset + length].decode("utf-8", "replace").splitlines()
        if lines and lines[0].strip():
            yield lines[0].strip(), lines[1:]


def plain(text):
    text = re.sub(r"\{([^{}]*?)\s*\([^{}()]*\)\}", r"\1", text)
    text = re.sub(r"[{}_]", "", text)
    return re.sub(r"\s+", " ", text).strip()


def masked(text, headword):
    words = re.compile(r"(?<!\w)" + re.escape(headword) + r"(?:s|es)?(?!\w)", re.IGNORECASE)
    return " ".join(words.sub("it", text).split()[:MOST_WORDS])


def foldoc(folder):
    """(headword, definition, subject)"""
    for headword, lines in entries(folder, "foldoc"):
        body = "\n".join(lines).strip("\n")
        match = re.search(r"<([^<>]*)>", body)
        if not match:
            continue
        subject = match.group(1).split(",")[0].strip()
        paragraph = re.split(r"\n\s*\n", body[match.end():].strip())[0]
        paragraph = re.sub(r'^\s*\((?:Or|From|After|Usually|Also|")[^()]*\)', "", paragraph)
        definition = masked(plain(paragraph), headword)
        yield headword, definition, subject


def wordnet(folder):
    """(headword, definition, "noun") of the first noun sense"""
    for headword, lines in entries(folder, "wn"):
        body = "\n".join(lines)
        match = re.search(r"^\s*n (?:1)?:\s*(.*?)(?=^\s*(?:\d+|v|adj|adv|n)\s*(?:\d+)?:|\Z)", body, re.S | re.M)
        if not match:
            continue
        gloss = re.sub(r"\s+", " ", match.group(1))
        gloss = re.split(r'\[(?:syn|ant|also)|; "', gloss)[0]
        yield headword, masked(plain(gloss), headword), "noun"


def order(items, salt):
    """Shuffled by digest, so that the order is the same everywhere."""
    return sorted(items, key=lambda item: hashlib.sha256(f"{salt}:{item[0]}\t{item[1]}".encode()).hexdigest())


def usable(items, queries, definitions):
    """Items whose headword and definition are not in the sets yet; they are then."""
    for headword, definition, subject in items:
        query, key = headword.lower(), definition.lower()
        if len(definition.split()) < LEAST_WORDS or query in queries or key in definitions or query == key:
            continue
        queries.add(query)
        definitions.add(key)
        yield headword, definition, subject


def with_negatives(part, salt):
    """Another item's definition, of the same subject if there is one, chosen by digest."""
    subjects = {}
    for place, (_, _, subject) in enumerate(part):
        subjects.setdefault(subject, []).append(place)
    for place, (query, positive, subject) in enumerate(part):
        members = subjects[subject] if len(subjects[subject]) > 1 else range(len(part))
        digest = int(hashlib.sha256(f"{salt}:{query}".encode()).hexdigest(), 16)
        choices = [other for other in members if other != place]
        yield {"query": query, "positive": positive, "negative": part[choices[digest % len(choices)]][1]}


def write(path, rows):
    with open(path + ".part", "w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    os.replace(path + ".part", path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dictd", required=True, help="the folder with foldoc.index, foldoc.dict.dz, wn.index, wn.dict.dz")
    parser.add_argument("--simlex", required=True, help="simlex999.txt")
    parser.add_argument("out", help="the folder to write")
    arguments = parser.parse_args()
    os.makedirs(arguments.out, exist_ok=True)
    # General entries for words of the domain would carry the domain's test into the general calibration.
    queries, definitions = set(), set()
    for side, source in (("domain", foldoc), ("general", wordnet)):
        items = order(usable(source(arguments.dictd), queries, definitions), "zoo")
        need = max(end for _, end in PARTS.values())
        if len(items) < need:
            sys.exit(f"{side}: {len(items)} usable entries; expected at least {need}")
        for name, (start, end) in PARTS.items():
            part = items[start:end]
            write(os.path.join(arguments.out, f"{side}-{name}.jsonl"), with_negatives(part, side))
        print(f"{side}: {len(items)} usable entries, {len(set(s for _, _, s in items))} subjects")
    with open(arguments.simlex, encoding="utf-8") as file:
        pairs = [line.split()[:3] for line in file if line.strip() and not line.startswith("#")]
    rows = [{"sentence1": a, "sentence2": b, "score": float(score)} for a, b, score in pairs]
    write(os.path.join(arguments.out, "words.jsonl"), rows[::3])
    print(f"words: {len(rows[::3])} of {len(rows)} pairs")


if __name__ == "__main__":
    main()
