"""The Markdown table of docs/pruning.md from what 'zoo prune evaluate --json' wrote.

    python3 acceptance_table.py SPARSITY evaluation.json
"""

import json
import sys


def main(sparsity, path):
    with open(path, encoding="utf-8") as file:
        found = json.load(file)
    tests = {}
    for task in found["retrieval"]:
        for c in task["comparisons"]:
            tests[task["task"], c["model"], c["other"]] = (c["difference"], c["p"])
            tests[task["task"], c["other"], c["model"]] = (-c["difference"], c["p"])
    domain = found["retrieval"][0]
    rivals = [m for m in ("wanda", "sparsegpt") if any(s["model"] == m for s in domain["scores"])]
    print(f"| MLP {float(sparsity):.0%} | domain (seeds) | of dense | general | words | zeros of all |"
          + "".join(f" against {r}: difference, p |" for r in rivals))
    print("|---|---|---|---|---|---|" + "---|" * len(rivals))
    for place, score in enumerate(domain["scores"]):
        name = score["model"]
        general = found["retrieval"][1]["scores"][place]["ndcg10"]
        words = found["pairs"][0]["scores"][place]["spearman"]
        zeros = next(m["zero_share"] for m in found["models"] if m["model"] == name)
        seeds = " ".join(f"{x:.3f}" for x in score["per_model"]) if len(score["per_model"]) > 1 else "-"
        cells = [name, f"{score['ndcg10']:.4f} ({seeds})", f"{score['recovery']:.3f}", f"{general:.4f}", f"{words:.3f}",
                 f"{zeros:.1%}"]
        for rival in rivals:
            test = tests.get((domain["task"], name, rival))
            cells.append("-" if test is None else f"{test[0]:+.4f}, {test[1]:.3f}")
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
