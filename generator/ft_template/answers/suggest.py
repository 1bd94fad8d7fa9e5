"""Suggested answers for this machine, each with its reason; only for interactive use."""

from dataclasses import dataclass

from ..system.machine import GB, Machine, format_size

BERT_BASE = 110_000_000  # as its paper rounds it; the vocabularies make 102 to 110 million
PARAMETERS = {
    "google-bert/bert-base-uncased": BERT_BASE,
    "google-bert/bert-base-cased": BERT_BASE,
    "google-bert/bert-base-chinese": BERT_BASE,
    "openai-community/gpt2": 124_000_000,
    "Qwen/Qwen2.5-0.5B": 494_000_000,
    "Qwen/Qwen2.5-0.5B-Instruct": 494_000_000,
    "google-t5/t5-small": 61_000_000,
    "bigscience/mt0-small": 300_000_000,
    "sentence-transformers/all-MiniLM-L6-v2": 23_000_000,
    "BAAI/bge-small-zh-v1.5": 24_000_000,
}
"""Parameters of each default model of the template; tests/test_doctor.py checks that none is missing."""

WEIGHT_BYTES = 4  # fp32
TRAINED_BYTES = 12  # its gradient, and AdamW's two moments
ROOM_FOR_ACTIVATIONS = 2 * GB


@dataclass(frozen=True)
class Suggestion:
    """A choice, and the reason in one sentence."""

    choice: str
    reason: str


def memory(parameters: int, trained: int) -> int:
    """The bytes of weights, gradients and optimizer state, which do not depend on the batch; activations come on top.

    Every text that names such a figure for BERT base has it from here: tests/test_doctor.py compares them.
    """
    return WEIGHT_BYTES * parameters + TRAINED_BYTES * trained


def method(machine: Machine, base_model: str) -> Suggestion | None:
    """full if full fine-tuning fits into memory, else lora; None if the model's size is unknown."""
    parameters = PARAMETERS.get(base_model)
    if parameters is None:
        return None
    needed, available = memory(parameters, parameters), machine.training_memory
    need = f"Full fine-tuning of {base_model} needs about {format_size(needed)}, plus activations"
    found = f"{machine.device} has {format_size(available)}"
    if needed + ROOM_FOR_ACTIVATIONS <= available:
        return Suggestion("full", f"{need}, and {found}: full fits.")
    return Suggestion("lora", f"{need}, but {found}: lora needs less.")


def accelerator(machine: Machine) -> Suggestion:
    """auto, because the project may move to another machine, with its effect on this one; cpu if the driver fails."""
    if machine.gpus:
        gpu = machine.gpus[0]
        memory = f" with {format_size(gpu.memory)}" if gpu.memory else ""
        reason = f"This machine has an {gpu.name}{memory}: auto installs the build for NVIDIA GPUs."
        return Suggestion("auto", reason)
    if machine.gpu_trouble:
        return Suggestion("cpu", f"The NVIDIA driver does not work ({machine.gpu_trouble}): use cpu until it does.")
    reason = "This machine has no NVIDIA GPU: auto installs the small CPU build here, the CUDA build elsewhere."
    return Suggestion("auto", reason)


def environment(machine: Machine) -> Suggestion:
    """empty, which takes no disk space; the reason tells whether there is room for install."""
    room = "enough" if machine.disk >= machine.install_size else "too little"
    reason = (
        f"install needs up to {format_size(machine.install_size)} and {format_size(machine.disk)} are free here, "
        f"{room}; the .venv will use this Python {machine.python}."
    )
    return Suggestion("empty", reason)
