"""Tokenizers and embeddings of `zoo merge` beside mergekit's, on tiny models made at run time.

    venv/bin/python merge_tokenizers.py ZOO [--fixture FILE]

The environment is that of Benchmarks/peers/mergekit.sh. Both tools merge the same recipes; the tokens of the results
must be the same set, every token's row of embedding and head equal within 1e-6 of the largest element, the files must
load in transformers, and chat templates must render the same conversation alike but for white space (mergekit's own
files have some that the published formats lack). mergekit numbers new tokens in the
order of a hash table, so rows are compared by token; `{kind: zero}` fails in mergekit and is left to Zoo's own tests. With --fixture the models and mergekit's rows are written as JSON
for the tests (Tests/ZooMergeTests/Fixtures/tokenizer_merges.json).
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import torch
import yaml
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

HIDDEN = 8
TALK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello there"},
        {"role": "assistant", "content": "Hi."}, {"role": "user", "content": "And now?"}]


def tokenizer(folder, count, extra=(), padded=0, template=None):
    """A byte-pair tokenizer of `count` tokens, `extra` added ones, and `padded` ones beyond the model's rows."""
    letters = [chr(ord("a") + k) for k in range(26)] + list("ABCDEFGHIJ") + [" ", ".", "?", "!"]
    vocab = {"<s>": 0, "</s>": 1, "<unk>": 2}
    for letter in letters:
        vocab[letter] = len(vocab)
    merges = []
    for pair in ("th", "he", "in", "er", "an", "re", "on", "at", "en", "nd", "ti", "es", "or", "te", "of", "ed", "is",
                 "it", "al", "ar", "st", "to", "nt", "ng", "se"):
        if len(vocab) < count:
            vocab[pair] = len(vocab)
            merges.append((pair[0], pair[1]))
    assert len(vocab) == count, len(vocab)
    model = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>"))
    model.decoder = decoders.BPEDecoder()
    model.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in ("<s>", "</s>", "<unk>")])
    for token in extra:
        model.add_tokens([AddedToken(token, special=token.startswith("<"), normalized=not token.startswith("<"))])
    for number in range(padded):
        model.add_tokens([AddedToken(f"<unused{number}>", special=True, normalized=False)])
    fast = PreTrainedTokenizerFast(tokenizer_object=model, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    if template:
        fast.chat_template = template
    fast.save_pretrained(folder)
    return model.get_vocab_size()


def make_model(folder, seed, rows, tied=False, **options):
    os.makedirs(folder, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    tokenizer(folder, **options)

    def random(*shape):
        return torch.randn(*shape, generator=generator)

    state = {"model.embed_tokens.weight": random(rows, HIDDEN), "model.norm.weight": random(HIDDEN)}
    for layer in range(2):
        prefix = f"model.layers.{layer}."
        for name in "qkvo":
            state[f"{prefix}self_attn.{name}_proj.weight"] = random(HIDDEN, HIDDEN)
        for name, shape in (("gate", (16, HIDDEN)), ("up", (16, HIDDEN)), ("down", (HIDDEN, 16))):
            state[f"{prefix}mlp.{name}_proj.weight"] = random(*shape)
        state[prefix + "input_layernorm.weight"] = random(HIDDEN)
        state[prefix + "post_attention_layernorm.weight"] = random(HIDDEN)
    if not tied:
        state["lm_head.weight"] = random(rows, HIDDEN)
    save_file(state, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN,
              "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2,
              "vocab_size": rows, "torch_dtype": "float32", "rms_norm_eps": 1e-5, "max_position_embeddings": 64,
              "tie_word_embeddings": tied, "bos_token_id": 0, "eos_token_id": 1}
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config, file)


CHATML = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + "
          "'<|im_end|>\n' }}{% endfor %}")


def make_models(folder):
    """64 tokens; 64 with 8 unused beyond the rows; 66 with ChatML's two; 65 with an ordinary one more."""
    make_model(f"{folder}/base", 1, 64, count=64)
    make_model(f"{folder}/padded", 2, 64, count=64, padded=8)
    make_model(f"{folder}/chatml", 3, 66, count=64, extra=("<|im_start|>", "<|im_end|>"), template=CHATML)
    make_model(f"{folder}/wide", 4, 68, count=67, extra=("zebra",), template=CHATML)
    make_model(f"{folder}/tied", 5, 66, tied=True, count=64, extra=("<|im_start|>", "<|im_end|>"))


def models_of(*names, weight=True):
    return [{"model": name, **({"parameters": {"weight": 1.0}} if weight else {})} for name in names]


def recipe(method, names, base=None, **more):
    weight = method not in ("slerp",)
    result = {"merge_method": method, "dtype": "float32", "models": models_of(*names, weight=weight), **more}
    # Without a base mergekit takes any model's tokenizer; Zoo takes the first one's.
    result["base_model"] = base or names[0]
    return result


CASES = {
    # name: (recipe, tokens, rows)
    "source_base": (recipe("linear", ["base", "padded", "chatml"], tokenizer={"source": "base"}), 64, 64),
    "older_key": (recipe("linear", ["base", "padded", "chatml"], tokenizer_source="base"), 64, 64),
    "union": (recipe("linear", ["base", "padded", "chatml"], tokenizer={"source": "union"}), 66, 66),
    "union_of_padded_base": (recipe("linear", ["padded", "base", "chatml"], tokenizer={"source": "union"}), 66, 66),
    "union_with_base": (recipe("task_arithmetic", ["padded", "chatml"], base="base",
                               tokenizer={"source": "union"}), 66, 66),
    "union_of_four": (recipe("linear", ["base", "wide", "chatml", "padded"], tokenizer={"source": "union"}), 70, 70),
    "union_ties": (recipe("ties", ["chatml", "wide"], base="base", tokenizer={"source": "union"},
                          parameters={"density": 0.5}), 70, 70),
    "union_slerp": (recipe("slerp", ["base", "chatml"], base="base", tokenizer={"source": "union"},
                           parameters={"t": 0.35}), 66, 66),
    "source_model": (recipe("linear", ["base", "padded", "chatml"], tokenizer={"source": "chatml"}), 66, 66),
    "padding": (recipe("linear", ["base", "padded", "chatml"],
                       tokenizer={"source": "union", "pad_to_multiple_of": 16}), 66, 80),
    "force": (recipe("linear", ["base", "padded", "chatml"], tokenizer={"source": "union", "tokens": {
        "<|im_start|>": {"source": "chatml", "force": True},
        "<|im_end|>": {"source": {"kind": "model_token", "model": "base", "token": "</s>"}, "force": True},
        "th": {"source": {"kind": "model_token", "model": "chatml", "token_id": 5}, "force": True},
        "he": {"source": "padded", "force": True}}}), 66, 66),
    "model_token": (recipe("linear", ["base", "chatml"], tokenizer={"source": "union", "tokens": {
        "<|im_start|>": {"source": {"kind": "model_token", "model": "base", "token": "<s>"}}}}), 66, 66),
    "tied": (recipe("linear", ["base", "tied"], tokenizer={"source": "union"}), 66, 66),
    "template_auto": (recipe("linear", ["base", "chatml", "wide"], chat_template="auto",
                              tokenizer={"source": "base"}), 64, 64),
}
for template in ("alpaca", "chatml", "exaone", "llama3", "mistral"):
    CASES["template_" + template] = (recipe("linear", ["base", "chatml"], chat_template=template,
                                            tokenizer={"source": "union"}), 66, 66)


def with_paths(value, folder):
    """Names of models as paths."""
    names = {"base", "padded", "chatml", "wide", "tied"}
    if isinstance(value, dict):
        return {key: (with_paths(item, folder) if key in ("models", "tokens", "tokenizer", "model", "source",
                      "base_model", "tokenizer_source") or isinstance(item, dict) else item)
                for key, item in value.items()}
    if isinstance(value, list):
        return [with_paths(item, folder) for item in value]
    return f"{folder}/{value}" if value in names and value != "base" else value


def localised(case, folder):
    """A recipe with paths; `base` as a tokenizer's source is a word and stays."""
    result = with_paths(case, folder)
    for entry in result["models"]:
        if entry["model"] == "base":
            entry["model"] = f"{folder}/base"
    if result["base_model"] == "base":
        result["base_model"] = f"{folder}/base"
    for entry in result.get("tokenizer", {}).get("tokens", {}).values():
        source = entry.get("source")
        if isinstance(source, dict) and source.get("model") == "base":
            source["model"] = f"{folder}/base"
    return result


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command}: {done.stderr[-3000:]}")
    return done.stderr


def rows(folder):
    """Rows by token of embedding and head, and what is padding."""
    tensors = load_file(f"{folder}/model.safetensors")
    vocabulary = AutoTokenizer.from_pretrained(folder).get_vocab()
    result = {}
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        if name in tensors:
            matrix = tensors[name].float().numpy()
            result[name] = {token: matrix[row] for token, row in vocabulary.items() if row < len(matrix)}
            rest = sorted(set(range(len(matrix))) - set(vocabulary.values()))
            result[name]["(padding)"] = matrix[rest].mean(axis=0) if rest else np.zeros(matrix.shape[1])
    return vocabulary, result


def compare(name, case, folder, peer, zoo):
    text, tokens, count = case
    file = f"{folder}/{name}.yaml"
    with open(file, "w") as handle:
        yaml.safe_dump(localised(text, folder), handle, sort_keys=False)
    ours, theirs = f"{folder}/{name}-zoo", f"{folder}/{name}-mergekit"
    run([*peer, file, theirs, "--allow-crimes", "--copy-tokenizer"])
    run([zoo, "merge", file, ours, "--quiet"])
    known, expected = rows(theirs)
    found, made = rows(ours)
    assert set(known) == set(found), (name, set(known) ^ set(found))
    assert len(found) == tokens, (name, len(found), tokens)
    worst = 0.0
    for tensor, values in expected.items():
        assert set(values) == set(made[tensor]), name
        largest = max(np.abs(row).max() for row in values.values())
        worst = max(worst, max(np.abs(values[token] - made[tensor][token]).max() for token in values) / largest)
    assert worst <= 1e-6, (name, worst)
    config = json.load(open(f"{ours}/config.json"))
    other = json.load(open(f"{theirs}/config.json"))
    size = load_file(f"{ours}/model.safetensors")["model.embed_tokens.weight"].shape[0]
    assert count is None or size == count == config["vocab_size"] == other["vocab_size"], (name, size, config)
    loaded, reference = AutoTokenizer.from_pretrained(ours), AutoTokenizer.from_pretrained(theirs)
    for sentence in ("the hen is here <|im_start|>then</s>", "zebra in the street!", "<|im_end|>"):
        pieces = loaded.tokenize(sentence)
        assert pieces == reference.tokenize(sentence), (name, pieces, reference.tokenize(sentence))
    rendered = "none"
    if text.get("chat_template"):
        outputs = []
        for prompt in (False, True):
            pair = [model.apply_chat_template(TALK, tokenize=False, add_generation_prompt=prompt)
                    for model in (loaded, reference)]
            texts = ["".join(text.split()) for text in pair]
            assert texts[0] == texts[1], (name, pair)
            outputs.append("same" if pair[0] == pair[1] else "same but for white space")
        rendered = "; ".join(dict.fromkeys(outputs))
    print(json.dumps({"case": name, "tokens": len(found), "rows": size, "difference": float(worst),
                      "template": rendered}), flush=True)
    return {token: {tensor: [float(x) for x in values[token]] for tensor, values in expected.items()}
            for token in expected["model.embed_tokens.weight"]}


def fixture(folder, results):
    """Models as JSON: tokenizer files and embeddings, and mergekit's rows."""
    stored = {}
    for name in ("base", "padded", "chatml", "wide", "tied"):
        path = f"{folder}/{name}"
        tensors = load_file(f"{path}/model.safetensors")
        stored[name] = {
            "files": {file: open(f"{path}/{file}").read() for file in sorted(os.listdir(path))
                      if file.endswith((".json", ".jinja")) and file != "model.safetensors.index.json"},
            "tensors": {key: tensor.flatten().tolist() for key, tensor in tensors.items()
                        if key in ("model.embed_tokens.weight", "lm_head.weight", "model.norm.weight")}}
    cases = {}
    for name, rows_by_token in results.items():
        text, tokens, count = CASES[name]
        cases[name] = {"recipe": yaml.safe_dump(text, sort_keys=False), "tokens": tokens, "rows": count,
                       "expected": {token: {tensor: [float(f"{x:.7g}") for x in row] for tensor, row in value.items()}
                                    for token, value in rows_by_token.items()}}
    return {"models": stored, "cases": cases}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("zoo")
    parser.add_argument("--fixture")
    parser.add_argument("--cases", default="")
    options = parser.parse_args()
    peer = [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "mergekit_yaml.py")]
    folder = tempfile.mkdtemp(prefix="zoo-tokenizers-")
    try:
        make_models(folder)
        wanted = options.cases.split(",") if options.cases else list(CASES)
        results = {name: compare(name, CASES[name], folder, peer, options.zoo) for name in wanted}
        if options.fixture:
            kept = {name: rows for name, rows in results.items()
                    if name in ("union", "union_with_base", "union_of_four", "force", "padding", "tied", "source_base")}
            with open(options.fixture, "w") as file:
                json.dump(fixture(folder, kept), file, separators=(",", ":"), ensure_ascii=False)
                file.write("\n")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
