"""The training loop, to be read from top to bottom: set up, step, validate, keep the best model, stop early.

One optimizer step sees `batch_size` examples. Its loss is the sum over all their scored labels divided by their number,
so that gradient accumulation and data parallelism do not change the result.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from rich.console import Console

from ..config.config import Config
from ..console import make_console
from ..data.epoch import EpochBatches
from ..distributed.parallel import accumulate_only
from ..distributed.world import SINGLE_PROCESS, World
from ..inference import Inference, infer
from ..model.forward import forward, pass_tokens
from ..run.environment import describe_environment
from ..run.folder import RunFolder
from ..run.log import NullLog, TrainingLog
from ..run.saved_model import save_model
from .background import background_writer
from .build import Setup, build
from .checkpoint import TrainingState, save_checkpoint
from .clipping import clip_and_sum
from .contrastive import with_loss_functions
from .guards import find_spike, not_finite, require_finite
from .interrupt import stop_signal
from .memory import micro_batch_tokens, within_memory
from .optim import Plateau, learning_rate
from .reference import prepare_reference
from .resume import require_same_config, require_same_inputs, restore, with_same_choices
from .seed import separate_random_numbers, set_seed
from .selection import validation_values
from .start import starting_point
from .summary import describe_setup, print_summary
from .throughput import StepStats, Stopwatch, log_values


def train(
    config: Config, *, resume: bool = False, console: Console | None = None, world: World = SINGLE_PROCESS
) -> bool:
    """Train a run, or resume it from its latest checkpoint, on all ranks of `world`; the main rank writes.

    Returns whether it ended; False after an interruption, which saves a checkpoint.
    Raises UserError for a config or data that cannot work, NotFiniteError if the training diverges.
    """
    console = (console or make_console()) if world.is_main else Console(quiet=True)
    run = RunFolder(config.run_folder)
    with world.entered_on_main(run.claimed):
        if resume:
            world.on_main(lambda: require_same_config(run, config))
            config = world.on_main(lambda: with_same_choices(run, config))
        world.on_main(lambda: starting_point(config).prepare())
        set_seed(config.train.seed)
        setup = build(config, world)
        separate_random_numbers(config.train.seed, world)
        world.on_main(lambda: open_folder(config, run, setup, resume, console))
        prepare_reference(config, run, setup, console)
        state = restore(run, setup, console) if resume else TrainingState()
        if state.step >= setup.total_steps or out_of_patience(config, state):
            console.print(f"{run.path} has already ended, at step {state.step}")
        else:
            print_summary(config, setup, console)
            if not fit(config, run, setup, state, console):
                console.print(f"interrupted and saved at step {state.step}: --resume continues from here")
                return False
        world.on_main(lambda: setup.start.finish(run))
        return True


def open_folder(config: Config, run: RunFolder, setup: Setup, resume: bool, console: Console) -> None:
    """Create the folder of a new run, or check that the inputs of a resumed one are the same. Raises UserError."""
    environment = describe_environment(config, setup.model.device, setup.world.size) | describe_setup(setup)
    if resume:
        require_same_inputs(run, environment, console)
    else:
        run.create(config, environment, console)


def fit(config: Config, run: RunFolder, setup: Setup, state: TrainingState, console: Console) -> bool:
    """Steps, validations and checkpoints until the last step. Returns False if a signal interrupted it."""
    log: TrainingLog = NullLog()
    if setup.world.is_main:
        log = TrainingLog(run, console, setup.total_steps, done=state.step, trackers=config.run.trackers)
    watch = Stopwatch(state.seconds)
    with log.live(), stop_signal() as stopped, background_writer(setup.world) as writer:
        setup.stops = lambda: stopped.is_set() or writer.failed
        for epoch, rows in step_batches(config, setup, start=state.step):
            step = within_memory(optimizer_step, config, setup, rows, state, console)
            state.window.add(step)
            state.window.seconds += watch.lap()
            state.step += 1
            log.advance(state.step)
            if spike := find_spike(state.recent, step):
                log.spike({"step": state.step, **spike, "examples": setup.train.where(rows)})
            last = state.step == setup.total_steps
            if state.step % config.train.log_every == 0 or last:
                values = log_values(state.window)
                log.step({"step": state.step, "epoch": round(epoch, 4), **values, "seconds": watch.seconds})
                state.window = StepStats()
            due = last or is_due(config.train.eval_every, state.step, setup.steps_per_epoch)
            if due:
                validate(config, run, setup, state, epoch, log)
            if due or step.stop:
                state.seconds = watch.seconds
                keep, sharded = config.train.keep_checkpoints, config.train.checkpoint_format == "sharded"
                save_checkpoint(run.checkpoints, state, setup, writer, keep=keep, sharded=sharded)
            watch.lap()  # neither counts for the throughput
            if step.stop:
                return False
            if out_of_patience(config, state):
                console.print(f"early stopping: no better validation in {state.stale} tries")
                break
        return setup.world.reduce(stopped.is_set())[0] == 0


def step_batches(config: Config, setup: Setup, start: int) -> Iterator[tuple[float, list[int]]]:
    """The examples of each step from `start` on, with the number of epochs after it."""
    replay, per_epoch = setup.replay, setup.steps_per_epoch
    lengths = setup.train.lengths[: setup.new_examples]
    size = config.train.batch_size - (replay.per_step if replay else 0)
    batches: Sequence[list[int]] = []
    for step in range(start, setup.total_steps):
        epoch, position = divmod(step, per_epoch)
        if position == 0 or not batches:
            batches = EpochBatches(lengths, size, config.train.seed, epoch)
        yield (step + 1) / per_epoch, batches[position] + (replay.stored_rows(step) if replay else [])


def optimizer_step(config: Config, setup: Setup, rows: Sequence[int]) -> StepStats:
    """One step over the examples `rows`, sharded among the ranks. Raises NotFiniteError before weights change."""
    model, task, world = setup.model, setup.task, setup.world
    # The features of the step, in one part for each rank.
    parts = [
        [setup.train.features[index] for row in part for index in setup.train.features_of(row)]
        for part in world.split(rows)
    ]
    features = [feature for part in parts for feature in part]
    scored_labels = sum(feature.scored_labels for feature in features)

    # Penalties on the weights: equal on all ranks, so that their gradient is also its mean over the ranks.
    for term in (setup.allocation, setup.penalty):
        if term:
            setup.scaler.scale(term.penalty()).backward()

    # Micro-batches: of each rank's examples, within the token budget.
    budget = pass_tokens(config.train.micro_batch_tokens, model.device)
    micro_batches = world.shard(
        [
            [(part, chosen) for chosen in setup.batching.make_micro_batches(part, range(len(part)), budget)]
            for part in parts
        ]
    )
    total, padded_tokens = torch.zeros((), dtype=setup.trainable[0].dtype, device=model.device), 0
    for number, ((part, chosen), counts, loss_of) in enumerate(with_loss_functions(setup, micro_batches), 1):
        batch = setup.batching.make_batch(part, chosen).to(model.device)
        share = counts / max(1, scored_labels)  # 0 for another rank's micro-batch, computed to keep step with it
        with accumulate_only(setup.ddp, unless=number == len(micro_batches)), setup.embeddings.by_rows():
            # Forward
            logits = forward(model, task, batch, setup.precision, whole_logits=bool(setup.teacher))
            # Loss
            loss = objective = loss_of(logits, batch.labels) * share
            if setup.teacher:
                objective = loss + setup.teacher.loss(task, batch, logits, setup.precision) * share
            del logits  # (tokens, vocabulary) may be the largest tensor; the graph keeps what backward needs of it
            if setup.ddp:
                objective = setup.ddp(objective)
            # Backward. The gradients of the ranks are averaged, not summed.
            setup.scaler.scale(objective * world.size).backward()
        total += loss.detach()
        padded_tokens += batch.size * counts

    # Gradient clipping
    setup.scaler.unscale(setup.optimizer)
    gradients, limit = setup.embeddings.merged(setup.trainable), config.train.clip_norm or math.inf
    norm, step_loss, size, stop = clip_and_sum(gradients, limit, world, total, padded_tokens, setup.stops())
    if not setup.scaler.is_valid(step_loss, norm):
        raise not_finite(step_loss, norm, setup.train.where(rows))

    # Optimizer and scheduler
    lr = learning_rate(config.optim, setup.schedule)
    with setup.embeddings.filled():
        taken = setup.scaler.step(setup.optimizer, norm)
    if taken:
        setup.schedule.step()
    if taken and setup.allocation:
        setup.allocation.update(setup.schedule.last_epoch)  # the number of steps so far
    setup.optimizer.zero_grad()
    return StepStats(
        loss=step_loss * scored_labels,
        count=scored_labels,
        lr=lr,
        grad_norm=norm if taken else 0.0,
        skipped=not taken,
        examples=len(rows),
        tokens=sum(feature.tokens for feature in features),
        padded=int(size),
        stop=stop > 0,
    )


def is_due(every: int | str, step: int, steps_per_epoch: int) -> bool:
    """Whether a validation is due after this step."""
    return step % (steps_per_epoch if isinstance(every, str) else every) == 0


def out_of_patience(config: Config, state: TrainingState) -> bool:
    """Early stopping: whether `train.patience` validations in a row were not better than the best."""
    return config.train.patience is not None and state.stale >= config.train.patience


def validate(
    config: Config, run: RunFolder, setup: Setup, state: TrainingState, epoch: float, log: TrainingLog
) -> None:
    """Evaluate on the validation data; keep the model if it is the best so far, or without such data the latest."""
    model, task, tokenizer, world = setup.model, setup.task, setup.tokenizer, setup.world
    split, better, budget = setup.validation, True, micro_batch_tokens(config, state)
    if split:

        def run_model(features: Sequence[Any]) -> Inference:
            how: Any = {"budget": budget, "precision": setup.precision, "world": world}
            return infer(model, task, tokenizer, features, "validation", **how)

        result = run_model(split.features)
        require_finite(result, split, run_model)
        # On one rank, because the metrics decide what all ranks do next.
        values = world.on_main(lambda: validation_values(setup.selection, task, split, result))
        better = setup.selection.update(state, values)
        if isinstance(setup.schedule, Plateau):
            setup.schedule.observe(state.stale)
    if better:
        state.best_step = state.step
        save_model(run.best, config, setup)
    if split:
        record = {"step": state.step, "epoch": round(epoch, 4), **values, "best": better}
        log.validation(record, setup.selection.shown)
