"""What a run is made of: YAML in, checked and frozen models out, JSON Schema for the editor.

Every field has a description and its bounds, so that an editor can complete and explain a config while it is written.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from ..section import Section
from ..tasks.settings import AnyTask
from .continual import AnyContinual, Ewc, Naive, Replay
from .methods import AdaLora, AnyMethod, Full, Prefix, QLora, soft_prompt_tokens

FOLDER_NAME = r"^[^\\/:*?\"<>|\x00-\x1f]+$"


class Model(Section):
    """The model to start from."""

    name: str = Field(min_length=1)
    """A name on the Hugging Face Hub, a local folder, or tiny:bert (built on the spot; needs no download)."""
    revision: str | None = None
    """Branch, tag or commit of a Hub model; a commit makes the run repeatable."""
    max_length: int = Field(default=256, ge=8, le=1_000_000)
    """Longest input in tokens; longer texts are cut, longer sentences of words are read through windows."""
    attention: Literal["sdpa", "eager"] = "sdpa"
    """How attention is computed; sdpa is fast, eager is the plain formula."""
    trust_remote_code: bool = False
    """Run Python code that comes with the model. Only for a revision that you have read."""

    @model_validator(mode="after")
    def _pinned_code(self) -> "Model":
        if self.trust_remote_code and not self.revision:
            raise ValueError("trust_remote_code needs model.revision: name the commit whose code you have read")
        return self


class Data(Section):
    """The files. Formats by ending: .jsonl .json .csv .tsv .parquet .conll; relative to the folder of the command."""

    train: Path
    """Training examples."""
    validation: Path | None = None
    """Examples on which the best step is chosen; never trained on."""
    test: Path | None = None
    """Examples for the final figure; looked at by `evaluate` only."""
    columns: dict[str, str | int] = Field(default_factory=dict)
    """Where a file names its columns differently: {text: sentence, label: 3}. A number counts columns from 0."""
    header: bool = True
    """Whether the first line of .csv and .tsv files names the columns; if not, columns go by position."""
    where: dict[str, str] = Field(default_factory=dict)
    """Take only rows in which a column, of the file or the task, matches a regular expression: {domain: ^news$}."""

    @field_validator("where")
    @classmethod
    def _patterns(cls, where: dict[str, str]) -> dict[str, str]:
        for name, pattern in where.items():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"where.{name} is no regular expression ({error}): correct it") from error
        return where


class Train(Section):
    """The loop."""

    epochs: int = Field(default=3, ge=1)
    """Times that every training example is seen."""
    max_steps: int | None = Field(default=None, ge=1)
    """Stop after this many optimizer steps, however many epochs that is."""
    batch_size: int = Field(default=16, ge=1)
    """Examples of one optimizer step, whatever the hardware."""
    micro_batch_tokens: int = Field(default=8192, ge=1)
    """Padded tokens that go through the model at once; lower it when memory runs out: the result stays the same."""
    packing: bool = False
    """Lay texts behind each other instead of padding them, with attention within each only. For tags, text and chat."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the forward pass; auto takes bf16 where the hardware gains from it. Weights stay fp32."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to train; auto takes a GPU if there is one."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """With several processes (torchrun): ddp keeps the model whole on each of them, fsdp cuts a large one up."""
    compile: bool = False
    """Compile the layers of the model: long trainings on a GPU gain, short ones and those on a CPU lose."""
    seed: int = Field(default=42, ge=0, lt=2**32)
    """Start of every random number: head, dropout, order of the examples."""
    eval_every: int | Literal["epoch"] = "epoch"
    """Validate and save after this many steps, or after each epoch. The last step always does."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after this many validations without a better score."""
    clip_norm: float | None = Field(default=1.0, gt=0)
    """Largest norm of the gradient; larger ones are scaled down. null switches it off."""
    log_every: int = Field(default=10, ge=1)
    """Steps between two lines in the log."""
    keep_checkpoints: int = Field(default=1, ge=1)
    """Checkpoints to keep beside the best model."""

    @model_validator(mode="after")
    def _positive_interval(self) -> "Train":
        if isinstance(self.eval_every, int) and self.eval_every < 1:
            raise ValueError("eval_every must be 1 or more, or epoch")
        return self


class Optim(Section):
    """The optimizer and its learning rate over time."""

    name: Literal["adamw", "sgd"] = "adamw"
    """adamw, or sgd with momentum."""
    lr: float = Field(default=5e-5, gt=0, le=10)
    """Highest learning rate. Pretrained models: 1e-5 to 1e-4; from scratch or head only: about 1e-3."""
    head_lr: float | None = Field(default=None, gt=0, le=10)
    """Highest learning rate of the head, which starts from random weights; null takes lr."""
    weight_decay: float = Field(default=0.01, ge=0, lt=1)
    """Decay of weight matrices; biases and norms never decay."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """adamw: decay of the running mean of the gradient."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """adamw: decay of the running mean of its square."""
    eps: float = Field(default=1e-8, gt=0)
    """adamw: keeps the division finite."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """sgd: share of the previous update that goes on."""
    schedule: Literal["linear", "cosine", "constant", "plateau"] = "linear"
    """Course of the learning rate after the warm-up; linear and cosine end at 0, plateau follows the validation."""
    plateau_patience: int = Field(default=1, ge=0)
    """plateau: validations without a better score that are borne before the learning rate is lowered."""
    plateau_factor: float = Field(default=0.5, gt=0, lt=1)
    """plateau: what the learning rate is multiplied with then."""
    warmup: float = Field(default=0.1, ge=0)
    """Warm-up of the learning rate: below 1 a share of all steps, from 1 on a number of steps."""


class Run(Section):
    """Where the results go."""

    name: str | None = Field(default=None, pattern=FOLDER_NAME)
    """Folder of the run inside run.dir; by default the name of the config file."""
    dir: Path = Path("runs")
    """Folder of all runs; TensorBoard reads it."""


class Stage(Section):
    """One of several trainings that follow each other, each from the model of the one before."""

    name: str = Field(pattern=FOLDER_NAME)
    """Its name in the report; its run is stages/<number>-<name> in the run's folder."""
    data: Data
    """Its files. The model after each stage is scored on the test (or else validation) data of all stages."""
    train: Train = Train()
    """What differs from the config's own train."""
    optim: Optim = Optim()
    """What differs from the config's own optim."""


class Config(Section):
    """A complete run."""

    task: AnyTask
    """What is learnt."""
    model: Model
    """The model to start from."""
    method: AnyMethod = Full()
    """Which weights are trained."""
    data: Data
    """The files."""
    train: Train = Train()
    """The loop."""
    optim: Optim = Optim()
    """The optimizer and its learning rate over time."""
    run: Run = Run()
    """Where the results go."""
    continue_from: Path | None = None
    """Folder of a finished run, such as runs/train: its best model is trained further, with task, model and method."""
    continual: AnyContinual = Naive()
    """How the model keeps what it knew while it learns more."""
    stages: list[Stage] = Field(default_factory=list)
    """Trainings that follow each other, in place of data; the report says what was forgotten."""

    @model_validator(mode="before")
    @classmethod
    def _stages_inherit(cls, values: Any) -> Any:
        """A stage says only what differs; the run as a whole, whose model is the last stage's, has that one's data."""
        stages = values.get("stages") if isinstance(values, dict) else None
        if not isinstance(stages, list) or not stages or not all(isinstance(stage, dict) for stage in stages):
            return values
        shared = {name: dict(values.get(name) or {}) for name in ("train", "optim")}
        whole = [
            {**stage, **{name: {**shared[name], **(stage.get(name) or {})} for name in shared}} for stage in stages
        ]
        last = {"data": stages[-1]["data"]} if "data" in stages[-1] else {}
        return {**last, **values, "stages": whole}

    @model_validator(mode="after")
    def _fits_together(self) -> "Config":
        if reason := self.task.refused_methods.get(self.method.type):
            raise ValueError(f"method.type is {self.method.type}, {reason}")
        self.task.require_fit(self.model.max_length)
        if isinstance(self.method, QLora) and self.model.name.startswith("tiny:"):
            raise ValueError(
                "method.type is qlora, which keeps a pretrained model in 4 bits, and model.name is built on the spot: "
                "use lora"
            )
        parts: Sequence[Stage | Config] = self.stages or [self]
        for part in parts:
            if part.train.packing and (reason := self._unpackable()):
                raise ValueError(f"train.packing is true, but {reason}: set it to false")
            if part.train.parallel == "fsdp" and (reason := self._uncuttable()):
                raise ValueError(f"train.parallel is fsdp, but {reason}: set it to ddp")
            if part.train.compile and (reason := self._uncompilable(part.train)):
                raise ValueError(f"train.compile is true, but {reason}: set it to false")
            if part.optim.head_lr and not self.task.new_head:
                raise ValueError(
                    "optim.head_lr is set, but a generative model has no new head with a learning rate of its own: "
                    "remove it, or change optim.lr"
                )
            if part.optim.schedule == "plateau" and part.data.validation is None:
                raise ValueError("optim.schedule is plateau, which follows the validation: set data.validation")
            if isinstance(self.continual, Replay) and part.train.batch_size < 2:
                raise ValueError("train.batch_size is 1, but replay mixes the examples of a step: set it to 2 or more")
        return self

    @model_validator(mode="after")
    def _goes_on(self) -> "Config":
        if isinstance(self.method, AdaLora) and (self.continue_from or self.stages):
            raise ValueError(
                "method.type is adalora, which allots its ranks in one training and cannot go on: take lora, or start "
                "from the folder that `finetune export` makes of the finished run, as model.name"
            )
        if self.stages and self.data != self.stages[-1].data:
            raise ValueError("data stands beside stages, each of which has data of its own: remove one of the two")
        for number, stage in enumerate(self.stages):
            if stage.name in [other.name for other in self.stages[:number]]:
                raise ValueError(f"stages.{number}.name is '{stage.name}' a second time: give each stage its own name")
            if not (stage.data.test or stage.data.validation):
                raise ValueError(f"stages.{number}.data has nothing to score the models on: set its test")
        return self

    def _unpackable(self) -> str | None:
        """Why texts cannot lie behind each other, if so."""
        if self.task.auto_model not in ("AutoModelForTokenClassification", "AutoModelForCausalLM"):
            return f"{self.task.type} does not learn from each token of a single text"
        if soft_prompt_tokens(self.method):
            return f"method.type is {self.method.type}, which puts tokens of its own before each text"
        if self.model.attention != "sdpa":
            return f"model.attention is {self.model.attention}, and packed texts need their own"
        return None

    def _uncuttable(self) -> str | None:
        """Why the model cannot be cut up among processes, if so."""
        if isinstance(self.method, AdaLora | QLora) or soft_prompt_tokens(self.method):
            return f"method.type is {self.method.type}, which works on whole weights"
        if isinstance(self.continual, Ewc):
            return "continual.type is ewc, which holds whole weights in place"
        return None

    def _uncompilable(self, train: Train) -> str | None:
        """Why the layers cannot be compiled, if so."""
        if train.packing:
            return "train.packing is true as well, whose attention takes each text by itself"
        if isinstance(self.method, QLora):
            return "method.type is qlora, whose layers in 4 bits are compiled already"
        if isinstance(self.method, Prefix):
            return "method.type is prefix, which hands each layer keys of its own"
        return None

    @property
    def run_folder(self) -> Path:
        """Folder of this run; `load_config` has filled in the name."""
        return self.run.dir / str(self.run.name)
