"""Out of memory in a step: the same step is computed again in smaller micro-batches, which do not change its result."""

import gc
from collections.abc import Callable, Sequence

import torch
from rich.console import Console
from torch import Tensor

from ..config.config import Config
from ..errors import RankError, UserError
from ..model.device import random_devices
from ..system_errors import is_out_of_memory
from .build import Setup
from .checkpoint import TrainingState
from .throughput import StepStats

Step = Callable[[Config, Setup, Sequence[int]], StepStats]
"""An optimizer step over some examples."""


def micro_batch_tokens(config: Config, state: TrainingState) -> int:
    """`train.micro_batch_tokens`, or what it was lowered to in this run."""
    return min(config.train.micro_batch_tokens, state.micro_batch_tokens or config.train.micro_batch_tokens)


def within_memory(
    step: Step, config: Config, setup: Setup, rows: Sequence[int], state: TrainingState, console: Console
) -> StepStats:
    """Take a step over the examples `rows`; if memory runs out, halve the micro-batches for the rest of the run.

    The result is that of a run with this budget from the start, dropout included. Raises UserError where smaller
    micro-batches cannot help, and RankError if several processes train, of which the others wait for this one.
    """
    before, random = micro_batch_tokens(config, state), _random_states(setup)
    tokens: int | None = before
    while tokens:
        try:
            result = _one_try(step, config, setup, rows, tokens)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        else:
            if tokens != before:
                state.micro_batch_tokens = tokens
                console.print(
                    f"[yellow]out of memory in step {state.step + 1}, which was computed again: for the rest of the "
                    f"run, train.micro_batch_tokens is {tokens:,} instead of {before:,}[/]"
                )
            return result
        # Out of the handler, as the exception holds the activations.
        setup.optimizer.zero_grad()
        setup.embeddings.clear()
        gc.collect()
        torch.cuda.empty_cache()
        _set_random_states(setup, random)
        tokens = _smaller(setup, rows, tokens)
    raise UserError(
        f"train.micro_batch_tokens: out of memory with a single example in a step over {setup.train.where(rows)}: "
        f"lower model.max_length, or train fewer weights (method.type=lora)"
    )


def _one_try(step: Step, config: Config, setup: Setup, rows: Sequence[int], tokens: int) -> StepStats:
    """Raises UserError where memory ran out, but the step cannot be repeated."""
    updating: list[bool] = []
    hook = setup.optimizer.register_step_pre_hook(lambda *_: updating.append(True))
    try:
        train = config.train.model_copy(update={"micro_batch_tokens": tokens})
        return step(config.model_copy(update={"train": train}), setup, rows)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        where = f"a step over {setup.train.where(rows)}"
        if setup.world.size > 1:
            raise RankError(
                f"train.micro_batch_tokens: rank {setup.world.rank} is out of memory in {where}: lower it to "
                f"{max(1, tokens // 2):,}, and continue with --resume"
            ) from error
        if updating:
            raise UserError(
                f"optim.name: out of memory when the weights are updated, in {where}: train fewer weights "
                f"(method.type=lora), or take sgd, which needs half of the optimizer state"
            ) from error
        raise
    finally:
        hook.remove()


def _smaller(setup: Setup, rows: Sequence[int], tokens: int) -> int | None:
    """The next half of the budget that makes other micro-batches; None if there is none."""
    features = [setup.train.features[index] for row in rows for index in setup.train.features_of(row)]

    def micro_batches(budget: int) -> list[list[int]]:
        return setup.batching.make_micro_batches(features, range(len(features)), budget)

    halves = (tokens >> power for power in range(1, tokens.bit_length()))
    return next((half for half in halves if micro_batches(half) != micro_batches(tokens)), None)


def _random_states(setup: Setup) -> list[Tensor]:
    """Of the generators that dropout draws from."""
    return [torch.get_rng_state(), *map(torch.cuda.get_rng_state, random_devices(setup.model.device))]


def _set_random_states(setup: Setup, states: list[Tensor]) -> None:
    torch.set_rng_state(states[0])
    for device, state in zip(random_devices(setup.model.device), states[1:], strict=True):
        torch.cuda.set_rng_state(state, device)
