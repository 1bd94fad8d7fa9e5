"""The training loop, to be read from top to bottom: set up, step, validate, keep the best, stop early.

One optimizer step sees `batch_size` examples. Its loss is the sum over all their scored labels divided by their
number, whatever micro-batches the examples are cut into, so the cut never changes the result.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rich.console import Console

from .adalora import RankAllocation
from .anatomy import head_of, plain
from .batching import Batch, collate, epoch_batches, micro_batches
from .checkpoint import Progress, save_checkpoint
from .config import Config
from .config_continual import Ewc, Replay
from .config_methods import AdaLora
from .continual import Earlier, remember
from .distillation import Teacher
from .environment import describe_environment
from .ewc import Consolidation
from .finetuned import Base, save_finetuned
from .forward import forward
from .inference import infer
from .interrupt import stop_signal
from .log import TrainingLog
from .meter import Stopwatch, Window, figures
from .methods import apply_method
from .model import choose_device, load_model, load_tokenizer, memory, parameter_counts, uses_bf16
from .optim import STATES, Plateau, make_optimizer, make_schedule
from .packing import Packing
from .quantization import require_quantization
from .replay import Mixture
from .resume import require_same_config, require_same_inputs, restore
from .run_folder import RunFolder
from .splits import Split, encode_split, read_split
from .tasks import Task, make_task


class NotFiniteError(Exception):
    """The loss or its gradient is not a number; the weights are still those of the step before."""


@dataclass(slots=True)
class Setup:
    """All that the loop works with."""

    task: Task[Any, Any]
    tokenizer: Any
    train: Split
    validation: Split | None
    model: Any
    base: Base
    packing: Packing | None
    ranks: RankAllocation | None
    mixture: Mixture
    consolidation: Consolidation | None
    teacher: Teacher | None
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LambdaLR
    bf16: bool
    steps_per_epoch: int
    total_steps: int


def train(config: Config, *, resume: bool = False, console: Console | None = None) -> bool:
    """Train a run, or continue it from its newest checkpoint.

    Returns whether it came to its end; False after an interruption, which has saved a checkpoint.
    Raises UserError for a config or data that cannot work, NotFiniteError if the training diverges.
    """
    console = console or Console()
    run = RunFolder(config.run_folder)
    with run.claimed():
        if resume:
            require_same_config(run, config)
        set_seed(config.train.seed)
        setup = set_up(config, console)
        environment = describe_environment(config, setup.model.device)
        if resume:
            require_same_inputs(run, environment, console)
            progress = restore(run, setup.model, setup.optimizer, setup.schedule, console, setup.ranks)
        else:
            run.create(config, environment)
            progress = Progress()
        if progress.step >= setup.total_steps or out_of_patience(config, progress):
            console.print(f"{run.path} has already come to its end, at step {progress.step}")
            return True
        introduce(config, setup, console)
        finished = fit(config, run, setup, progress, console)
        if finished and isinstance(config.continual, Replay | Ewc):
            remember(run, config.continual)
        return finished


def set_seed(seed: int) -> None:
    """Start every random number generator from `seed`."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def set_up(config: Config, console: Console) -> Setup:
    """Read the data, build the model, make the optimizer: everything that can be wrong is found here."""
    device = choose_device(config.train.device)
    require_quantization(config.method, device)
    earlier = Earlier.of(config) if config.continue_from else None
    task = make_task(config.task)
    train_examples = read_split(config, task, config.data.train)
    if earlier:
        task = earlier.task(train_examples)
    else:
        task.fit(train_examples)
    validation_examples = read_split(config, task, config.data.validation) if config.data.validation else None
    if config.data.test:
        read_split(config, task, config.data.test)  # a fault in the test file should not wait until training is over
    tokenizer = earlier.finetuned.tokenizer if earlier else load_tokenizer(config.model, task, train_examples)
    train_split = encode_split(config, task, tokenizer, train_examples)
    validation = encode_split(config, task, tokenizer, validation_examples) if validation_examples else None
    task.observe(train_split.features)
    mixture = Mixture(len(train_split.lengths))
    if earlier:
        train_split, mixture = earlier.mixed(train_split, task)
    steps_per_epoch = -(-mixture.new // (config.train.batch_size - mixture.per_step))
    total_steps = min(config.train.epochs * steps_per_epoch, config.train.max_steps or 2**62)
    model, base = earlier.model(task) if earlier else first_model(config, task, tokenizer, total_steps)
    packing = Packing.of(plain(model)) if config.train.packing else None
    model = model.to(device).train()
    ranks = RankAllocation(model, config.method.orthogonality) if isinstance(config.method, AdaLora) else None
    optimizer = make_optimizer(config.optim, model, base.head)
    return Setup(
        task, tokenizer, train_split, validation, model, base, packing, ranks,
        mixture=mixture,
        consolidation=earlier.consolidation(model) if earlier else None,
        teacher=earlier.teacher(device) if earlier else None,
        optimizer=optimizer,
        schedule=make_schedule(config.optim, optimizer, total_steps),
        bf16=uses_bf16(config.train.precision, device, model.config.hidden_size),
        steps_per_epoch=steps_per_epoch,
        total_steps=total_steps,
    )  # fmt: skip


def first_model(config: Config, task: Task[Any, Any], tokenizer: Any, total_steps: int) -> tuple[Any, Base]:
    """The model that the config names, with the method applied, and what a finetuned one needs of it."""
    model, new = load_model(config.model, task, tokenizer, config.method)
    base = Base.of(config, model, head_of(model, new) if task.new_head else [])
    return apply_method(config.method, model, base.head, total_steps), base


def introduce(config: Config, setup: Setup, console: Console) -> None:
    """Say what is about to happen."""
    trained, total = parameter_counts(setup.model)
    needs = [f"{size:,.1f} MiB for {name}" for name, size in memory(setup.model, STATES[config.optim.name]).items()]
    precision = "bf16" if setup.bf16 else "fp32"
    validation = f", validation {len(setup.validation.features_of):,}" if setup.validation else ", no validation"
    console.print(
        f"[bold]{config.run_folder}[/]: {config.task.type} with {config.model.name}, method {config.method.type}"
        f"{f', going on from {config.continue_from}' if config.continue_from else ''}\n"
        f"  {trained:,} of {total:,} parameters are trained, on {setup.model.device} in {precision}\n"
        f"  memory: {', '.join(needs)}; the batch comes on top\n"
        f"  {setup.mixture.new:,} examples{validation}; {setup.total_steps:,} steps of up to "
        f"{config.train.batch_size} examples",
        highlight=False,
    )
    if setup.packing:
        console.print("  texts are packed behind each other, and attention has no dropout")
    if setup.mixture.stored:
        console.print(
            f"  {setup.mixture.per_step} of the examples of a step are from {setup.mixture.stored:,} stored ones"
        )
    if setup.train.truncated:
        share = setup.train.truncated / len(setup.train.examples)
        console.print(f"  [yellow]{share:.1%} of the texts are longer than model.max_length and were cut[/]")


def fit(config: Config, run: RunFolder, setup: Setup, progress: Progress, console: Console) -> bool:
    """The loop. Returns False if a signal has ended it before its time."""
    log = TrainingLog(run, console, setup.total_steps, done=progress.step)
    watch = Stopwatch(progress.seconds)
    with log.live(), stop_signal() as stopped:
        for epoch, rows in step_batches(config, setup, start=progress.step):
            progress.window.add(optimizer_step(config, setup, rows))
            progress.step += 1
            log.advance(progress.step)
            last = progress.step == setup.total_steps
            if progress.step % config.train.log_every == 0 or last:
                rates = figures(progress.window, watch.lap())
                log.step({"step": progress.step, "epoch": round(epoch, 4), **rates, "seconds": watch.seconds})
                progress.window = Window()
            due = last or is_due(config.train.eval_every, progress.step, setup.steps_per_epoch)
            with watch.outside_lap():
                if due:
                    validate(config, run, setup, progress, epoch, log)
                if due or stopped.is_set():
                    progress.seconds = watch.seconds
                    save(config, run, setup, progress)
            if out_of_patience(config, progress):
                console.print(f"stopped early: no better validation in {progress.stale} tries")
                break
            if stopped.is_set() and not last:
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


def optimizer_step(config: Config, setup: Setup, rows: Sequence[int]) -> Window:
    """One step over the examples `rows`. Raises NotFiniteError before the weights are touched."""
    task, model, features = setup.task, setup.model, setup.train.features
    chosen = [feature for row in rows for feature in setup.train.features_of[row]]
    count = sum(features[feature].count for feature in chosen)
    total = torch.zeros((), dtype=model.dtype, device=model.device)
    padded = 0
    for batch in micro_batches_of(config, setup, chosen):
        batch = batch.to(model.device)
        logits = forward(model, task, batch, setup.bf16)
        loss = task.loss(logits, batch.labels) / max(1, count)
        total += loss.detach()
        if setup.teacher:
            loss = loss + setup.teacher.loss(task, batch, logits, setup.bf16) / max(1, count)
        loss.backward()
        padded += batch.size
    if setup.ranks:
        setup.ranks.penalty().backward()
    if setup.consolidation:
        setup.consolidation.penalty().backward()
    trained = [parameter for group in setup.optimizer.param_groups for parameter in group["params"]]
    norm = torch.nn.utils.clip_grad_norm_(trained, config.train.clip_norm or float("inf"))
    if not torch.isfinite(total + norm):
        raise NotFiniteError(
            f"the loss is {float(total)} and its gradient {float(norm)} in a step over examples {sorted(rows)}: "
            "lower optim.lr or set train.precision to fp32"
        )
    lr = float(setup.schedule.get_last_lr()[0])
    setup.optimizer.step()
    setup.schedule.step()
    if setup.ranks:
        setup.ranks.update(setup.schedule.last_epoch)  # which counts steps
    setup.optimizer.zero_grad()
    tokens = sum(features[feature].cost for feature in chosen)
    return Window(float(total) * count, count, lr, float(norm), len(rows), tokens, padded)


def micro_batches_of(config: Config, setup: Setup, chosen: Sequence[int]) -> Iterator[Batch]:
    """The features of a step as what goes through the model at once."""
    features, task, budget = setup.train.features, setup.task, config.train.micro_batch_tokens
    if setup.packing:
        return setup.packing.batches(features, chosen, task, budget)
    groups = micro_batches(features, chosen, budget, task.keeps_together)
    return (collate(features, group, task, setup.tokenizer) for group in groups)


def is_due(every: int | str, step: int, steps_per_epoch: int) -> bool:
    """Whether a validation falls on this step."""
    return step % (steps_per_epoch if isinstance(every, str) else every) == 0


def out_of_patience(config: Config, progress: Progress) -> bool:
    """Whether validation has not improved for `train.patience` times."""
    return config.train.patience is not None and progress.stale >= config.train.patience


def validate(config: Config, run: RunFolder, setup: Setup, progress: Progress, epoch: float, log: TrainingLog) -> None:
    """Score the validation data and keep the model if it is the best so far; without such data keep the newest."""
    if setup.validation is None:
        save_finetuned(run.best, config, setup.task, setup.model, setup.tokenizer, setup.base)
        progress.best_step = progress.step
        return
    split = setup.validation
    budget = config.train.micro_batch_tokens
    result = infer(
        setup.model, setup.task, setup.tokenizer, split.features, "validation", budget=budget, bf16=setup.bf16
    )
    setup.task.calibrate(split.examples, split.features, result.decoded)
    predictions = setup.task.predictions(split.examples, split.features, result.decoded)
    scores = setup.task.score(split.examples, predictions)
    score = setup.task.gain(scores.metrics)
    if isinstance(setup.schedule, Plateau):
        setup.schedule.observe(score)
    better = progress.best_score is None or score > progress.best_score
    if better:
        save_finetuned(run.best, config, setup.task, setup.model, setup.tokenizer, setup.base)
        progress.best_step, progress.best_score, progress.stale = progress.step, score, 0
    else:
        progress.stale += 1
    record = {"step": progress.step, "epoch": round(epoch, 4), "loss": result.loss, **scores.metrics, "best": better}
    log.validation(record, setup.task.headline)


def save(config: Config, run: RunFolder, setup: Setup, progress: Progress) -> None:
    """Save a checkpoint."""
    parts = (setup.model, setup.optimizer, setup.schedule, setup.ranks)
    save_checkpoint(run.checkpoints, progress, *parts, keep=config.train.keep_checkpoints)
