"""Print a plan."""

from rich.console import Console

from ..config.config import Config
from ..console import counted, print_line, print_table
from .fit import GIB, ROOM, Fit
from .plan import Plan

SIZES = (16, 24, 40, 80, 141)
"""GiB of usual GPUs."""


def show_plan(config: Config, plan: Plan, fit: Fit | None, console: Console) -> None:
    """Memory and communication as tables, and whether the training fits, or the GPUs that suffice."""
    rows, tokens = plan.micro_batch
    step = counted(plan.micro_batches, "micro-batch", "micro-batches")
    print_line(
        console,
        f"{config.model.name}, method {config.method.type}: {plan.trainable:,} of {plan.parameters:,} parameters are "
        f"trainable; {plan.precision}, {counted(plan.gpus, plan.device)}, data parallelism: {plan.parallel}",
    )
    print_line(console, f"a step on one {plan.device}: {step} of {counted(rows, 'row')} of {counted(tokens, 'token')}")
    _show_sizes(f"memory per {plan.device}", {**plan.memory, "total": plan.total}, console)
    if not plan.complete:
        print_line(console, "without activations: what this model computes depends on the values of its inputs")
    if plan.communication:
        _show_sizes(f"sent by each {plan.device} in a step", plan.communication, console)
    if fit:
        _show_fit(plan, fit, console)
        return
    fitting = [size for size in SIZES if plan.total <= ROOM * size * GIB]
    fits = f"fits on a GPU of {fitting[0]} GiB" if fitting else f"does not fit on a GPU of {SIZES[-1]} GiB"
    print_line(console, fits if fitting else f"{fits}: --memory {SIZES[-1]} says what to change")


def _show_fit(plan: Plan, fit: Fit, console: Console) -> None:
    """Whether it fits, the largest micro-batch, and what to change."""
    verdict = "fits" if fit.fits else "[yellow]does not fit[/]"
    print_line(
        console, f"{verdict}: {plan.total / GIB:.2f} of {fit.free / GIB:.2f} GiB, of which {1 - ROOM:.0%} stay free"
    )
    if fit.largest_micro_batch:
        rows, tokens = fit.largest_micro_batch, plan.micro_batch[1]
        print_line(
            console,
            f"largest micro-batch that fits: {counted(rows, 'row')} of {counted(tokens, 'token')} "
            f"(train.micro_batch_tokens={rows * tokens})",
        )
    elif plan.complete:
        print_line(console, f"not even a micro-batch of one row of {counted(plan.micro_batch[1], 'token')} fits")
    if fit.remedies:
        cells = [
            (" ".join(remedy.overrides), remedy.gpus, remedy.total / GIB, "yes" if remedy.fits else "no")
            for remedy in fit.remedies
        ]
        print_table(console, ["what to change", f"{plan.device}s", "GiB on each", "fits"], cells)


def _show_sizes(title: str, sizes: dict[str, int], console: Console) -> None:
    print_table(console, [title, "GiB"], [(name, size / GIB) for name, size in sizes.items()])
