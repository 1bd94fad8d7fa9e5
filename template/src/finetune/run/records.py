"""The types of the values in a run's JSON files: a run may come from somebody else, and damaged.

Only what is read is described; keys that are missing in runs of earlier versions have a default.
"""

import json
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import UserError
from ..files import Folder
from ..parsing import LARGEST_NUMBER, SURROGATE, require_depth, shortened

Count = Annotated[int, Field(ge=0, le=LARGEST_NUMBER)]
Number = Annotated[int, Field(ge=-LARGEST_NUMBER, le=LARGEST_NUMBER)] | float
Share = Annotated[float, Field(ge=0, le=1)]
Cell = str | Number | None


class Typed(BaseModel):
    """Numbers are no texts, and texts no numbers; keys that are not described may have any value."""

    model_config = ConfigDict(strict=True, extra="ignore")


def _iso_date(text: str) -> str:
    datetime.fromisoformat(text)
    return text


class Name(Typed):
    """A section of the config that has a name."""

    name: str | None = None


class Recorded(Typed):
    """config.json, as the report shows it: also that of another version, which `Config` refuses."""

    task: dict[str, Any] = {}
    model: dict[str, Any] = {}
    method: dict[str, Any] = {}
    data: dict[str, Any] | None = None
    train: dict[str, Any] = {}
    run: Name = Name()


class Git(Typed):
    """The commit of the project."""

    commit: str | None = None
    modified: bool = False


class Parameters(Typed):
    """Sizes of the model."""

    trainable: Count
    total: Count


class Environment(Typed):
    """environment.json."""

    started: Annotated[str, AfterValidator(_iso_date)] | None = None
    language: str = "en"
    packages: dict[str, str | None] = {}
    data: dict[str, str] = {}
    git: Git | None = None
    precision: Literal["fp32", "bf16", "fp16"] | None = None
    compile: bool | None = None
    metric: str | None = None
    revision: str | None = None
    total_steps: Count = 0
    examples: dict[str, Count] | None = None
    tokens: Count | None = None
    parameters: Parameters | None = None


Interval = Annotated[list[Number], Field(min_length=2, max_length=2)]
"""Low and high."""


class Baseline(Typed):
    """Metrics of a baseline."""

    name: str
    learnt: bool = False
    """Whether it was fitted to the training data, or else is trivial."""
    metrics: dict[str, Number]
    interval: Interval | None = None


class Table(Typed):
    """A table of an evaluation."""

    title: str
    columns: list[str]
    rows: list[list[Cell]]
    note: str = ""

    @model_validator(mode="after")
    def _is_rectangle(self) -> Self:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError("its rows must have a cell for each column")
        return self


class Matrix(Typed):
    """A confusion matrix."""

    title: str
    labels: list[str]
    counts: list[list[Count]]
    row_label: str
    column_label: str

    @model_validator(mode="after")
    def _is_square(self) -> Self:
        if [len(row) for row in self.counts] != [len(self.labels)] * len(self.labels):
            raise ValueError("its counts must have a row and a column for each label")
        return self


class Scatter(Typed):
    """Predictions against the truth."""

    title: str
    true: list[float] = Field(min_length=1)
    predicted: list[float]

    @model_validator(mode="after")
    def _has_pairs(self) -> Self:
        if len(self.true) != len(self.predicted):
            raise ValueError("its lists must have the same length")
        return self


class Curves(Typed):
    """Lines over a common x."""

    title: str
    x_label: str
    x: list[float]
    lines: dict[str, list[float]]
    chosen: float

    @model_validator(mode="after")
    def _has_pairs(self) -> Self:
        if any(len(line) != len(self.x) for line in self.lines.values()):
            raise ValueError("its lines must have a value for each x")
        return self


class Bin(Typed):
    """A bin of a reliability diagram."""

    confidence: Share
    accuracy: Share
    count: Count


class Probabilities(Typed):
    """Measures of probabilities; without answers those of the labels alone."""

    ece: float | None = None
    bins: list[Bin] = []
    coverage: list[Share] = []
    risk: list[Share] = []

    @model_validator(mode="after")
    def _has_pairs(self) -> Self:
        if len(self.coverage) != len(self.risk):
            raise ValueError("its lists must have the same length")
        return self


class Calibration(Typed):
    """Measures of probabilities as trained, and at the temperature of the model."""

    temperature: float
    before: Probabilities
    after: Probabilities


class ExplainedWord(Typed):
    """A word, and how much it contributes."""

    part: str
    start: Count
    end: Count
    gradients: Number | None = None
    occlusion: Number | None = None


class ExplainedTarget(Typed):
    """What is explained of a text."""

    target: str
    unit: str
    probability: Number | None = None
    value: Number | None = None
    baseline: Number | None = None
    baseline_token: str = ""
    error: Number | None = None
    steps: Count | None = None
    words: list[ExplainedWord]


class Explanation(Typed):
    """An explained example."""

    texts: dict[str, str]
    targets: list[ExplainedTarget]
    place: str = ""
    truth: str | None = None


class Evaluation(Typed):
    """evaluation-<split>.json."""

    task: str
    split: str
    data: str
    examples: Count
    size: str = ""
    loss: Number
    headline: str
    lower_is_better: bool
    metrics: dict[str, Number]
    interval: Interval | None = None
    """95 % interval of the main metric."""
    fingerprint: str | None = None
    """SHA-256 of the rows."""
    baseline: list[Baseline]
    tables: list[Table]
    matrices: list[Matrix]
    scatters: list[Scatter] = []
    curves: list[Curves] = []
    calibration: Calibration | None = None
    explanations: list[Explanation] = []
    notes: list[str]

    @model_validator(mode="after")
    def _has_headline(self) -> Self:
        if not all(self.headline in metrics for metrics in (self.metrics, *(one.metrics for one in self.baseline))):
            raise ValueError("the metrics lack the headline")
        return self


class Stage(Typed):
    """A stage of a run with stages."""

    name: str
    run: str


class Stages(Typed):
    """stages.json."""

    headline: str
    lower_is_better: bool
    continual: str
    stages: list[Stage]
    matrix: list[list[Number | None]]
    average: Number | None
    backward_transfer: Number | None
    forgetting: Number | None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        most = len(self.stages)
        if len(self.matrix) > most or any(len(row) > most for row in self.matrix):
            raise ValueError("its matrix has more scores than stages")
        return self


class Saved(Typed):
    """finetune.json of a saved model; the task, its state, the base model and the method have types of their own."""

    task: dict[str, Any]
    state: dict[str, Any]
    max_length: Annotated[int, Field(ge=1, le=LARGEST_NUMBER)]
    base: dict[str, Any]
    base_files: dict[str, str]
    head: list[str]
    method: dict[str, Any]
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    data_units: bool = False


class Finding(Typed):
    """A finding of `check-data`."""

    severity: str
    message: str
    remedy: str


class DataCheck(Typed):
    """data-check.json."""

    findings: list[Finding]


class Logged(BaseModel):
    """A line of metrics.jsonl: beside what is named here, numbers by their names."""

    model_config = ConfigDict(strict=True, extra="allow")
    __pydantic_extra__: dict[str, bool | Number | None]
    kind: Literal["train", "validation", "spike"]
    step: Count
    examples: str = ""
    """Where the examples of a spike come from."""
    seconds: Annotated[float, Field(ge=0, le=1e10)] = 0.0


def read_record(folder: Folder, name: str, model: type[Typed], remedy: str) -> dict[str, Any]:
    """The JSON object in a file of a run. Raises UserError, with the remedy, where a value has not the type it must."""
    return checked_record(folder, name, folder.read_object(name, remedy), model, remedy)


def first_problem(error: ValidationError, *section: str) -> str:
    """The key and what is wrong with its value; `section`: the keys above those that were validated."""
    first = error.errors()[0]
    place = ".".join(map(str, (*section, *first["loc"])))
    return f"{shortened(place)}: {first['msg']}" if place else first["msg"]


def checked_record(
    folder: Folder, name: str, content: dict[str, Any], model: type[Typed], remedy: str
) -> dict[str, Any]:
    """The content of a file of a run, as `read_record` checks it."""
    try:
        require_depth(content)
        if SURROGATE.search(json.dumps(content, ensure_ascii=False)):
            raise ValueError("half of a surrogate pair is no character")
        model.model_validate(content)
    except RecursionError as error:
        raise UserError(f"{folder.path / name}: is nested too deeply: {remedy}") from error
    except ValidationError as error:
        raise UserError(f"{folder.path / name}: {first_problem(error)}: {remedy}") from error
    except ValueError as error:
        raise UserError(f"{folder.path / name}: {shortened(str(error))}: {remedy}") from error
    return content
