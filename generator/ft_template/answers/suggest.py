"""What fits this machine, with the reason; people may take it, and programs are told nothing of the kind."""

from dataclasses import dataclass

from ..system.machine import GB, TO_INSTALL, Machine, size

WEIGHTS = {
    "google-bert/bert-base-uncased": 110_000_000,
    "google-bert/bert-base-cased": 108_000_000,
    "openai-community/gpt2": 124_000_000,
    "Qwen/Qwen2.5-0.5B-Instruct": 494_000_000,
    "google-t5/t5-small": 61_000_000,
}
"""Of the models that the template proposes; tests/test_new.py holds that none is missing."""

BYTES_A_WEIGHT = 16  # fp32 weights, gradients and the two moments of AdamW
FOR_THE_BATCH = 2 * GB


@dataclass(frozen=True)
class Suggestion:
    """One of the choices, and one sentence why."""

    choice: str
    reason: str


def method(machine: Machine, base_model: str) -> Suggestion | None:
    """full where all weights can be trained here, else lora; nothing for a model that is not known."""
    weights = WEIGHTS.get(base_model)
    if weights is None:
        return None
    needed, there = weights * BYTES_A_WEIGHT + FOR_THE_BATCH, machine.training_memory
    has = f"{machine.device} has {size(there)}"
    if needed <= there:
        return Suggestion("full", f"Every weight of {base_model} takes about {size(needed)}, and {has}: full fits.")
    reason = f"Every weight of {base_model} would take about {size(needed)}, but {has}: lora needs less."
    return Suggestion("lora", reason)


def accelerator(machine: Machine) -> Suggestion:
    """auto, for the project may move to another machine; what that means on this one."""
    if machine.gpus:
        gpu = machine.gpus[0]
        memory = f" with {size(gpu.memory)}" if gpu.memory else ""
        return Suggestion("auto", f"This machine has an {gpu.name}{memory}: auto installs the build for NVIDIA GPUs.")
    if machine.gpu_trouble:
        return Suggestion("cpu", f"The NVIDIA driver does not answer ({machine.gpu_trouble}): cpu works meanwhile.")
    return Suggestion(
        "auto", "No NVIDIA GPU is here: auto installs the small build, and the other one on a machine with a GPU."
    )


def environment(machine: Machine) -> Suggestion:
    """empty, which costs nothing; whether there is room for install."""
    needed = TO_INSTALL["cuda" if machine.gpus else "cpu"]
    room = "enough" if machine.disk >= needed else "too little"
    reason = (
        f"install needs up to {size(needed)} and {size(machine.disk)} are free here, {room}; "
        f"the .venv is made with this Python {machine.python}."
    )
    return Suggestion("empty", reason)
