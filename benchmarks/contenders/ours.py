"""`finetune` with its defaults, and the bare matrix products of its training."""

from collections import Counter
from itertools import islice
from typing import Any

import torch
from finetune.config.config import Config
from finetune.dataset import Split
from finetune.inference import infer
from finetune.model.device import DTYPES
from finetune.model.layers import is_linear
from finetune.model.precision import inference_precision
from finetune.train.build import Setup
from finetune.train.loop import optimizer_step, step_batches

from .base import Contender, Timing, timed, trainable


class Ours(Contender):
    """The training loop and the inference of `finetune`, without its log and checkpoints, as the others."""

    def __init__(self, config: Config, setup: Setup) -> None:
        assert setup.validation
        self.config, self.setup, self.model = config, setup, setup.model
        self.validation: Split = setup.validation
        self.predicts = not setup.task.generation
        self.initial = trainable(setup.model)

    def train(self, steps: int | None = None) -> Timing:
        self.setup.optimizer.state.clear()
        self.model.train()
        torch.manual_seed(self.config.train.seed)
        timing = Timing()
        with timed(timing):
            for _, rows in islice(step_batches(self.config, self.setup, 0), steps):
                optimizer_step(self.config, self.setup, rows)
        return timing

    def evaluate(self) -> tuple[Timing, float, float]:
        timing, task = Timing(), self.setup.task
        if not self.predicts:
            with timed(timing):
                result = self._infer("loss")
            return timing, result.loss, float("nan")
        with timed(timing):
            result = self._infer("evaluation")
            predictions = task.predictions(self.validation.examples, self.validation.features, result.decoded)
            metric = task.score(self.validation.examples, predictions).metrics[task.settings.main_metric]
        return timing, result.loss, float(metric)

    def predict(self) -> Timing:
        timing = Timing()
        with timed(timing):
            result = self._infer("prediction")
            self.setup.task.predictions(self.validation.examples, self.validation.features, result.decoded)
        return timing

    def _infer(self, purpose: Any) -> Any:
        wanted, setup = self.config.train, self.setup
        return infer(
            self.model,
            setup.task,
            setup.tokenizer,
            self.validation.features,
            purpose,
            budget=wanted.micro_batch_tokens,
            precision=inference_precision(wanted.precision, setup.precision, self.model.device),
        )


class Products(Contender):
    """Matrix products alone: those of the linear layers and of attention that `finetune` makes in a pass.

    It is what no training with these shapes and this precision can fall below, short of other matrix products.
    """

    def __init__(self, ours: Ours) -> None:
        self.precision, self.predicts = ours.setup.precision, ours.predicts
        self.training = _shapes(ours, lambda: ours.train())
        self.inference = _shapes(ours, lambda: ours.predict()) if ours.predicts else Counter()
        ours.reset()

    def reset(self) -> None:
        """It has no weights."""

    def train(self, steps: int | None = None) -> Timing:
        return self._multiply(self.training, steps, backward=True)

    def evaluate(self) -> tuple[Timing, float, float]:
        return self.predict(), float("nan"), float("nan")

    def predict(self) -> Timing:
        return self._multiply(self.inference, None, backward=False)

    def _multiply(self, shapes: Counter[tuple[int, ...]], limit: int | None, backward: bool) -> Timing:
        timing = Timing()
        for (batch, rows, inner, columns), count in list(shapes.items())[:limit]:
            dtype = DTYPES[self.precision]
            x, w, g = (
                torch.ones(batch, rows, inner),
                torch.ones(batch, inner, columns),
                torch.ones(batch, rows, columns),
            )
            x, w, g = (t.to(dtype).squeeze(0) for t in (x, w, g))
            with timed(timing):
                for _ in range(count):
                    x @ w
                    if backward:
                        g @ w.mT
                        x.mT @ g
        return timing


def _shapes(ours: Ours, work: Any) -> Counter[tuple[int, ...]]:
    """(batch, rows, inner, columns) of the products of the forward passes in `work`, and how many there are of each."""
    shapes: Counter[tuple[int, ...]] = Counter()
    config, hooks = ours.model.config, []

    def linear(module: Any, inputs: Any, output: Any) -> None:
        shapes[1, output.numel() // output.shape[-1], inputs[0].shape[-1], output.shape[-1]] += 1

    def attention(module: Any, args: Any, kwargs: Any) -> None:
        rows, tokens = (kwargs["input_ids"] if "input_ids" in kwargs else args[0]).shape
        heads, width = config.num_attention_heads, config.hidden_size // config.num_attention_heads
        if "cu_seq_lens_q" in kwargs:
            for length in kwargs["cu_seq_lens_q"].diff().tolist():
                _attend(shapes, heads, length, width, config.num_hidden_layers)
        else:
            _attend(shapes, rows * heads, tokens, width, config.num_hidden_layers)

    hooks += [module.register_forward_hook(linear) for module in ours.model.modules() if is_linear(module)]
    hooks.append(ours.model.register_forward_pre_hook(attention, with_kwargs=True))
    work()
    for hook in hooks:
        hook.remove()
    return shapes


def _attend(shapes: Counter[tuple[int, ...]], batch: int, tokens: int, width: int, layers: int) -> None:
    shapes[batch, tokens, width, tokens] += layers
    shapes[batch, tokens, tokens, width] += layers
