"""Holds 'zoo embed' to sentence-transformers on the real all-MiniLM-L6-v2.

    pip install torch transformers sentence-transformers
    scripts/fetch-minilm.sh && python Benchmarks/oracles/check_embeddings.py .models/all-MiniLM-L6-v2 [texts.jsonl]

Texts: some here (short, long, other scripts, more than the model reads), or the queries and positives of a file of
triplets. Prints the largest difference of a number and fails above 1e-5.
"""

import json
import subprocess
import sys
import tempfile

TEXTS = [
    "This is an example sentence", "Each sentence is converted", "x", "  spaces   around  ", "Füße, naïve café — 東京 🙂",
    "don't stop: 3.14 (a+b)/2", "word " * 400, "UPPER lower CamelCase snake_case", "a", "the quick brown fox",
]


def main():
    model = sys.argv[1]
    texts = TEXTS
    if len(sys.argv) > 2:
        with open(sys.argv[2], encoding="utf-8") as file:
            texts = [row[key] for row in map(json.loads, file) for key in ("query", "positive")]
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in texts)
        file.flush()
        run = subprocess.run([".build/release/zoo", "embed", model, "--data", file.name, "--json", "--quiet"],
                             stdout=subprocess.PIPE, check=True)
    found = json.loads(run.stdout)["vectors"]
    from sentence_transformers import SentenceTransformer
    wanted = SentenceTransformer(model, device="cpu").encode(texts, batch_size=32, normalize_embeddings=True)
    assert len(found) == len(wanted) == len(texts)
    worst = max(abs(a - float(b)) for v, w in zip(found, wanted) for a, b in zip(v, w))
    print(f"{len(texts)} texts, largest difference {worst:.2e}")
    sys.exit(worst > 1e-5)


if __name__ == "__main__":
    main()
