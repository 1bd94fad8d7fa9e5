"""The chunked output layer beside whole logits: processor seconds of a step and of an evaluation, peak memory.

python dev.py bench output_layer [--vocabulary N] [--width N] [--tokens N] [--precision bf16] [--frozen] [--rounds N]

A Llama of two layers with tied embeddings, random tokens, all of them scored, one thread. Both arms in turn in one
process for the times, in a process of their own for the peak of resident memory. --frozen: embeddings as under LoRA.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "template" / "src"))

import torch
from finetune.model.device import autocast
from finetune.model.output_layer import token_scores
from finetune.run.saved_model import TASKS
from finetune.tasks import make_task
from transformers import AutoModelForCausalLM, LlamaConfig

ARMS = ("whole", "chunks")
ROW = 512
"""Tokens of a row."""


def main() -> None:
    """Print medians and peaks."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--vocabulary", type=int, default=50257)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--frozen", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peak", choices=ARMS, help="Print only the peak of this arm, in MiB.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    step, evaluation = passes(options)
    if options.peak:
        step(options.peak)
        step(options.peak)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
        return
    for name, run in (("step", step), ("evaluation", evaluation)):
        whole, chunks = interleaved(run, options.rounds)
        print(f"{name}: whole {whole:.2f} s, chunks {chunks:.2f} s, {chunks / whole:.2f}", flush=True)
    for arm in ARMS:
        command = [sys.executable, *sys.argv, "--peak", arm]
        print(f"peak, {arm}: {subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()} MiB")


def passes(options: argparse.Namespace) -> tuple[Callable[[str], None], Callable[[str], None]]:
    """A step without its update, and an evaluation, by the name of an arm."""
    sizes = {"hidden_size": options.width, "intermediate_size": 4 * options.width, "num_hidden_layers": 2}
    config = LlamaConfig(
        vocab_size=options.vocabulary, num_attention_heads=8, num_key_value_heads=8, tie_word_embeddings=True, **sizes
    )
    model: Any = AutoModelForCausalLM.from_config(config).train()
    model.get_input_embeddings().requires_grad_(not options.frozen)
    task = make_task(TASKS.validate_python({"type": "text-generation"}))
    ids = torch.randint(5, options.vocabulary, (options.tokens // ROW, ROW))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "use_cache": False}

    def forward(arm: str) -> Any:
        with autocast(options.precision, ids.device):
            if arm == "whole":
                return model(**inputs).logits
            return token_scores(model, inputs, ids, partial(task.scored, labels=ids))

    def step(arm: str) -> None:
        loss = task.loss(forward(arm), ids) / options.tokens
        loss.backward()
        model.zero_grad()

    @torch.inference_mode()
    def evaluation(arm: str) -> None:
        output = forward(arm)
        task.loss(output, ids)
        task.decode(output, ids)

    return step, evaluation


def interleaved(run: Callable[[str], None], rounds: int) -> list[float]:
    """Median processor seconds of each arm, after a warm-up."""
    seconds: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for number in range(rounds + 1):
        for arm in ARMS:
            start = time.process_time()
            run(arm)
            if number:
                seconds[arm].append(time.process_time() - start)
    return [statistics.median(seconds[arm]) for arm in ARMS]


if __name__ == "__main__":
    main()
