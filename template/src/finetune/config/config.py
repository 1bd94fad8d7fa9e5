"""The configuration of a run as frozen pydantic models: YAML in, JSON Schema out.

Every field has bounds and a description that begins with the field's usual term: editors show it in the completion.
Nothing here imports torch, so that an error in a config is reported at once.
"""

import codecs
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, field_validator, model_validator

from ..data.label_values import label_name
from ..data.patterns import require_pattern
from ..data.template import columns_in
from ..files import PLAIN_NAME
from ..section import Section
from ..tasks.settings import AnyTask, FeatureKind, Overflow
from .continual import AnyContinual, Distillation, Ewc, Naive, Replay
from .methods import AdaLora, AnyMethod, Full, Lora, Prefix, QLora, soft_prompt_tokens

COMMIT = re.compile(r"[0-9a-f]{40}")
TrackerName = Literal["mlflow", "wandb", "trackio", "swanlab"]
TRACKERS: tuple[str, ...] = get_args(TrackerName)


class Model(Section):
    """Pretrained model."""

    name: str = Field(min_length=1)
    """Pretrained model: a name on the Hugging Face Hub, a local folder, or tiny:bert (random weights, no download)."""
    revision: str | None = None
    """Revision of a Hub model: branch, tag or commit; a commit makes the run reproducible."""
    max_length: int = Field(default=256, ge=8, le=1_000_000)
    """Maximum sequence length in tokens: truncation of longer texts; sentences of words go through a sliding window."""
    overflow: Overflow = "cut"
    """Long texts: cut reads their beginning, head_tail both ends, windows all (mean logits of overlapping windows).

    For text-classification, multi-label-classification and regression. All windows of a text are in one forward pass.
    """
    attention: Literal["auto", "sdpa", "eager"] = "auto"
    """Attention implementation: auto takes sdpa (scaled dot-product attention) if the model has it, else eager."""
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Number format of frozen weights: auto takes that of the forward pass (train.precision); trained ones are fp32.

    Half precision is for methods that keep the body frozen and save what they add, such as lora.
    """
    trust_remote_code: bool = False
    """Remote code: run Python code that comes with the model: of a commit or a ./folder whose code you have read."""

    @model_validator(mode="after")
    def _pinned_code(self) -> "Model":
        # Decided by the form of the name, not by the file system: creating or deleting a folder must not change which
        # code is run.
        is_path = self.name.startswith(".") or Path(self.name).is_absolute()
        if self.trust_remote_code and not is_path and not COMMIT.fullmatch(self.revision or ""):
            raise ValueError(
                "trust_remote_code needs model.revision: name the commit (40 hex digits, no branch) whose code you "
                "have read, or write a local folder, which has no commit, as ./folder"
            )
        return self

    @property
    def attn_implementation(self) -> str | None:
        """The argument of transformers; with None it takes sdpa where the architecture has it, and eager elsewhere."""
        return None if self.attention == "auto" else self.attention


def _listed(files: Any) -> Any:
    return [files] if isinstance(files, str | Path) else files


Files = Annotated[
    tuple[Annotated[str, BeforeValidator(lambda file: str(file) if isinstance(file, Path) else file)], ...],
    BeforeValidator(_listed),
    Field(min_length=1),
    PlainSerializer(lambda files: files[0] if len(files) == 1 else [*files], return_type=str | list[str]),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
"""Data files that are read one after the other, as `data.files.files_of` finds them; each has the columns."""


def _names_of_labels(labels: Any) -> Any:
    """A list of names as the names of the numbers from 0; numbers and booleans as files hold them."""
    if isinstance(labels, list | tuple):
        labels = dict(enumerate(labels))
    if not isinstance(labels, dict):
        return labels
    return {label_name(label): label_name(name) for label, name in labels.items()}


LabelNames = Annotated[
    dict[str, str],
    BeforeValidator(_names_of_labels),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "items": {"type": ["string", "number", "boolean"]}},
                {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
            ]
        }
    ),
]
"""Names of labels: a list in the order of their numbers, or the name of each."""


class Data(Section):
    """Data files: .jsonl .json .csv .tsv .xlsx .parquet .arrow .conll .txt; paths start in the working directory.

    A key names a file, a list of files, a pattern (data/*.csv), a folder of files or of texts by label, parallel text
    (train.{en,de}), or files of the Hub (hf://datasets/ORG/NAME/*.parquet).
    """

    train: Files
    """Training dataset: the file with the training examples; or a list, a pattern, a folder, hf://datasets/..."""
    validation: Files | None = None
    """Validation dataset: chooses the best checkpoint, for early stopping as well; never trained on."""
    test: Files | None = None
    """Test dataset: for the final metrics; read by `evaluate` only."""
    columns: dict[str, str | int | tuple[str, ...]] = Field(default_factory=dict)
    """Column names, where a file's differ from the task's: {text: sentence, label: 3}. A number counts from 0.

    One-hot columns of 0 and 1 are a list: {labels: [toxic, obscene]}. Words in rows of their own are put together by
    the column of their sentence: {tokens: Word, tags: Tag, sentence: "Sentence #"}.
    """
    labels: LabelNames = Field(default_factory=dict)
    """Label names, where a file has numbers: [O, B-PER, I-PER] in their order, or {0: negative, 1: positive}."""
    header: bool = True
    """Header: whether the first line of .csv and .tsv files names the columns; if not, columns go by position."""
    encoding: str = "auto"
    """Character encoding of text files, such as gb18030 or cp1252; auto: UTF-8, or what is recognised for sure."""
    separator: str | None = Field(default=None, min_length=1, max_length=1)
    """Separator: the character between the cells of .csv and .tsv files, such as ; or tab. null: found by the rows."""
    sheet: str | None = None
    """Sheet: name of the worksheet of an .xlsx file. null: the first one."""
    path: str | None = Field(default=None, min_length=1)
    """Path in .json: keys to the list of examples, divided by dots: train for {"train": [...]}. null: the only list."""
    features: dict[str, FeatureKind] = Field(default_factory=dict)
    """Tabular features: other columns that are joined to the text before the head: {price: number, brand: category}.

    For text-classification, multi-label-classification, regression and ranking. Missing values are allowed.
    """
    slices: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Slices: columns by whose values an evaluation is broken down, or length (of the text): [domain, length].

    The most frequent values of a column, and the quartiles of the length in characters, each with its interval.
    """
    where: dict[str, str] = Field(default_factory=dict)
    """Row filter: keep only rows in which a column matches a regular expression: {domain: ^news$}."""
    template: str | None = None
    """Input template: makes the task's first column out of several: "{title} [SEP] {brand}, {price} EUR"."""
    skip_invalid: bool = False
    """Invalid rows: leave out rows that cannot be read or lack text or label, and tell how many; if not, an error."""

    @field_validator("columns", mode="before")
    @classmethod
    def _names_or_positions(cls, columns: Any) -> Any:
        for name, source in columns.items() if isinstance(columns, dict) else ():
            if isinstance(source, bool) or (isinstance(source, int) and source < 0):
                shown = str(source).lower()
                raise ValueError(
                    f"columns.{name} is {shown}: write the name of a column, in quotes if it is a number or a word "
                    f"such as true, or its position from 0"
                )
        return columns

    @field_validator("template")
    @classmethod
    def _names_columns(cls, template: str | None) -> str | None:
        try:
            columns_in(template) if template is not None else ()
        except ValueError as error:
            raise ValueError(f"data.template is {template!r}, which cannot be filled in: {error}") from error
        return template

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, encoding: str) -> str:
        try:
            codec = "utf-8" if encoding == "auto" else encoding
            "".encode(codec)
            codecs.getincrementaldecoder(codec)
        except (LookupError, ValueError) as error:
            raise ValueError(
                f"encoding is '{encoding}': name a text encoding that Python knows, such as cp1252"
            ) from error
        return encoding

    @field_validator("separator", mode="before")
    @classmethod
    def _named_separator(cls, separator: Any) -> Any:
        separator = "\t" if separator in ("tab", "\\t") else separator
        if isinstance(separator, str) and separator in ('"', "\n", "\r"):
            raise ValueError("separator cannot be a quote or a line break: name the character between two cells")
        return separator

    @field_validator("where")
    @classmethod
    def _patterns(cls, where: dict[str, str]) -> dict[str, str]:
        for name, pattern in where.items():
            try:
                require_pattern(pattern)
            except ValueError as error:
                raise ValueError(f"where.{name} is not a regular expression ({error}): correct it") from error
        return where


Seed = Annotated[int, Field(strict=True, ge=0, lt=2**32)]


class Train(Section):
    """Training settings."""

    epochs: int = Field(default=3, ge=1)
    """Epochs: passes over the training dataset. Without effect where max_steps is set."""
    max_steps: int | None = Field(default=None, ge=1)
    """Optimizer steps to train, in place of epochs, be it fewer or more steps than they have. null: epochs decide."""
    batch_size: int = Field(default=16, ge=1)
    """Batch size: examples per optimizer step, whatever the hardware; gradient accumulation makes it fit."""
    micro_batch_tokens: int = Field(default=8192, ge=1)
    """Gradient accumulation: padded tokens per forward pass, halved if memory runs out; results stay the same.

    A CPU takes at most 1,024 a thread, with which it is fastest.
    """
    packing: bool = False
    """Sequence packing: texts side by side instead of padding, with attention within each. For tags, text and chat."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Mixed precision: number format of the forward pass; auto takes bf16 where it is faster. Trained weights are fp32.

    fp16, with loss scaling, is for GPUs without bf16; auto takes it there (NVIDIA's Volta and Turing: V100, T4, 20xx).
    """
    activation_checkpointing: bool | Literal["auto"] = "auto"
    """Activation checkpointing: recompute activations: less memory, one more forward pass. auto: true for qlora."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Device to train on; auto takes a GPU if there is one."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """Data parallelism with torchrun: ddp replicates the model (gradients by all-reduce), fsdp shards it (sharding)."""
    compile: bool | Literal["auto"] = False
    """torch.compile: compile the model's layers; long trainings on a GPU gain, short ones and those on a CPU lose.

    auto: on a GPU, if the training is estimated to save more time than compiling takes.
    """
    seed: int = Field(default=42, ge=0, lt=2**32)
    """Random seed: of the head's initial weights, dropout, and the order of the examples."""
    seeds: tuple[Seed, ...] | None = Field(default=None, min_length=2, max_length=100)
    """Several random seeds, in place of seed: a run for each, <name>-seed1 ..., and mean and spread of their metrics.

    Helps with small data, where two seeds often differ by more than the gain that one looks for: [1, 2, 3].
    """
    eval_every: int | Literal["epoch"] = "epoch"
    """Evaluation interval: validate and save a checkpoint every so many steps, or each epoch; and at the end."""
    metric: str | None = None
    """Model selection metric: chooses the best step; a tie goes to the lower validation loss. loss is one, too.

    null: the main metric of the task; for text-classification f1_macro, which suits rare labels as well. Another one
    helps where it is what counts in use: f1_strict for exact tags, loss for well calibrated probabilities.
    """
    patience: int | None = Field(default=None, ge=1)
    """Early stopping: stop after so many validations without improvement, once the model beats the trivial baseline."""
    clip_norm: float | None = Field(default=1.0, gt=0)
    """Gradient clipping: the largest norm of the gradient; larger ones are scaled down. null switches it off."""
    neftune_alpha: float | None = Field(default=None, gt=0, le=1000)
    """NEFTune noise on the embedded tokens, for text generation and chat: instruction tuning may answer better with it.

    5 to 15 are usual. Longer answers are a known side effect. null: no noise.
    """
    log_every: int = Field(default=10, ge=1)
    """Logging interval: optimizer steps between two entries in the log."""
    keep_checkpoints: int = Field(default=1, ge=1)
    """Checkpoints to keep, besides the best model."""
    checkpoint_format: Literal["whole", "sharded"] = "whole"
    """Checkpoints of fsdp: gathered and written whole by one process, or sharded, each process writing its shard."""

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if repeated := next((seed for seed in seeds or () if (seeds or ()).count(seed) > 1), None):
            raise ValueError(f"seeds has {repeated} twice: each seed is a run of its own, so name it once")
        return seeds

    @model_validator(mode="after")
    def _one_of_the_seeds(self) -> "Train":
        if self.seeds and "seed" in self.model_fields_set and self.seed not in self.seeds:
            raise ValueError(f"seed is {self.seed}, which is none of train.seeds: remove one of the two keys")
        return self

    @model_validator(mode="after")
    def _positive_interval(self) -> "Train":
        if isinstance(self.eval_every, int) and self.eval_every < 1:
            raise ValueError("eval_every must be 1 or more, or epoch")
        return self


class Optim(Section):
    """Optimizer and learning-rate schedule."""

    name: Literal["adamw", "adamw8bit", "paged_adamw8bit", "sgd"] = "adamw"
    """Optimizer: adamw, sgd with momentum, or AdamW with 8-bit state (paged: moved to CPU memory if a GPU is full).

    8 bits take a quarter of the state's memory, embeddings left out, and need an NVIDIA GPU and bitsandbytes.
    """
    embeddings: Literal["trained", "frozen"] = "trained"
    """Token embeddings in full fine-tuning: frozen ones need no gradient and no optimizer state.

    Not for models whose output layer shares the matrix (tied weights). Other methods freeze them in any case.
    """
    frozen_layers: int = Field(default=0, ge=0, le=1000)
    """Frozen lower layers in full fine-tuning: so many layers from below, and the embeddings, keep their weights.

    Saves their gradients, optimizer state and backward pass; helps where data are few and like those of pretraining.
    """
    lr: float = Field(default=5e-5, gt=0, le=10)
    """Learning rate at its peak. Pretrained models: 1e-5 to 1e-4; from scratch or head only: about 1e-3."""
    head_lr: float | None = Field(default=None, gt=0, le=10)
    """Learning rate of the head, which starts from random weights, at its peak; null takes lr."""
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    """Layer-wise learning-rate decay: each layer learns this much slower than the one above; 1 switches it off.

    lr is the rate above the top layer, the embeddings have the lowest. 0.8 to 0.95 keep more of what pretraining
    learnt, which helps with few examples.
    """
    lora_plus: float | None = Field(default=None, ge=1, le=1000)
    """LoRA+ (Hayou et al. 2024): the second matrices of lora (B) learn so many times faster than the first (A).

    16 is usual; it helps where LoRA learns slowly, as on tasks unlike pretraining. null: both learn at lr.
    """
    weight_decay: float = Field(default=0.01, ge=0, lt=1)
    """Weight decay of matrices; biases and norms have none."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """AdamW beta1: decay of the running mean of the gradient."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """AdamW beta2: decay of the running mean of the squared gradient."""
    eps: float = Field(default=1e-8, gt=0)
    """AdamW epsilon: keeps the division by the squared gradient's root finite."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """SGD momentum: fraction of the previous update that is added to the next."""
    schedule: Literal["linear", "cosine", "constant", "plateau"] = "linear"
    """Learning-rate schedule after the warm-up: linear and cosine decay to 0, plateau follows the validation metric."""
    plateau_patience: int = Field(default=1, ge=0)
    """Plateau patience: validations without improvement before the learning rate is lowered."""
    plateau_factor: float = Field(default=0.5, gt=0, lt=1)
    """Plateau factor: what the learning rate is then multiplied by."""
    warmup: float = Field(default=0.1, ge=0)
    """Learning-rate warm-up: below 1 a fraction of all steps, from 1 on a number of steps."""

    @property
    def in_8_bits(self) -> bool:
        """Whether the state of the optimizer is quantized."""
        return self.name.endswith("8bit")


class Run(Section):
    """Run folder."""

    name: str | None = Field(default=None, pattern=PLAIN_NAME)
    """Run name: the run's folder inside run.dir; by default the name of the config file."""
    dir: Path = Path("runs")
    """Output directory of all runs; TensorBoard reads it."""
    track: TrackerName | list[TrackerName] = Field(default_factory=list)
    """Experiment tracking: tracker, or list of them, to which a process beside the training sends its metrics."""

    @property
    def trackers(self) -> list[str]:
        """The trackers, each once."""
        return list(dict.fromkeys([self.track] if isinstance(self.track, str) else self.track))


class Stage(Section):
    """A stage of continual learning: a training that starts from the model of the stage before."""

    name: str = Field(pattern=PLAIN_NAME)
    """Stage name, in the report and in the folder of the stage's run, stages/<number>-<name>."""
    data: Data
    """Data files of the stage. Every model is scored on the test (or else validation) data of all stages."""
    train: Train = Train()
    """Training settings that differ from the config's own."""
    optim: Optim = Optim()
    """Optimizer settings that differ from the config's own."""


def _overlaid(shared: Any, own: Any) -> Any:
    """A section of a stage over that of the config; what is no section is left for the validation to name."""
    sections = [section for section in (shared, own) if section is not None]
    wrong = [section for section in sections if not isinstance(section, dict)]
    return wrong[-1] if wrong else {key: value for section in sections for key, value in section.items()}


class Config(Section):
    """The full configuration."""

    task: AnyTask
    """Task: what the model is trained to do."""
    model: Model
    """Pretrained model."""
    method: AnyMethod = Full()
    """Fine-tuning method: which parameters are trainable."""
    data: Data
    """Data files."""
    train: Train = Train()
    """Training settings."""
    optim: Optim = Optim()
    """Optimizer and learning-rate schedule."""
    run: Run = Run()
    """Run folder."""
    continue_from: Path | None = None
    """Further training: folder of a finished run, such as runs/train; its best model, task and method are taken."""
    continual: AnyContinual = Naive()
    """Continual learning: how further training avoids catastrophic forgetting."""
    stages: list[Stage] = Field(default_factory=list)
    """Continual learning in stages: trainings one after the other, in place of data; the report shows forgetting."""

    @model_validator(mode="before")
    @classmethod
    def _stages_inherit(cls, values: Any) -> Any:
        """A stage inherits train and optim from the config; the config takes the data of the last stage."""
        stages = values.get("stages") if isinstance(values, dict) else None
        if not isinstance(stages, list) or not stages or not all(isinstance(stage, dict) for stage in stages):
            return values
        complete = [
            {**stage, **{name: _overlaid(values.get(name), stage.get(name)) for name in ("train", "optim")}}
            for stage in stages
        ]
        last = {"data": stages[-1]["data"]} if "data" in stages[-1] else {}
        return {**last, **values, "stages": complete}

    @model_validator(mode="after")
    def _is_consistent(self) -> "Config":
        if reason := self.task.refused_methods.get(self.method.type):
            raise ValueError(f"method.type is {self.method.type}, {reason}")
        if self.model.overflow != "cut" and not self.task.reads_long_texts:
            raise ValueError(
                f"model.overflow is {self.model.overflow}, which {self.task.type} does not have: set it to cut, or "
                f"raise model.max_length"
            )
        self.task.require_fit(self.model.max_length)
        if self.task.compares_texts and isinstance(self.continual, Distillation):
            raise ValueError(
                "continual.type is distillation, but task.dpo is set, which holds the model near its start already: "
                "set it to none, and raise task.dpo.beta to hold it nearer"
            )
        self._require_features()
        if isinstance(self.method, QLora) and self.model.name.startswith("tiny:"):
            raise ValueError(
                "method.type is qlora, which quantizes a pretrained model, and model.name has random weights: use lora"
            )
        if isinstance(self.method, QLora) and self.model.trust_remote_code:
            raise ValueError(
                "method.type is qlora, which quantizes the architectures of transformers only, and "
                "model.trust_remote_code is true: use lora"
            )
        parts: Sequence[Stage | Config] = self.stages or [self]
        for part in parts:
            if part.data.labels and not self.task.label_column:
                raise ValueError(f"data.labels is set, but {self.task.type} has no labels with names: remove it")
            if part.train.metric not in (None, "loss", *self.task.metrics):
                raise ValueError(
                    f"train.metric is {part.train.metric}, which {self.task.type} does not have: choose one of "
                    f"{', '.join((*self.task.metrics, 'loss'))}"
                )
            if self.model.dtype in ("bf16", "fp16") and (reason := self._in_fp32(part.train)):
                raise ValueError(f"model.dtype is {self.model.dtype}, but {reason}")
            if self.task.compares_examples and part.train.batch_size == 1:
                raise ValueError(
                    f"train.batch_size is 1, but {self.task.type} compares the examples of a step: set it to 2 or more"
                )
            if part.train.packing and (reason := self._unpackable()):
                raise ValueError(f"train.packing is true, but {reason}: set it to false")
            if part.train.neftune_alpha and (reason := self._without_noise(part.train)):
                raise ValueError(f"train.neftune_alpha is set, but {reason}")
            if part.train.parallel == "fsdp" and (reason := self._unshardable(part.optim)):
                raise ValueError(f"train.parallel is fsdp, but {reason}: set it to ddp")
            if part.train.checkpoint_format == "sharded" and part.train.parallel != "fsdp":
                raise ValueError(
                    "train.checkpoint_format is sharded, but with train.parallel ddp each process has the whole model: "
                    "set it to whole, or train.parallel to fsdp"
                )
            if part.train.compile is True and (reason := self.uncompilable(part.train)):
                raise ValueError(f"train.compile is true, but {reason}: set it to false")
            if part.data.template and (reason := self._untemplated(part.data)):
                raise ValueError(f"data.template is set, but {reason}: remove it")
            if part.optim.head_lr and not self.task.new_head:
                raise ValueError(
                    "optim.head_lr is set, but a generative model has no new head with a learning rate of its own: "
                    "remove it, or change optim.lr"
                )
            if part.optim.lora_plus and not isinstance(self.method, Lora | QLora):
                raise ValueError(
                    f"optim.lora_plus is set, but method.type is {self.method.type}, which has no matrices of LoRA: "
                    f"remove it, or take lora"
                )
            if part.optim.schedule == "plateau" and part.data.validation is None:
                raise ValueError("optim.schedule is plateau, which follows the validation metric: set data.validation")
            if isinstance(self.continual, Ewc) and self.task.compares_examples:
                raise ValueError(
                    f"continual.type is ewc, which needs the loss of a single example, and {self.task.type} compares "
                    f"examples: take replay"
                )
            if isinstance(self.continual, Replay) and part.train.batch_size < 2:
                raise ValueError("train.batch_size is 1, but replay mixes the examples of a step: set it to 2 or more")
        return self

    @model_validator(mode="after")
    def _can_be_continued(self) -> "Config":
        if isinstance(self.method, AdaLora) and (self.continue_from or self.stages):
            raise ValueError(
                "method.type is adalora, which allocates its ranks in one training and cannot be continued: take lora, "
                "or set model.name to the folder that `finetune export` makes of the finished run"
            )
        if self.stages and self.data != self.stages[-1].data:
            raise ValueError("data is set beside stages, each of which has its own data: remove one of the two")
        if self.stages and (self.train.seeds or any(stage.train.seeds for stage in self.stages)):
            raise ValueError(
                "train.seeds is set beside stages, which are one sequence of trainings: remove it, and start the "
                "sequence once for each train.seed, under names of their own (run.name)"
            )
        for number, stage in enumerate(self.stages):
            if stage.name in [other.name for other in self.stages[:number]]:
                raise ValueError(f"stages.{number}.name is '{stage.name}' a second time: give each stage its own name")
            if not (stage.data.test or stage.data.validation):
                raise ValueError(f"stages.{number}.data has no file to score the models on: set its test")
        return self

    def _untemplated(self, data: Data) -> str | None:
        """Why no text can be made of several columns, if so."""
        first = self.task.input_columns[0]
        if first in ("tokens", "messages"):
            return f"{self.task.type} reads {first}, which are no text"
        if named := {first, self.task.text_column} & {*data.columns}:
            return f"data.columns names a column for the {named.pop()}, which it makes, as well"
        return None

    def _require_features(self) -> None:
        own = self.task.input_columns + self.task.optional_columns + self.task.target_columns
        for data in [stage.data for stage in self.stages] or [self.data]:
            if data.features != self.data.features:
                raise ValueError("stages differ in data.features, but have one model: set the same in all of them")
            if data.features and not self.task.joins_features:
                raise ValueError(f"data.features is set, which {self.task.type} does not have: remove it")
            if name := next((name for name in data.features if name in own), None):
                raise ValueError(f"data.features.{name} is a column of {self.task.type} already: remove it")

    def _unpackable(self) -> str | None:
        """Why texts cannot be packed, if so."""
        if self.task.auto_model not in ("AutoModelForTokenClassification", "AutoModelForCausalLM"):
            return f"{self.task.type} has no label for each token of a text"
        if self.task.compares_texts:
            return "task.dpo is set, which compares whole replies"
        if soft_prompt_tokens(self.method):
            return f"method.type is {self.method.type}, which adds trainable tokens before each text"
        if self.model.attention == "eager":
            return "model.attention is eager, and packed texts need sdpa"
        return None

    def _without_noise(self, train: Train) -> str | None:
        """Why no noise can be added to the embeddings, if so."""
        if self.task.auto_model != "AutoModelForCausalLM":
            return f"{self.task.type} is no task of a decoder: remove it"
        if train.packing:
            return "train.packing is true, where the noise does not know the length of a text: set one of them only"
        return None

    def _in_fp32(self, train: Train) -> str | None:
        """Why frozen weights cannot be kept in half precision, if so."""
        kind = self.method.type
        reasons = {
            "full": "which trains all weights, and small updates are lost in half precision",
            "head": "whose saved model holds the whole body in fp32",
            "qlora": "which quantizes the body to 4 bits",
        }
        if kind in reasons:
            return f"method.type is {kind}, {reasons[kind]}: set model.dtype to auto"
        if train.precision not in ("auto", self.model.dtype):
            return f"train.precision is {train.precision}: set both to the same format, or model.dtype to auto"
        return None

    def _unshardable(self, optim: Optim) -> str | None:
        """Why the model cannot be sharded, if so."""
        if isinstance(self.method, AdaLora | QLora) or soft_prompt_tokens(self.method):
            return f"method.type is {self.method.type}, which needs unsharded weights"
        if isinstance(self.continual, Ewc):
            return "continual.type is ewc, whose penalty needs unsharded weights"
        if optim.in_8_bits:
            return f"optim.name is {optim.name}, which needs unsharded weights"
        return None

    def uncompilable(self, train: Train) -> str | None:
        """Why the layers cannot be compiled, if so."""
        if train.packing:
            return "train.packing is true as well, whose attention treats each text by itself"
        if isinstance(self.method, QLora):
            return "method.type is qlora, whose 4-bit layers are compiled already"
        if isinstance(self.method, Prefix):
            return "method.type is prefix, which gives each layer its own keys and values"
        return None

    @property
    def freezes(self) -> bool:
        """Whether weights of the base model stay as they are."""
        return not isinstance(self.method, Full) or self.optim.embeddings == "frozen" or self.optim.frozen_layers > 0

    @property
    def run_folder(self) -> Path:
        """Folder of this run; `load_config` has filled in the name."""
        return self.run.dir / str(self.run.name)
