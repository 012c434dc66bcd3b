"""Small tokenizers trained by the `tokenizers` library and what it makes of nasty strings.

    pip install tokenizers
    python make_tokenizer_oracles.py
"""

import json
import pathlib
import random

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = pathlib.Path(__file__).parent
START = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
END = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

NASTY = [
    "", " ", "   ", "\n", "\t\t", "a", "Hello, world!", "hello  world", " leading and trailing ", "don't can't I'LL we'Ve",
    "'s 't 're 've 'm 'll 'd 'S 'RE '", "x's y'st z'rex", "3.14159 1234567 12 1a2b", "naïve café Ångström Å Å e\u0301e\u0301",
    "Straße ẞ İstanbul ı ſ 's'ſ", "中文字符 and English 混合text漢字かな交じり文", "한국어 각 각", "مرحبا بالعالم",
    "हिन्दी पाठ", "ไทย", "👩‍👩‍👧‍👦 family 👍🏽 🇩🇪", "\u200b\u200d\ufeff", "a\u0000b\u0001c\u007f\u0085d\u00a0e\u3000f",
    "\ufffd replacement", "line one\nline two\r\nline three\n\n\n  indented\n \n x", "tabs\tand\u2028separators\u2029here",
    "if (x <= 10) { return y^2 + `z` ~ $5; } // € £ ¥", "!!!???...---___", "[CLS] in text [SEP] [MASK][PAD]",
    "<|endoftext|>", "before<|endoftext|>after <|endoftext|> x", "[cls] [ CLS ]", "a" * 99, "a" * 100, "a" * 101,
    "xyz" * 200, " " * 50 + "x" + " " * 50, "ab " * 60, "\U0001d400\U0001d401 \U00020000\U0002a6d6", "ﬁ ﬂ ½ ² Ⅷ ①",
    "e\u0327\u0301 \u0301alone q\u0307\u0323", "a_b-c.d,e;f:g", "CamelCaseAndSNAKE_CASE", "http://x.y/z?q=1&r=%20#h",
    "…–—“”‘’«»", "०१२३ ٣٤ 一二三", "\r", "\r\r\n", "a\r", " \n", "\n ", "a  \n  b", "x \u00a0 y", "'", "''s", "it’s",
]


def strings():
    random.seed(5)
    pool = [c for s in NASTY for c in s] + list("  \n\t'aAbBeEsStT09.,!") * 6
    words = "the of and model network weight gradient café über don't 12 345 the, (end).".split()
    made = ["".join(random.choice(pool) for _ in range(random.randint(1, 40))) for _ in range(120)]
    made += [" ".join(random.choice(words) for _ in range(random.randint(1, 14))) for _ in range(60)]
    return NASTY + made


def corpus():
    random.seed(3)
    words = ("the model network weight gradient of and in to a is was trained on images text loss learning rate epochs "
             "café naïve über don't we'll it's 12 345 2024 hello world batch norm layers attention heads").split()
    return [" ".join(random.choice(words) for _ in range(12)) + random.choice([".", "!\n", "?", "\n\n"]) for _ in range(400)] + NASTY


def bert(**options):
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(**options)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.train_from_iterator(corpus(), trainers.WordPieceTrainer(
        vocab_size=400, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False))
    cls, sep = made.token_to_id("[CLS]"), made.token_to_id("[SEP]")
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", cls), ("[SEP]", sep)])
    return made


def bpe(pattern, normalizer=None, ignore=False, trim=True, prefix=False, start=None):
    made = Tokenizer(models.BPE(ignore_merges=ignore))
    if normalizer:
        made.normalizer = normalizer
    if pattern:
        made.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    else:
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    made.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=420, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False))
    made.post_processor = processors.ByteLevel(trim_offsets=trim)
    if start:
        made.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=trim), processors.TemplateProcessing(
            single=f"{start} $A", pair=f"{start} $A {start} $B", special_tokens=[(start, made.token_to_id(start))])])
    return made


MADE = {
    "bert-uncased": lambda: bert(),
    "bert-cased": lambda: bert(lowercase=False, strip_accents=False),
    "gpt2": lambda: bpe(None),
    "gpt2-prefix": lambda: bpe(None, prefix=True, trim=False),
    "qwen2": lambda: bpe(START + r"\p{N}" + END, normalizers.NFC(), trim=False),
    "llama3": lambda: bpe(START + r"\p{N}{1,3}" + END, ignore=True, start="<|endoftext|>"),
}

for name, make in MADE.items():
    tokenizer = make()
    content = json.loads(tokenizer.to_str())
    if name == "gpt2":  # the older form of merges
        content["model"]["merges"] = [" ".join(m) for m in content["model"]["merges"]]
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")))
    tokenizer = Tokenizer.from_str(json.dumps(content))
    rows = []
    for text in strings():
        found = tokenizer.encode(text)
        rows.append({"text": text, "ids": found.ids, "offsets": [list(o) for o in found.offsets]})
    pairs = []
    for left, right, limit in [("hello world", "the model", 64), ("a b c d e f g h", "x y", 8), ("x y", "a b c d e f g", 7)]:
        tokenizer.enable_truncation(limit)
        found = tokenizer.encode(left, right)
        tokenizer.no_truncation()
        pairs.append({"text": left, "pair": right, "limit": limit, "ids": found.ids, "types": found.type_ids})
    (folder / "oracle.json").write_text(json.dumps({"texts": rows, "pairs": pairs}, separators=(",", ":")))
