"""Predicts with the model in this folder, by onnxruntime and tokenizers alone: python predict.py TEXT [PARTNER].

The words of a token classification stand apart by spaces; a text longer than the model reads is truncated, or read as
in the training (model.overflow). Tabular features (data.features) follow the texts: price=3.5 brand=acme, in any order.
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


def load(name: str) -> Any:
    return onnxruntime.InferenceSession(FOLDER / name, providers=["CPUExecutionProvider"])


SESSION = load("model.onnx")
COLUMNS = STATE.get("features", {})
CELLS = dict(argument.split("=", 1) for argument in sys.argv[1:] if argument.split("=")[0] in COLUMNS)
TEXTS = [argument for argument in sys.argv[1:] if argument.split("=")[0] not in COLUMNS]


def feature(name: str) -> float:
    """A standardized number, nan where it is missing; the position of a category, or of null: any other value."""
    column, cell = COLUMNS[name], CELLS.get(name)
    if column["type"] == "number":
        return (float(cell) - column["mean"]) / column["deviation"] if cell else float("nan")
    values = column["values"]
    return float(values.index(cell if cell in values else None)) if {cell, None} & {*values} else -1.0


def run(session: Any, ids: list[int], **others: Any) -> list[Any]:
    """All outputs for one text."""
    columns = {"input_ids": ids, "attention_mask": [1] * len(ids), "token_type_ids": [0] * len(ids), **others}
    if COLUMNS:
        columns["features"] = np.array([[feature(name) for name in COLUMNS]], np.float32)
    inputs = {one.name: columns[one.name] for one in session.get_inputs()}
    rows = {name: np.array([value]) if isinstance(value, list) else value for name, value in inputs.items()}
    return list(session.run(None, rows))


def generate(text: str) -> str:
    """Greedy decoding: each step reads the new tokens, and the keys and values of those before."""
    decoding, mask, written = KNOWN["decoding"], {}, list[int]()
    cache = {
        one.name: np.zeros((1, one.shape[1], 0, one.shape[3]), np.float32)
        for one in SESSION.get_inputs()
        if one.name.startswith("past_key_values")
    }
    if "start" in decoding:  # an encoder reads the text
        TOKENIZER.enable_truncation(KNOWN["max_length"])
        source, encoder = TOKENIZER.encode(TASK["prefix"] + text).ids, load("encoder.onnx")
        cache |= zip([one.name for one in encoder.get_outputs()], run(encoder, source), strict=True)
        mask, new = {"encoder_attention_mask": [1] * len(source)}, decoding["start"]
        written = new[1:]  # a token that each text has to begin with
    elif decoding["prompt"] is None:
        sys.exit("the chat template of this model changes the text: render the dialogue with transformers")
    else:
        before, after = decoding["prompt"]
        new = TOKENIZER.encode(before + text + after, add_special_tokens=TASK["type"] != "chat").ids
        new = new[TASK["generation"]["max_new_tokens"] - KNOWN["max_length"] :]
    presents = [one.name.replace("present", "past_key_values") for one in SESSION.get_outputs()[1:]]
    read = [*new]
    while len(written) < decoding["max_new_tokens"] and not {*written[-1:]} & {*STATE["ends"]}:
        found, *present = run(SESSION, new if cache else read, attention_mask=[1] * len(read), **mask, **cache)
        found[0, -1, decoding["never"]] = -np.inf
        new = [int(found[0, -1].argmax())]
        read, written = read + new, written + new
        cache |= zip(presents, present, strict=True)
    return str(TOKENIZER.decode(written)).strip()


def logits_of(text: str, partner: str | None) -> Any:
    """Of all windows of the text the mean."""
    overflow = STATE.get("overflow", "cut")
    if overflow == "cut":
        encoded = TOKENIZER.encode(text, partner)
        return run(SESSION, encoded.ids, token_type_ids=encoded.type_ids)[0][0]
    sys.path.append(str(FOLDER))
    from overflow import split_tokens  # type: ignore[import-not-found]

    TOKENIZER.no_truncation()
    encoded = TOKENIZER.encode(text, partner)
    first = encoded.sequence_ids.count(0)
    windows, _ = split_tokens(encoded.special_tokens_mask, first, KNOWN["max_length"], overflow)
    columns = [([encoded.ids[i] for i in window], [encoded.type_ids[i] for i in window]) for window in windows]
    return np.mean([run(SESSION, ids, token_type_ids=types)[0][0] for ids, types in columns], axis=0)


def predict(text: str, partner: str | None = None) -> Any:
    if "generation" in TASK:
        return generate(text)
    TOKENIZER.enable_truncation(KNOWN["max_length"])
    if TASK["type"] == "token-classification":
        words = TOKENIZER.encode(text.split(), is_pretokenized=True)
        found = run(SESSION, words.ids, token_type_ids=words.type_ids)[0][0]
        tags = [STATE["labels"][best] for best in found.argmax(-1)]
        first = dict(reversed([*zip(words.word_ids, tags, strict=True)]))  # a word has the tag of its first token
        return [[word, first[number]] for number, word in enumerate(text.split()) if number in first]
    found = logits_of(TASK.get("prefixes", {}).get("query", "") + text, partner)
    if TASK["type"] == "retrieval":
        return found.tolist()
    if TASK["type"] == "text-classification":
        return STATE["labels"][found.argmax()]
    if TASK["type"] == "multi-label-classification":
        chosen = 1 / (1 + np.exp(-found / STATE.get("temperature", 1))) > STATE["threshold"]
        return [label for label, is_chosen in zip(STATE["labels"], chosen, strict=True) if is_chosen]
    return float(found[0]) if KNOWN.get("data_units", True) else float(found[0]) * STATE["deviation"] + STATE["mean"]


print(json.dumps(predict(*TEXTS), ensure_ascii=False))
