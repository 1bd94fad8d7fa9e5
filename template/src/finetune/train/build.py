"""Build what a training works with from its config. What can be wrong is found here, before anything is written."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from ..config.config import Config
from ..config.methods import AdaLora, Head
from ..data.batching import Padding
from ..data.packing import Packing
from ..dataset import Examples, Split, encode_split, new_task, read_split, require_readable
from ..distributed.parallel import distribute, require_devices, shards
from ..distributed.world import SINGLE_PROCESS, World
from ..feature_cache import FeatureCache
from ..model.activation_checkpointing import checkpoint_activations, checkpoints_activations
from ..model.compile import is_compiled
from ..model.device import Precision, choose_device
from ..model.embedding_noise import add_embedding_noise
from ..model.feature_extraction import extract_features
from ..model.frozen import frozen_dtype, keep_frozen
from ..model.layers import unwrap_model
from ..model.packed_attention import use_packed_attention
from ..model.precision import training_precision, wanted_precision
from ..model.quantization import require_quantization
from ..run.folder import cache_folder
from ..run.saved_model import Base
from ..tasks.base import Task
from .adalora import RankAllocation
from .compilation import compile_if_wanted
from .embedding_gradient import EmbeddingGradients, rowwise_gradients
from .optim import make_optimizer, make_schedule, require_optimizer
from .scaling import LossScaler
from .selection import Selection, make_selection
from .start import FreshStart, Penalty, ReplaySampler, Teacher, starting_point


@dataclass(slots=True)
class Setup:
    """All that the loop works with."""

    world: World
    start: FreshStart
    task: Task[Any, Any]
    tokenizer: Any
    train: Split
    validation: Split | None
    selection: Selection
    batching: Padding | Packing
    replay: ReplaySampler | None
    model: Any
    base: Base
    ddp: DistributedDataParallel | None
    """Averages gradients over the ranks, if each has a replica of the model."""
    allocation: RankAllocation | None
    """The changing ranks of AdaLoRA."""
    penalty: Penalty | None
    """Elastic weight consolidation."""
    teacher: Teacher | None
    """Knowledge distillation."""
    embeddings: EmbeddingGradients
    """Gradients of large embedding tables by rows."""
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LambdaLR
    precision: Precision
    scaler: LossScaler
    steps_per_epoch: int
    total_steps: int
    stops: Callable[[], bool] = lambda: False
    """Whether this rank wants to stop after the step in progress."""

    @property
    def new_examples(self) -> int:
        """Examples that an epoch goes through: those of the training split, without the stored ones of a replay."""
        return self.replay.new if self.replay else len(self.train)

    @property
    def trainable(self) -> list[torch.nn.Parameter]:
        """The trainable parameters, in the order of the optimizer."""
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]


def build(config: Config, world: World = SINGLE_PROCESS) -> Setup:
    """Read the data, load the model, distribute it over the ranks, make the optimizer. Raises UserError."""
    with world.raise_together():
        device = choose_device(config.train.device)
        require_devices(world, device)
        require_quantization(config.method, device)
        require_optimizer(config.optim, device)
        start = starting_point(config)
        examples = Examples(config, new_task(config), config.data.train)
        task = start.make_task()
        tokenizer = start.load_tokenizer(task, examples)
        cache = FeatureCache(cache_folder(config.run.dir), config, task, tokenizer, examples, start.fit_task)
    entry = world.on_each_machine(cache.make)
    with world.raise_together():
        train, replay = start.add_replay(cache.open(entry), task)
        validation_examples = read_split(config, task, config.data.validation) if config.data.validation else None
        if config.data.test:
            require_readable(config, task, config.data.test)  # an error in it should not wait until the end
        validation = encode_split(config, task, tokenizer, validation_examples) if validation_examples else None
        new_examples, per_step = (replay.new, replay.per_step) if replay else (len(train), 0)
        steps_per_epoch = -(-new_examples // (config.train.batch_size - per_step))
        total_steps = config.train.max_steps or config.train.epochs * steps_per_epoch
    # On one rank, because timings may differ between ranks.
    make_skeleton = partial(start.make_skeleton, task, tokenizer)
    precision = world.on_main(lambda: training_precision(wanted_precision(config), make_skeleton, device))
    with world.raise_together():
        dtype = frozen_dtype(config.model.dtype, config.method, precision)
        model, base = start.load_model(task, tokenizer, total_steps, dtype, shards(config, world))
        keep_frozen(model, base.head, dtype)
        add_embedding_noise(model, config.train.neftune_alpha)
        batching = make_batching(config, task, tokenizer, model)
        teacher = start.load_teacher(device)
        if checkpoints_activations(config):
            checkpoint_activations(model)
        tokens = total_steps * config.train.batch_size * float(train.tokens.sum()) / len(train)
        start.notes += compile_if_wanted(config, model, tokens, device, precision, world.size)
    model, ddp = distribute(config, model.train(), device, world, precision)
    optimizer = make_optimizer(config.optim, model, base.head)
    with world.raise_together():
        penalty = start.make_penalty(model)
    selection = world.on_main(lambda: make_selection(config, task, validation))
    if isinstance(config.method, Head):
        splits = [split for split in (train, validation) if split]
        start.notes += extract_features(config.train, model, task, batching, splits, precision, keep=world.size == 1)
    by_rows = world.size == 1 and not is_compiled(model) and precision != "fp16"  # which scales gradients of its own
    return Setup(
        world=world,
        start=start,
        task=task,
        tokenizer=tokenizer,
        train=train,
        validation=validation,
        selection=selection,
        batching=batching,
        replay=replay,
        model=model,
        base=base,
        ddp=ddp,
        allocation=RankAllocation(model, config.method.orthogonality) if isinstance(config.method, AdaLora) else None,
        penalty=penalty,
        teacher=teacher,
        embeddings=rowwise_gradients(model) if by_rows else EmbeddingGradients(),
        optimizer=optimizer,
        schedule=make_schedule(config.optim, optimizer, total_steps),
        precision=precision,
        scaler=LossScaler(precision, device),
        steps_per_epoch=steps_per_epoch,
        total_steps=total_steps,
    )


def make_batching(config: Config, task: Task[Any, Any], tokenizer: Any, model: Any) -> Padding | Packing:
    """Padded or packed batches. Raises UserError if the architecture of the model cannot be packed."""
    if not config.train.packing:
        return Padding(tokenizer, task.batch_labels, task.group_by_example)
    causal = task.settings.auto_model == "AutoModelForCausalLM"
    return Packing(task.batch_labels, use_packed_attention(unwrap_model(model)), causal)
