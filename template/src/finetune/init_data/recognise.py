"""Which task a file could be for, and which columns are its texts and its labels.

Columns are found by usual names, else by their values. A task fits if it can read the rows as its examples and their
targets look like its own: classes repeat, numbers differ, some row has several labels.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from ..config.config import Config, Data
from ..data import usual_names as usual
from ..data.columns import Row, row_from_record
from ..data.forms.all_forms import form_of
from ..data.forms.form import Form
from ..data.missing import is_missing
from ..data.readers.conll import CONLL
from ..data.records import Record
from ..dataset import columns_of
from ..errors import UserError
from ..tasks import make_task
from ..tasks.base import Task
from ..tasks.results import Summary
from ..tasks.settings import AnyTask, Settings, TextSettings
from . import columns as by
from .request import Request

SAMPLE = 1000
"""Rows, evenly spaced over the file, by which a task is recognised."""
READABLE = 0.95
"""Share of them that a task must be able to read. The others are reported when all rows are read."""
TASKS: dict[str, type[Settings]] = {
    get_args(settings.model_fields["type"].annotation)[0]: settings for settings in get_args(get_args(AnyTask)[0])
}
ORDER = ("token-classification", "chat", "multi-label-classification", "text-classification", "regression", "ranking",
         "retrieval", "summarization", "translation", "text-generation")  # fmt: skip
"""Which task is taken if several fit, and that of the config is not among them."""
TASK_OF_FORMAT = {**dict.fromkeys(CONLL, "token-classification"), ".txt": "text-generation"}
"""The task of the formats whose columns have no names."""
EMPTY_VALUES: dict[str, tuple[Any, ...]] = {"labels": ("", []), "entities": ("", []), "text_pair": (None,),
                                             "negatives": (None, "", [])}  # fmt: skip
"""What is no missing value: no labels, no entities, no second text, no negatives."""
Columns = Mapping[str, by.Column]


@dataclass(frozen=True, slots=True)
class Recognised:
    """A task, its columns in the file, and the other tasks that fit as well."""

    task: Task[Any, Any]
    sources: dict[str, str]
    """The column of the file for each column of the task; empty for formats without column names."""
    others: list[str]
    form: Form | None = None
    """The form of a known tool that the task reads as it is; then `sources` is empty."""

    @property
    def renamed(self) -> dict[str, str]:
        """`data.columns` of the config."""
        return {name: source for name, source in self.sources.items() if name != source}

    def read(self, rows: Sequence[Row], data: Data) -> list[Row]:
        """The rows with the columns of the task. Raises UserError for a row without a value."""
        columns = columns_of(self.task, data.model_copy(update={"columns": self.renamed}))
        return [
            row_from_record(Record(row.place, row.original), columns, self.form)
            if isinstance(row.original, dict)
            else row
            for row in rows
        ]


def recognise(request: Request, config: Config, rows: Sequence[Row], columns: Columns) -> Recognised:
    """The task and the columns of a file.

    The task of the config is preferred. Raises UserError if no task fits, or only one that the model of the config
    cannot learn.
    """
    _check_options(request, columns, config)
    preferred = config.task.type
    candidates = [request.task] if request.task else [preferred, *(name for name in ORDER if name != preferred)]
    sample = rows[:: max(1, len(rows) // SAMPLE)]
    found: list[Recognised] = []
    for name in candidates:
        settings = config.task if name == preferred else TASKS[name](type=name)
        form = None if request.texts or request.label else form_of(name, rows[0].original)
        sources = {} if form else sources_of(settings, columns, request)
        if sources is not None:
            candidate = Recognised(make_task(settings), sources, [], form)
            if request.task or _fits(candidate, sample, config.data):
                found.append(candidate)
    usable = [one for one in found if _has_model(one.task.settings, config.task)]
    if not usable:
        raise UserError(_refusal(request, columns, request.task or preferred, found))
    best, *others = usable
    return replace(best, others=[other.task.settings.type for other in others])


def _check_options(request: Request, columns: Columns, config: Config) -> None:
    """Raise UserError for an unknown task or column, or a task that the model of the config cannot learn."""
    if request.task is not None and request.task not in TASKS:
        raise UserError(f"--task is '{request.task}': choose one of {', '.join(TASKS)}")
    if request.task is not None and not _has_model(TASKS[request.task], config.task):
        raise UserError(
            f"--task is {request.task}, for which {config.model.name} is no model: first set task.type and "
            f"model.name in {request.config}"
        )
    for option, name in [*(("--text", text) for text in request.texts), ("--label", request.label)]:
        if name is not None and not request.has_names:
            raise UserError(f"{option}: the columns of a {request.format} file have no names: leave the option out")
        if name is not None and name not in columns:
            raise UserError(f"{request.file}: {option} is '{name}', but its columns are {', '.join(columns)}")


def sources_of(settings: Settings, columns: Columns, request: Request) -> dict[str, str] | None:
    """The column of the file for each column of a task; None if the file does not have them."""
    if not request.has_names:
        return {} if settings.type == TASK_OF_FORMAT[request.format] else None
    texts, label = list(request.texts), request.label
    if not texts and not label and (own := _own_columns(settings, columns)):
        return own
    free = {name: column for name, column in columns.items() if name not in (*texts, label)}
    if isinstance(settings, TextSettings):
        label = label or by.label_of(free)
        free.pop(label or "", None)
        texts = texts or by.pair_named(free, usual.PAIRS) or _listed(by.text_of_file(free))
    elif settings.type == "ranking":
        texts = texts or by.pair_named(free, usual.PAIRS)
        label = label or by.named(free, usual.LABELS)
    elif settings.type == "retrieval":
        if not texts and not label:
            texts = by.pair_named(free, usual.RANKED)
            label = texts.pop() if texts else None
    elif settings.type == "token-classification":
        label = label or by.named(free, usual.TAGS if by.named(free, usual.TOKENS) else usual.ENTITIES)
        texts = texts or _listed(by.named(free, usual.TOKENS) or by.text_of_file(free))
    elif settings.type == "chat":
        texts = texts or _listed(by.named(free, usual.DIALOGUES))
    else:
        if not texts and not label:
            texts = by.pair_named(free, usual.WRITTEN)
            label = texts.pop() if texts else None
        texts = texts or _listed(by.text_of_file(free))
    assigned = _assigned(settings, columns, texts, label)
    if assigned and settings.type == "retrieval" and (negatives := by.named(free, usual.NEGATIVES)):
        assigned["negatives"] = negatives
    return assigned


def _own_columns(settings: Settings, columns: Columns) -> dict[str, str]:
    """The columns of a task by its own names; empty if the file does not have them."""
    whole = (settings.text_column, *settings.text_targets)
    forms = [settings.input_columns + settings.target_columns, whole]
    # A text alone takes the place of the other columns, even where they are there.
    for form in forms if settings.text_targets else reversed(forms):
        if all(name in columns for name in form):
            return {str(name): str(name) for name in form + settings.optional_columns if name in columns}
    return {}


def _assigned(settings: Settings, columns: Columns, texts: list[str], label: str | None) -> dict[str, str] | None:
    """The columns of a task in its order; None if there are too few or too many."""
    whole, targets = settings.text_column, settings.text_targets
    is_whole = columns[label].has_objects if targets and label else label is None and not targets
    if whole and len(texts) == 1 and is_whole:
        return {whole: texts[0], **dict.fromkeys(targets, str(label))}
    names = settings.input_columns + settings.optional_columns
    if not len(settings.input_columns) <= len(texts) <= len(names) or (label is None) == bool(settings.target_columns):
        return None
    if whole in columns and not targets:
        return None  # the task would take that column for the whole text
    return {**dict(zip(names, texts, strict=False)), **dict.fromkeys(settings.target_columns, str(label))}


def _listed(name: str | None) -> list[str]:
    return [] if name is None else [name]


def _has_model(settings: Settings | type[Settings], configured: Settings) -> bool:
    """Whether the model of the config can learn the task: encoders get a new head or none, generative models do not."""
    reads = [one.new_head or one.auto_model == "AutoModel" for one in (settings, configured)]
    return all(reads) or settings.auto_model == configured.auto_model


def _fits(candidate: Recognised, sample: Sequence[Row], data: Data) -> bool:
    """Whether the task can read the rows, and their targets look like its own."""
    complete = [row for row in sample if not missing_columns(row, candidate.sources)]
    summaries: list[Summary] = []
    for row in complete:
        try:
            [read] = candidate.read([row], data)
            summaries.append(candidate.task.summary(candidate.task.example(read)))
        except UserError:
            continue
    if not summaries or len(summaries) < READABLE * len(complete):
        return False
    answers = Counter(summary.answer for summary in summaries)
    labels = Counter(label for summary in summaries for label in summary.labels)
    label = next((candidate.sources.get(name) for name in candidate.task.settings.target_columns), None)
    match candidate.task.settings.type:
        case "text-classification":
            return by.are_classes(answers, usual_name=usual.usual_name(label or "") in usual.LABELS)
        case "multi-label-classification":
            return any(len(summary.labels) > 1 for summary in summaries) and by.are_classes(labels, False)
        case "regression":
            return len(answers) > 2
        case "token-classification":
            return bool(labels)
        case "ranking":
            return len(answers) > 1 and 2 * len({summary.texts[0] for summary in summaries}) <= len(summaries)
        case "retrieval":
            return len(answers) > 1
    return label is None or not by.are_classes(answers, usual_name=False)


def missing_columns(row: Row, sources: Mapping[str, str]) -> list[str]:
    """The columns of the task that are empty in a row."""
    if not isinstance(row.original, dict):
        return []
    values = {name: row.original.get(source) for name, source in sources.items()}
    return [
        sources[name] for name, value in values.items()
        if is_missing(value) and value not in EMPTY_VALUES.get(name, ())
    ]  # fmt: skip


def _refusal(request: Request, columns: Columns, task: str, found: Sequence[Recognised]) -> str:
    others = " or ".join(one.task.settings.type for one in found)
    if not request.has_names:
        return (
            f"{request.file}: is for {others or 'another task'}, but task.type is {task} in {request.config}: change it"
        )
    listed = ", ".join(f"{name} ({column.described()})" for name, column in columns.items())
    also = f"; for {others}, which it fits, set task.type and model.name in {request.config}" if others else ""
    return (
        f"{request.file}: does not fit {task}: name its columns with --text and --label, or the task with --task; "
        f"it has {listed}{also}"
    )
