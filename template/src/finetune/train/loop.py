"""The training loop, to be read from top to bottom: set up, step, validate, keep the best, stop early.

One optimizer step sees `batch_size` examples. Its loss is the sum over all their scored labels divided by their
number, whatever ranks and micro-batches the examples are dealt out to, so the cut never changes the result.
"""

import math
import random
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from rich.console import Console

from ..config.config import Config
from ..config.continual import Ewc, Replay
from ..console import make_console
from ..continual.previous_run import prepare_previous_run, stored_memory
from ..data.batching import Batch, collate, epoch_batches, micro_batches
from ..dataset import Split
from ..distributed.parallel import Losses, backward, full_tensor
from ..distributed.world import SINGLE_PROCESS, World
from ..inference import Inference, infer
from ..model.forward import forward
from ..run.environment import describe_environment
from ..run.folder import RunFolder
from ..run.log import NullLog, TrainingLog
from ..run.saved_model import save_model
from .build import Setup, build, print_summary
from .checkpoint import TrainingState, save_checkpoint
from .interrupt import stop_signal
from .optim import Plateau
from .resume import require_same_config, require_same_inputs, restore, with_same_precision
from .throughput import StepStats, Stopwatch, log_values


class NotFiniteError(Exception):
    """The loss or its gradient is not a number; the weights are still those of the step before."""


def train(
    config: Config, *, resume: bool = False, console: Console | None = None, world: World = SINGLE_PROCESS
) -> bool:
    """Train a run, or continue it from its newest checkpoint; all ranks of `world` do so together, one of them writes.

    Returns whether it came to its end; False after an interruption, which has saved a checkpoint.
    Raises UserError for a config or data that cannot work, NotFiniteError if the training diverges.
    """
    console = (console or make_console()) if world.leads else Console(quiet=True)
    run = RunFolder(config.run_folder)
    with world.held(run.claimed):
        if resume:
            world.once(lambda: require_same_config(run, config))
            config = world.once(partial(with_same_precision, run, config))
        world.once(lambda: prepare_previous_run(config))
        set_seed(config.train.seed)
        setup = build(config, console, world)
        world.part_streams(config.train.seed)
        world.once(lambda: open_folder(config, run, setup, resume, console))
        progress = TrainingState()
        if resume:
            parts = (setup.model, setup.optimizer, setup.schedule)
            progress = restore(run, *parts, console, setup.allocation, world)
        if progress.step >= setup.total_steps or out_of_patience(config, progress):
            console.print(f"{run.path} has already come to its end, at step {progress.step}")
            return True
        print_summary(config, setup, console)
        finished = fit(config, run, setup, progress, console)
        if finished and isinstance(config.continual, Replay | Ewc):
            world.once(partial(stored_memory, run, config.continual))
        return finished


def set_seed(seed: int) -> None:
    """Start every random number generator from `seed`."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def open_folder(config: Config, run: RunFolder, setup: Setup, resume: bool, console: Console) -> None:
    """A folder for a new run, or that of an earlier one if its inputs are still the same. Raises UserError."""
    environment = describe_environment(config, setup.model.device, setup.world.size)
    environment["precision"] = "bf16" if setup.bf16 else "fp32"
    if resume:
        require_same_inputs(run, environment, console)
    else:
        run.create(config, environment)


def fit(config: Config, run: RunFolder, setup: Setup, progress: TrainingState, console: Console) -> bool:
    """The loop. Returns False if a signal has ended it before its time."""
    log = TrainingLog(run, console, setup.total_steps, done=progress.step) if setup.world.leads else NullLog()
    watch = Stopwatch(progress.seconds)
    with log.live(), stop_signal() as stopped:
        for epoch, rows in step_batches(config, setup, start=progress.step):
            progress.window.add(optimizer_step(config, setup, rows))
            progress.step += 1
            log.advance(progress.step)
            last = progress.step == setup.total_steps
            if progress.step % config.train.log_every == 0 or last:
                rates = log_values(progress.window, watch.lap())
                log.step({"step": progress.step, "epoch": round(epoch, 4), **rates, "seconds": watch.seconds})
                progress.window = StepStats()
            stop = setup.world.any(stopped.is_set())
            due = last or is_due(config.train.eval_every, progress.step, setup.steps_per_epoch)
            with watch.outside_lap():
                if due:
                    validate(config, run, setup, progress, epoch, log)
                if due or stop:
                    progress.seconds = watch.seconds
                    save(config, run, setup, progress)
            if out_of_patience(config, progress):
                console.print(f"stopped early: no better validation in {progress.stale} tries")
                break
            if stop and not last:
                console.print(f"interrupted and saved at step {progress.step}: --resume continues from here")
                return False
    return True


def step_batches(config: Config, setup: Setup, start: int) -> Iterator[tuple[float, list[int]]]:
    """The examples of each step from `start` on, with the epochs that are done after it."""
    per_epoch, mixture = setup.steps_per_epoch, setup.mixture
    new, size = setup.train.lengths[: mixture.new], config.train.batch_size - mixture.per_step
    batches: list[list[int]] = []
    for step in range(start, setup.total_steps):
        epoch, position = divmod(step, per_epoch)
        if position == 0 or not batches:
            batches = epoch_batches(new, size, config.train.seed, epoch)
        yield (step + 1) / per_epoch, batches[position] + mixture.stored_rows(step)


def optimizer_step(config: Config, setup: Setup, rows: Sequence[int]) -> StepStats:
    """One step over the examples `rows`, dealt to the ranks. Raises NotFiniteError before the weights are touched."""
    model, world = setup.model, setup.world
    chosen = [setup.train.features[feature] for row in rows for feature in setup.train.features_of[row]]
    count = sum(feature.scored_labels for feature in chosen)
    for part in (setup.allocation, setup.consolidation):  # first: the same on all ranks, it is also its mean over them
        if part:
            part.penalty().backward()
    # Neighbours in `rows` are of similar length, so that no rank waits long for another.
    passes = world.part([make_micro_batches(config, setup, rows[rank :: world.size]) for rank in range(world.size)])
    total, padded = torch.zeros((), dtype=model.dtype, device=model.device), 0
    for number, (group, own) in enumerate(passes, 1):
        batch = make_batch(setup, group).to(model.device)
        compute = partial(losses, setup, batch, own / max(1, count))
        total += backward(setup.replicas, compute, last=number == len(passes))
        padded += batch.size * own
    loss, size = world.sum(float(total), padded)
    trained = [parameter for group in setup.optimizer.param_groups for parameter in group["params"]]
    norm = float(full_tensor(torch.nn.utils.clip_grad_norm_(trained, config.train.clip_norm or float("inf"))))
    if not math.isfinite(loss + norm):
        raise NotFiniteError(
            f"the loss is {loss} and its gradient {norm} in a step over examples {sorted(rows)}: "
            "lower optim.lr or set train.precision to fp32"
        )
    lr = float(setup.schedule.get_last_lr()[0])
    setup.optimizer.step()
    setup.schedule.step()
    if setup.allocation:
        setup.allocation.update(setup.schedule.last_epoch)  # which counts steps
    setup.optimizer.zero_grad()
    tokens = sum(feature.tokens for feature in chosen)
    return StepStats(loss * count, count, lr, norm, len(rows), tokens, int(size))


def losses(setup: Setup, batch: Batch, weight: float) -> Losses:
    """Of a micro-batch of this rank: what to differentiate, and its share of the loss of the step."""
    logits = forward(setup.model, setup.task, batch, setup.bf16)
    loss = setup.task.loss(logits, batch.labels) * weight
    objective = loss
    if setup.teacher:
        objective = loss + setup.teacher.loss(setup.task, batch, logits, setup.bf16) * weight
    return objective * setup.world.size, loss.detach()  # the gradients of the ranks are averaged, not summed


def make_micro_batches(config: Config, setup: Setup, rows: Sequence[int]) -> list[list[int]]:
    """The features of examples, in groups that go through the model at once."""
    chosen = [feature for row in rows for feature in setup.train.features_of[row]]
    features, budget = setup.train.features, config.train.micro_batch_tokens
    if setup.packing:
        return setup.packing.groups(features, chosen, budget)
    return micro_batches(features, chosen, budget, setup.task.keeps_together)


def make_batch(setup: Setup, group: list[int]) -> Batch:
    """A group as tensors."""
    if setup.packing:
        return setup.packing.batch(setup.train.features, group, setup.task.batch_labels)
    return collate(setup.train.features, group, setup.task.batch_labels, setup.tokenizer)


def is_due(every: int | str, step: int, steps_per_epoch: int) -> bool:
    """Whether a validation falls on this step."""
    return step % (steps_per_epoch if isinstance(every, str) else every) == 0


def out_of_patience(config: Config, progress: TrainingState) -> bool:
    """Whether validation has not improved for `train.patience` times."""
    return config.train.patience is not None and progress.stale >= config.train.patience


def validate(
    config: Config, run: RunFolder, setup: Setup, progress: TrainingState, epoch: float, log: TrainingLog
) -> None:
    """Score the validation data and keep the model if it is the best so far; without such data keep the newest."""
    keep = partial(
        save_model, run.best, config, setup.task, setup.model, setup.tokenizer, setup.base, setup.world, bf16=setup.bf16
    )
    if setup.validation is None:
        keep()
        progress.best_step = progress.step
        return
    split, budget = setup.validation, config.train.micro_batch_tokens
    parts = (setup.model, setup.task, setup.tokenizer, split.features)
    result = infer(*parts, "validation", budget=budget, bf16=setup.bf16, world=setup.world)
    metrics = setup.world.once(lambda: scored(setup, split, result))  # by one, for it decides what all do next
    score = setup.task.comparable_score(metrics)
    if isinstance(setup.schedule, Plateau):
        setup.schedule.observe(score)
    better = progress.best_score is None or score > progress.best_score
    if better:
        keep()
        progress.best_step, progress.best_score, progress.stale = progress.step, score, 0
    else:
        progress.stale += 1
    record = {"step": progress.step, "epoch": round(epoch, 4), "loss": result.loss, **metrics, "best": better}
    log.validation(record, setup.task.main_metric)


def scored(setup: Setup, split: Split, result: Inference) -> dict[str, float]:
    """The metrics of a validation; the task learns from it what it calibrates."""
    setup.task.calibrate(split.examples, split.features, result.decoded)
    predictions = setup.task.predictions(split.examples, split.features, result.decoded)
    return setup.task.score(split.examples, predictions).metrics


def save(config: Config, run: RunFolder, setup: Setup, progress: TrainingState) -> None:
    """Save a checkpoint."""
    parts = (setup.model, setup.optimizer, setup.schedule, setup.allocation)
    save_checkpoint(run.checkpoints, progress, *parts, keep=config.train.keep_checkpoints, world=setup.world)
