"""Predicts with the model in this folder, by onnxruntime and tokenizers alone: python predict.py TEXT [PARTNER].

The words of a token classification stand apart by spaces; a text longer than the model reads is truncated.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

FOLDER = Path(__file__).resolve().parent
KNOWN = json.loads((FOLDER / "finetune.json").read_text(encoding="utf-8"))
TASK, STATE = KNOWN["task"], KNOWN["state"]
TOKENIZER = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
SESSION = onnxruntime.InferenceSession(FOLDER / "model.onnx", providers=["CPUExecutionProvider"])


def logits(ids: list[int], types: list[int]) -> Any:
    columns = {"input_ids": ids, "attention_mask": [1] * len(ids), "token_type_ids": types}
    inputs = {one.name: np.array([columns[one.name]], dtype=np.int64) for one in SESSION.get_inputs()}
    return SESSION.run(["logits"], inputs)[0][0]


def generate(text: str) -> str:
    """Greedy decoding without a cache."""
    (before, after), length = KNOWN["prompt"], TASK["generation"]["max_new_tokens"]
    ids = TOKENIZER.encode(before + text + after, add_special_tokens=TASK["type"] != "chat").ids
    ids = ids[length - KNOWN["max_length"] :]
    written: list[int] = []
    while len(written) < length and not {*written[-1:]} & {*STATE["ends"]}:
        written.append(int(logits(ids + written, [0] * len(ids + written))[-1].argmax()))
    return str(TOKENIZER.decode(written)).strip()


def predict(text: str, partner: str | None = None) -> Any:
    if "generation" in TASK:
        return generate(text)
    TOKENIZER.enable_truncation(KNOWN["max_length"])
    if TASK["type"] == "token-classification":
        words = TOKENIZER.encode(text.split(), is_pretokenized=True)
        tags = [STATE["labels"][best] for best in logits(words.ids, words.type_ids).argmax(-1)]
        first = dict(reversed([*zip(words.word_ids, tags, strict=True)]))  # a word has the tag of its first token
        return [[word, first[number]] for number, word in enumerate(text.split()) if number in first]
    encoded = TOKENIZER.encode(text, partner)
    found = logits(encoded.ids, encoded.type_ids)
    if TASK["type"] == "text-classification":
        return STATE["labels"][found.argmax()]
    if TASK["type"] == "multi-label-classification":
        chosen = 1 / (1 + np.exp(-found)) > STATE["threshold"]
        return [label for label, is_chosen in zip(STATE["labels"], chosen, strict=True) if is_chosen]
    return float(found[0]) if KNOWN.get("data_units", True) else float(found[0]) * STATE["deviation"] + STATE["mean"]


print(json.dumps(predict(*sys.argv[1:]), ensure_ascii=False))
