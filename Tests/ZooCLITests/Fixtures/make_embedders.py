"""Tiny sentence embedders on decoders, written by transformers, with the vectors that sentence-transformers gives.

    pip install torch transformers tokenizers sentence-transformers
    python make_embedders.py

Writes embedders/NAME/: a folder as sentence-transformers saves it (config.json, model.safetensors, tokenizer.json,
tokenizer_config.json, modules.json, 1_Pooling/config.json) and embedders/NAME.json with texts and their vectors, embedded
together (so that texts are padded on the tokenizer's side) and one by one. Weights are random.

qwen2-last: last token, padded on the left, an end token after each text, as Qwen3-Embedding and E5-Mistral have it.
llama-mean: the mean of the real tokens, padded on the right.
"""

import json
import pathlib
import shutil
import tempfile

import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers import models as parts
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

HERE = pathlib.Path(__file__).parent / "embedders"
TEXTS = [
    "stack", "A data structure that holds things on top of each other.", "Wie viele Bäume?", "x",
    "the quick brown fox jumps over the lazy dog while three more sit and watch it run away from them all",
]


def tokenizer(folder, side, ends):
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(TEXTS * 3, trainers.BpeTrainer(
        vocab_size=290, special_tokens=["<|end|>", "<|pad|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    if ends:
        made.post_processor = processors.TemplateProcessing(
            single="$A <|end|>", pair="$A $B <|end|>", special_tokens=[("<|end|>", made.token_to_id("<|end|>"))])
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<|end|>", pad_token="<|pad|>", padding_side=side, model_max_length=64)
    fast.save_pretrained(folder)
    return len(fast)


def write(name, kind, config, pooling, side, ends):
    torch.manual_seed(7)
    target = HERE / name
    shutil.rmtree(target, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        size = tokenizer(folder, side, ends)
        model = kind(config(
            vocab_size=size, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=64, eos_token_id=0, bos_token_id=0, pad_token_id=1))
        with torch.no_grad():
            for p in model.parameters():
                p.normal_(1 if p.ndim == 1 and p.numel() == 16 else 0, 0.3)
        model.float().save_pretrained(folder)
        word = parts.Transformer(folder, max_seq_length=64)
        pool = parts.Pooling(16, pooling_mode=pooling)
        SentenceTransformer(modules=[word, pool, parts.Normalize()], device="cpu").save(
            str(target), create_model_card=False)
    whole = SentenceTransformer(str(target), device="cpu")
    together = whole.encode(TEXTS, batch_size=len(TEXTS))
    single = [whole.encode([text])[0] for text in TEXTS]
    json.dump({"texts": TEXTS, "vectors": [[float(f"{x:.8g}") for x in v] for v in together],
               "one_by_one": [[float(f"{x:.8g}") for x in v] for v in single]},
              open(HERE / f"{name}.json", "w"), ensure_ascii=False)
    print(name, max(abs(float(a) - float(b)) for v, w in zip(together, single) for a, b in zip(v, w)))


if __name__ == "__main__":
    write("qwen2-last", transformers.Qwen2Model, transformers.Qwen2Config, "lasttoken", "left", True)
    write("llama-mean", transformers.LlamaModel, transformers.LlamaConfig, "mean", "right", False)
