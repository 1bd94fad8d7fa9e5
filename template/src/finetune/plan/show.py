"""Print a plan."""

from rich.console import Console

from ..config.config import Config
from ..console import counted, print_line, print_table
from .plan import Plan

GIB = 2**30
SIZES = (16, 24, 40, 80, 141)
"""GiB of usual GPUs."""
ROOM = 0.9
"""Share of a GPU's memory that a training gets: the rest is for the CUDA context and fragmentation."""


def show_plan(config: Config, plan: Plan, console: Console) -> None:
    """Memory and communication as tables, and the GPUs that suffice."""
    rows, tokens = plan.micro_batch
    print_line(
        console,
        f"{config.model.name}, method {config.method.type}: {plan.trainable:,} of {plan.parameters:,} parameters are "
        f"trainable; {plan.precision}, {counted(plan.gpus, 'GPU')}, data parallelism: {plan.parallel}",
    )
    print_line(
        console,
        f"a step on one GPU: {counted(plan.micro_batches, 'micro-batch', 'micro-batches')} of {counted(rows, 'row')} "
        f"of {counted(tokens, 'token')}",
    )
    _show_sizes("memory per GPU", {**plan.memory, "total": plan.total}, console)
    if not plan.complete:
        print_line(console, "without activations: what this model computes depends on the values of its inputs")
    if plan.communication:
        _show_sizes("sent by each GPU in a step", plan.communication, console)
    fitting = [size for size in SIZES if plan.total <= ROOM * size * GIB]
    fits = f"fits on a GPU of {fitting[0]} GiB" if fitting else f"does not fit on a GPU of {SIZES[-1]} GiB"
    advice = "" if fitting else ": lower train.micro_batch_tokens, take lora, or train.parallel=fsdp on several GPUs"
    print_line(console, fits + advice)


def _show_sizes(title: str, sizes: dict[str, int], console: Console) -> None:
    print_table(console, [title, "GiB"], [(name, size / GIB) for name, size in sizes.items()])
