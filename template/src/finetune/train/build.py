"""What a training works with, made of its config: what can be wrong is found here, before anything is written."""

from dataclasses import dataclass
from typing import Any

import torch
from rich.console import Console
from torch.nn.parallel import DistributedDataParallel

from ..config.config import Config
from ..config.methods import AdaLora
from ..console import counted
from ..continual.distillation import Teacher
from ..continual.ewc import EwcPenalty
from ..continual.previous_run import PreviousRun
from ..continual.replay import ReplaySampler
from ..data.packing import Packing
from ..dataset import Split, encode_split, read_split
from ..distributed.parallel import replicate, shard
from ..distributed.world import SINGLE_PROCESS, World
from ..model.compile import compile_layers
from ..model.device import choose_device
from ..model.layers import head_modules, unwrap_model
from ..model.load import load_model, load_tokenizer
from ..model.methods import apply_method
from ..model.packed_attention import use_packed_attention
from ..model.precision import trains_in_bf16
from ..model.quantization import require_quantization
from ..model.size import memory, parameter_counts
from ..run.saved_model import Base
from ..tasks import make_task
from ..tasks.base import Task
from .adalora import RankAllocation
from .optim import STATES, make_optimizer, make_schedule


@dataclass(slots=True)
class Setup:
    """All that the loop works with."""

    world: World
    task: Task[Any, Any]
    tokenizer: Any
    train: Split
    validation: Split | None
    model: Any
    replicas: DistributedDataParallel | None
    """What brings the gradients of the ranks together, where each has the whole model."""
    base: Base
    packing: Packing | None
    allocation: RankAllocation | None
    mixture: ReplaySampler
    consolidation: EwcPenalty | None
    teacher: Teacher | None
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LambdaLR
    bf16: bool
    steps_per_epoch: int
    total_steps: int


def build(config: Config, console: Console, world: World = SINGLE_PROCESS) -> Setup:
    """Read the data, build the model, spread it over the ranks, make the optimizer. Raises UserError."""
    with world.together():
        device = choose_device(config.train.device)
        world.require_devices(device)
        require_quantization(config.method, device)
        earlier = PreviousRun.of(config) if config.continue_from else None
        task = make_task(config.task)
        train_examples = read_split(config, task, config.data.train)
        if earlier:
            task = earlier.task(train_examples)
        else:
            task.fit(train_examples)
        validation_examples = read_split(config, task, config.data.validation) if config.data.validation else None
        if config.data.test:
            read_split(config, task, config.data.test)  # a fault in the test file should not wait until the end
        tokenizer = earlier.finetuned.tokenizer if earlier else load_tokenizer(config.model, task, train_examples)
        train_split = encode_split(config, task, tokenizer, train_examples)
        validation = encode_split(config, task, tokenizer, validation_examples) if validation_examples else None
        task.observe(train_split.features)
        mixture = ReplaySampler(len(train_split.lengths))
        if earlier:
            train_split, mixture = earlier.mixed(train_split, task)
        steps_per_epoch = -(-mixture.new // (config.train.batch_size - mixture.per_step))
        total_steps = min(config.train.epochs * steps_per_epoch, config.train.max_steps or 2**62)
        model, base = earlier.model(task) if earlier else first_model(config, task, tokenizer, total_steps)
        packing = make_packing(task, unwrap_model(model)) if config.train.packing else None
        teacher = earlier.teacher(device) if earlier else None
        if config.train.compile:
            compile_layers(model, device)
    model, replicas = distribute(config, model.train(), device, world)
    optimizer = make_optimizer(config.optim, model, base.head)
    with world.together():
        consolidation = earlier.consolidation(model) if earlier else None
    # One rank decides for all: timing may differ between them.
    bf16 = world.once(lambda: trains_in_bf16(config.train.precision, model, device))
    return Setup(
        world, task, tokenizer, train_split, validation, model, replicas, base, packing,
        allocation=RankAllocation(model, config.method.orthogonality) if isinstance(config.method, AdaLora) else None,
        mixture=mixture,
        consolidation=consolidation,
        teacher=teacher,
        optimizer=optimizer,
        schedule=make_schedule(config.optim, optimizer, total_steps),
        bf16=bf16,
        steps_per_epoch=steps_per_epoch,
        total_steps=total_steps,
    )  # fmt: skip


def first_model(config: Config, task: Task[Any, Any], tokenizer: Any, total_steps: int) -> tuple[Any, Base]:
    """The model that the config names, with the method applied, and what a finetuned one needs of it."""
    model, new = load_model(config.model, task, tokenizer, config.method)
    base = Base.of(config, model, head_modules(model, new) if task.new_head else [])
    return apply_method(config.method, model, base.head, total_steps), base


def make_packing(task: Task[Any, Any], model: Any) -> Packing:
    """Let the model read packed rows. Raises UserError if its architecture cannot."""
    return Packing(use_packed_attention(model), causal=task.auto_model == "AutoModelForCausalLM")


def distribute(
    config: Config, model: Any, device: torch.device, world: World
) -> tuple[Any, DistributedDataParallel | None]:
    """The model on the devices of all ranks, cut up or whole, and then what ties its replicas together."""
    if world.size == 1:
        return model.to(device), None
    if config.train.parallel == "fsdp":
        with world.together():
            shard(model, world, device)
        return model, None
    model = model.to(device)
    return model, replicate(model)


def print_summary(config: Config, setup: Setup, console: Console) -> None:
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
        f"  {counted(setup.mixture.new, 'example')}{validation}; {counted(setup.total_steps, 'step')} of up to "
        f"{counted(config.train.batch_size, 'example')}",
        highlight=False,
    )
    if setup.world.size > 1:
        how = "the model is cut up among them" if config.train.parallel == "fsdp" else "each has the whole model"
        console.print(f"  {setup.world.size} processes share the examples of a step; {how}")
    if config.train.compile:
        console.print("  the layers are compiled: the first steps take a while")
    if setup.packing:
        console.print("  texts are packed behind each other, and attention has no dropout")
    if setup.mixture.stored:
        console.print(
            f"  {setup.mixture.per_step} of the examples of a step are from {setup.mixture.stored:,} stored ones"
        )
    if setup.train.truncated:
        share = setup.train.truncated / len(setup.train.examples)
        console.print(f"  [yellow]{share:.1%} of the texts are longer than model.max_length and were cut[/]")
