"""The settings of a pipeline, and their checks before the first stage: each stage is a config of its own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from ..config.config import Config
from ..config.load import sentence
from ..config.yaml_lines import Node, parse_override, read_yaml
from ..errors import UserError
from ..files import PLAIN_NAME, is_plain
from ..section import Section

Stage = Literal["retrieval", "ranking", "chat"]
STAGES: tuple[Stage, ...] = ("retrieval", "ranking", "chat")


class Mining(Section):
    """Hard negatives: documents near a query that do not answer it, on which the ranking is trained."""

    count: int = Field(default=4, ge=1, le=1_000)
    """Negatives of a query."""
    first: int = Field(default=1, ge=1, le=10_000)
    """First rank that is taken; where answers may be missing in the data, the first ranks may be such: start at 10."""
    last: int = Field(default=20, ge=1, le=10_000)
    """Last rank that is taken."""

    @model_validator(mode="after")
    def _rises(self) -> "Mining":
        if self.last < self.first:
            raise ValueError(f"last is {self.last}, before first, {self.first}: write a higher rank")
        return self


class Pipeline(Section):
    """Customer service: a bi-encoder finds passages, a cross-encoder ranks them, a chat model answers by quoting."""

    corpus: Path
    """Corpus: the file with the passages that may answer, in the column document."""
    questions: Path
    """Test questions: a file with the columns query and document, on which the whole is scored."""
    retrieval: dict[str, Any]
    """Config of the bi-encoder, with sections as in configs/train.yaml: task, model, data, train, optim."""
    ranking: dict[str, Any]
    """Config of the cross-encoder; without data it is trained on hard negatives that the bi-encoder finds."""
    chat: dict[str, Any]
    """Config of the model that answers: a question and numbered passages in, a quotation and its number out."""
    mining: Mining = Mining()
    """Hard negatives for the ranking."""
    candidates: int = Field(default=20, ge=1, le=1_000)
    """Candidates: passages of a question that the cross-encoder puts into its order."""
    passages: int = Field(default=3, ge=1, le=100)
    """Passages: how many of them the chat model reads."""
    answers: int = Field(default=100, ge=1, le=100_000)
    """Test questions that are answered and scored; the search is scored on all."""
    show: int = Field(default=3, ge=0, le=100)
    """Test questions that are shown with their passages and answer."""
    name: str | None = Field(default=None, pattern=PLAIN_NAME)
    """Name of the pipeline: the folder of its runs and results; by default the name of the file."""
    dir: Path = Path("runs")
    """Output directory."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A pipeline whose settings have been checked."""

    pipeline: Pipeline
    file: Path
    configs: dict[Stage, Config]
    mines: bool
    """Whether the data of the ranking are mined."""

    @property
    def folder(self) -> Path:
        """Where the runs of the stages, their configs, the mined rows and the results lie."""
        return self.pipeline.dir / (self.pipeline.name or self.file.stem)

    def mined(self, split: str) -> Path:
        """The file of mined rows of a split."""
        return self.folder / f"ranking-{split}.jsonl"


def read_pipeline(path: Path, overrides: list[str] | None = None) -> Plan:
    """Read a pipeline file, apply overrides such as `chat.train.epochs=3`, and check it with the configs of its stages.

    Raises UserError with file:line and key for what is wrong.
    """
    root = read_yaml(path)
    for override in overrides or []:
        root.set(*parse_override(override))
    try:
        pipeline = Pipeline.model_validate(root.plain())
    except ValidationError as error:
        raise UserError(sentence(Pipeline, root, error)) from error
    name = pipeline.name or path.stem
    if not is_plain(name):
        raise UserError(f"{path}: its name is no name for a folder: set name")
    mines = "data" not in root.children["ranking"].children
    draft = Plan(pipeline, path, {}, mines)
    configs: dict[Stage, Config] = {}
    for stage in STAGES:
        node = root.children[stage]
        if "run" in node.children:
            place = node.place(("run",))
            raise UserError(f"{place}: '{stage}.run' is named by the pipeline: remove it, or set name and dir")
        _set(node, ("run", "dir"), draft.folder.as_posix())
        _set(node, ("run", "name"), stage)
        if stage == "ranking" and mines:
            for split in _splits(configs["retrieval"]):
                _set(node, ("data", split), draft.mined(split).as_posix())
        configs[stage] = _config(node, stage)
    return Plan(pipeline, path, configs, mines)


def _splits(config: Config) -> dict[str, Path]:
    """The files of the splits of a config. Raises UserError where one of several files would have to be mined."""
    files = {name: getattr(config.data, name) for name in ("train", "validation", "test")}
    if several := next((name for name, paths in files.items() if paths and len(paths) > 1), None):
        raise UserError(
            f"retrieval.data.{several} names {len(files[several])} files, and negatives are mined for one: put them "
            f"into one, or give the ranking data of its own"
        )
    return {name: Path(paths[0]) for name, paths in files.items() if paths}


def split_files(plan: Plan) -> dict[str, Path]:
    """The files whose rows get hard negatives, by their split."""
    return _splits(plan.configs["retrieval"])


def _set(node: Node, path: tuple[str, ...], value: str) -> None:
    node.set(path, Node(value, node.origin, text=value))


def _config(node: Node, stage: Stage) -> Config:
    """The config of a stage. Raises UserError with its place."""
    try:
        config = Config.model_validate(node.plain())
    except ValidationError as error:
        raise UserError(sentence(Config, node, error)) from error
    if config.task.type != stage:
        place = node.place(("task", "type"))
        raise UserError(f"{place}: '{stage}.task.type' is '{config.task.type}': write {stage}")
    if config.stages or config.continue_from:
        raise UserError(f"{node.origin}: '{stage}' is one training of a base model: remove stages and continue_from")
    return config
