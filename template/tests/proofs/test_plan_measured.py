"""The memory that `finetune plan` computes is what trainings take: of processes on a CPU, of the allocator on a GPU."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT, Project
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, BertConfig, GPT2Config, LlamaConfig

from finetune.model.tiny import tiny_config, tiny_tokenizer

MINILM = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
"""The size of all-MiniLM-L6-v2: 22.7 million parameters."""
SMALL_GPT2 = GPT2Config(vocab_size=20000, n_positions=256, n_embd=256, n_layer=4, n_head=4)

# After a training that loads all libraries: the most that another one takes on top. Nothing is saved in it, because
# the files are written from a copy of the weights.
MEASURE = """
import resource, sys, threading, time
from pathlib import Path
import torch, transformers
from rich.console import Console
from finetune.config.load import load_config
from finetune.plan.plan import make_plan
from finetune.run.saved_model import Base
from finetune.model import forward
from finetune.model import load as loading
from finetune.train import loop

forward.CPU_TOKENS = 10**6  # as large as on a GPU, so that activations are most of the memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

def measure(*overrides):
    config = load_config(Path("config.yaml"), ["train.max_steps=3", "train.device=cpu", *overrides])
    before, most, done = resident(), 0, threading.Event()
    def watch():
        nonlocal most
        while not done.wait(0.001):
            most = max(most, resident())
    watching = threading.Thread(target=watch)
    watching.start()
    loop.train(config, console=Console(quiet=True))
    done.set()
    watching.join()
    return most - before, config

loop.validate = loop.save_checkpoint = lambda *arguments, **options: None
measure("run.name=warm-up", *sys.argv[1:], "train.batch_size=1", "model.name=" + sys.argv[1].split("=")[1] + "-tiny")
used, config = measure(*sys.argv[1:])
print(used, make_plan(config, 1).total)
"""


def save_random(folder: str, config: Any) -> Any:
    """A model with random weights, which take the memory of pretrained ones, and a tokenizer; returns the tokenizer."""
    is_encoder = config.model_type == "bert"
    texts = [f"word{number} and word{number + 1}" for number in range(200)]
    tokenizer = tiny_tokenizer("tiny:bert" if is_encoder else "tiny:gpt2", texts)
    auto = AutoModelForSequenceClassification if is_encoder else AutoModelForCausalLM
    auto.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return tokenizer


def write_config(project: Project, name: str, words: int) -> None:
    """A task for the model, and 64 texts that are longer than it reads."""
    rows = [{"text": "word1 and word2 or word3 " * words, "label": label} for label in "ab"] * 32
    project.write("long.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    task = "text-classification" if name == "bert" else "text-generation"
    project.config(task, data={"train": "long.jsonl", "validation": None, "test": None}, train={"batch_size": 32})


def require_planned(
    name: str, settings: list[str], command: list[str], environment: dict[str, str], rel: float
) -> None:
    """Run a program that prints the bytes that a training used, and those that were planned; compare them."""
    variables = {**os.environ, **environment, "PYTHONPATH": str(ROOT / "src")}
    printed = subprocess.run(command, env=variables, check=True, stdout=subprocess.PIPE, text=True).stdout
    used, planned = map(int, printed.split())
    print(f"{name} {' '.join(settings)}: used {used / 2**20:.0f} MiB, planned {planned / 2**20:.0f} MiB")
    assert planned == pytest.approx(used, rel=rel)


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="reads the memory of a process as Linux tells it")
@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("bert", ["train.precision=fp32"]),
        ("bert", ["train.precision=bf16"]),
        ("bert", ["train.precision=fp32", "method.type=lora"]),
        ("bert", ["train.precision=fp32", "optim.name=sgd", "train.micro_batch_tokens=1024"]),
        ("gpt2", ["train.precision=fp32"]),
    ],
    ids=["bert-fp32", "bert-bf16", "bert-lora", "bert-sgd", "gpt2"],
)
def test_a_training_takes_the_memory_of_its_plan(project: Project, model: str, settings: list[str]) -> None:
    tokenizer = save_random(model, {"bert": MINILM, "gpt2": SMALL_GPT2}[model])
    save_random(f"{model}-tiny", tiny_config(f"tiny:{model}", tokenizer, 256))
    write_config(project, model, words=100)
    # Each tensor is a mapping of its own, which is given back at once.
    exact = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
    command = [sys.executable, "-c", MEASURE, f"model.name={model}", "model.max_length=128", *settings]
    require_planned(model, settings, command, {**exact, "OMP_NUM_THREADS": "1"}, rel=0.1)


BERT_BASE = BertConfig()
GPT2_SMALL = GPT2Config(vocab_size=50257)
LLAMA_1B = LlamaConfig(
    vocab_size=32000,
    hidden_size=2048,
    intermediate_size=8192,
    num_hidden_layers=16,
    num_attention_heads=32,
    num_key_value_heads=8,
)
ON_GPU = """
import sys
from pathlib import Path
import torch
from rich.console import Console
from finetune.config.load import load_config
from finetune.plan.plan import make_plan
from finetune.train import loop

config = load_config(Path("config.yaml"), sys.argv[1:])
loop.validate = loop.save_checkpoint = lambda *arguments, **options: None
loop.train(config, console=Console(quiet=True))
print(torch.cuda.max_memory_allocated(), make_plan(config, 1).total)
"""


@pytest.mark.skipif(not torch.cuda.is_available(), reason="measures the memory of a GPU")
@pytest.mark.parametrize(
    ("name", "config", "settings"),
    [
        ("bert", BERT_BASE, []),
        ("bert", BERT_BASE, ["method.type=lora"]),
        ("bert", BERT_BASE, ["train.precision=fp32", "train.micro_batch_tokens=1024"]),
        ("gpt2", GPT2_SMALL, []),
        ("llama", LLAMA_1B, ["method.type=lora"]),
    ],
    ids=["bert", "bert-lora", "bert-fp32", "gpt2", "llama-lora"],
)
def test_a_training_takes_the_memory_of_its_plan_on_a_gpu(
    project: Project, name: str, config: Any, settings: list[str]
) -> None:
    save_random(name, config)
    write_config(project, name, words=200)
    given = [f"model.name={name}", "model.max_length=256", "train.max_steps=3", "train.device=cuda", *settings]
    require_planned(name, settings, [sys.executable, "-c", ON_GPU, *given], {}, rel=0.15)
