"""What is trained: the data, the shape of the model and the settings of each workload."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from finetune.config.config import Config
from finetune.model.tiny import tiny_tokenizer
from finetune.train.loop import set_seed
from real_input import DATA, FILES, SETS, encoder

TUTORIAL, AS_IT_COMES, BEST, HALF, TRL, OURS, PRODUCTS = (
    "tutorial",
    "trainer",
    "best",
    "half",
    "trl",
    "ours",
    "products",
)
ARMS = {
    TUTORIAL: "tutorial loop: padded to 128, fp32, plain AdamW",
    AS_IT_COMES: "Trainer as it comes",
    BEST: "Trainer at its best: bf16, group_by_length, fused AdamW",
    HALF: "Trainer at its best, weights loaded in bf16",
    TRL: "TRL's SFTTrainer: bf16, packed, fused AdamW",
    OURS: "finetune with its defaults",
    PRODUCTS: "the bare matrix products of finetune",
}
SEPARATOR = {"sst2": "\n", "conll": "\n\n"}
CHARACTERS = 4
"""Of Shakespeare's plays for a token, and a bit more: 2,000 tokens are in the vocabulary."""
TINY: dict[str, dict[str, int]] = {
    "bert": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4},
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 4},
    "llama": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    | {"num_key_value_heads": 2, "head_dim": 16},
}
TINY_LENGTH, TINY_EXAMPLES = 128, 8


@dataclass(frozen=True, slots=True)
class Workload:
    """What is trained, by which arms."""

    title: str
    data: str
    """sst2, conll or shakespeare."""
    arms: tuple[str, ...]
    examples: int
    """Texts of the training data, or windows of the plays."""
    shape: Mapping[str, Any] | None = None
    """Of a model with random weights; None is the pretrained encoder."""
    length: int = 128
    """Tokens of a text at most."""
    method: str = "full"
    train: Mapping[str, Any] = field(default_factory=lambda: {"batch_size": 16})
    lr: float = 5e-5
    on_gpu: bool = False

    @property
    def missing(self) -> list[str]:
        """Files of data that are not there."""
        files = ["shakespeare.txt"]
        if self.data in SETS:
            files = [f"{FILES[self.data]}-{part}.{SETS[self.data][1]}" for part in ("train", "dev")]
        return [file for file in files if not (DATA / file).is_file()]

    def config(self, folder: Path, examples: int, tiny: bool = False) -> Config:
        """Its config, with the files that it names in `folder`. `tiny`: a model of this architecture for a trial."""
        split, tokenizer = (_texts if self.data in SETS else _plays)(self, folder, examples)
        length = min(self.length, TINY_LENGTH) if tiny else self.length
        model = encoder()
        if self.shape:
            model = folder / "model"
            shape = self.shape | (TINY[self.shape["model_type"]] if tiny else {})
            _save_random_model(dict(shape), tokenizer, length, model, half=self.method != "full" and not tiny)
        return Config.model_validate(
            {
                "task": {"type": SETS[self.data][0] if self.data in SETS else "text-generation"},
                "model": {"name": str(model), "max_length": length},
                "method": {"type": "lora" if tiny and self.method == "qlora" else self.method},
                "data": split,
                "train": {"epochs": 1, "seed": 0, **self.train},
                "optim": {"lr": self.lr, "schedule": "constant", "warmup": 0},
                "run": {"name": "speed", "dir": folder / "runs"},
            }
        )


def _texts(load: Workload, folder: Path, examples: int) -> tuple[dict[str, Any], Any]:
    """A random part of SST-2 or CoNLL-2003, and the encoder's tokenizer."""
    _, ending, _, options = SETS[load.data]
    files: dict[str, Any] = dict(options)
    for split, part in (("train", "train"), ("validation", "dev")):
        separator = SEPARATOR[load.data]
        rows = (DATA / f"{FILES[load.data]}-{part}.{ending}").read_text("utf-8").strip().split(separator)
        rows = [row for row in rows if row.strip()]
        chosen = random.Random(0).sample(rows, min(examples, len(rows)))
        files[split] = folder / f"{part}.{ending}"
        files[split].write_text(separator.join(chosen) + "\n", "utf-8")
    return files, transformers.AutoTokenizer.from_pretrained(encoder())


def _plays(load: Workload, folder: Path, examples: int) -> tuple[dict[str, Any], Any]:
    """The beginning of Shakespeare's plays, and a quarter as much of their end; a tokenizer of their words."""
    text = (DATA / "shakespeare.txt").read_text("utf-8")
    window, cut = load.length * CHARACTERS, len(text) * 9 // 10
    parts = {
        "train": text[: min(examples * window, cut)],
        "validation": text[cut : cut + max(1, examples // 4) * window],
    }
    for split, part in parts.items():
        (folder / f"{split}.txt").write_text(part, "utf-8")
    return {split: folder / f"{split}.txt" for split in parts}, tiny_tokenizer("tiny:gpt2", [text])


def _save_random_model(shape: dict[str, Any], tokenizer: Any, length: int, folder: Path, half: bool) -> None:
    """`half`: in bf16, as large models are published, where only the frozen weights are many."""
    kind = shape.pop("model_type")
    size = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    special = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id")}
    positions = "n_positions" if kind == "gpt2" else "max_position_embeddings"
    config = transformers.AutoConfig.for_model(kind, **{**size, **special, positions: max(length, 128), **shape})
    auto = transformers.AutoModel if kind == "bert" else transformers.AutoModelForCausalLM
    set_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = auto.from_config(config, dtype=torch.bfloat16 if half else torch.float32)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


OF_ENCODERS = (TUTORIAL, AS_IT_COMES, BEST, OURS, PRODUCTS)
METHODS = {"full": "Full fine-tuning", "lora": "LoRA", "qlora": "QLoRA"}
GPT2 = {"model_type": "gpt2"}
BERT_BASE = {"model_type": "bert"}
# The shapes of Qwen2 0.5B, Llama 3.2 1B and Llama 3.1 8B, with a small vocabulary: the share of the layers is larger.
LLAMA = {"model_type": "llama", "tie_word_embeddings": True}
LLAMA_HALF_B = LLAMA | {"num_hidden_layers": 24, "hidden_size": 896, "intermediate_size": 4864} | {
    "num_attention_heads": 14, "num_key_value_heads": 2}  # fmt: skip
LLAMA_1B = LLAMA | {"num_hidden_layers": 16, "hidden_size": 2048, "intermediate_size": 8192} | {
    "num_attention_heads": 32, "num_key_value_heads": 8}  # fmt: skip
LLAMA_8B = LLAMA | {"num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 14336} | {
    "num_attention_heads": 32, "num_key_value_heads": 8}  # fmt: skip
LARGE_BATCH = {"batch_size": 512, "micro_batch_tokens": 16384}
LONG = {"batch_size": 8, "packing": True}
CHECKPOINTING = LONG | {"activation_checkpointing": True}

WORKLOADS = {
    "sst2": Workload("SST-2, the pretrained encoder of 6 layers", "sst2", OF_ENCODERS, 192),
    "conll": Workload("CoNLL-2003, the pretrained encoder of 6 layers", "conll", OF_ENCODERS, 192),
    "gpt2": Workload(
        "Shakespeare, packed: a GPT-2 of 6 layers, width 384",
        *("shakespeare", (BEST, TRL, OURS, PRODUCTS), 32, GPT2 | {"n_embd": 384, "n_layer": 6, "n_head": 6}, 256),
        train=LONG,
        lr=1e-3,
    ),
    "lora": Workload(
        "LoRA on a Llama of 0.5B parameters, context 512",
        *("shakespeare", (BEST, HALF, OURS), 4, LLAMA_HALF_B, 512, "lora"),
        train={"batch_size": 1},
        lr=1e-3,
    ),
    "bert-sst2": Workload("SST-2, BERT base", "sst2", OF_ENCODERS, 6000, BERT_BASE, train=LARGE_BATCH, on_gpu=True),
    "bert-conll": Workload(
        "CoNLL-2003, BERT base", "conll", OF_ENCODERS, 6000, BERT_BASE, train=LARGE_BATCH, on_gpu=True
    ),
    "gpt2-124m": Workload(
        "Shakespeare, packed: GPT-2 124M, context 1024",
        *("shakespeare", (BEST, TRL, OURS), 200, GPT2, 1024),
        train={"batch_size": 16, "packing": True, "micro_batch_tokens": 16384},
        on_gpu=True,
    ),
    **{
        name: Workload(
            f"{METHODS[method]}, a Llama of {size}, context 2048",
            *("shakespeare", arms, 64, shape, 2048, method),
            train=train,
            on_gpu=True,
        )
        for name, method, size, shape, train, arms in (
            ("llama1b-full", "full", "1B", LLAMA_1B, LONG, (BEST, TRL, OURS)),
            ("llama1b-lora", "lora", "1B", LLAMA_1B, LONG, (BEST, HALF, TRL, OURS)),
            ("llama8b-lora", "lora", "8B", LLAMA_8B, CHECKPOINTING, (HALF, TRL, OURS)),
            ("llama8b-qlora", "qlora", "8B", LLAMA_8B, CHECKPOINTING, (HALF, TRL, OURS)),
        )
    },
}
