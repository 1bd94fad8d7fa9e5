"""Explain predictions: the words of a text with their contributions to each target."""

import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

from ..data.features import IGNORE, Feature
from ..data.files import shown
from ..data.rows import Row, read_rows
from ..dataset import columns_of, stream_chosen
from ..errors import UserError
from ..evaluate import files_of_split
from ..generate import generate
from ..model.device import Precision, choose_device
from ..predict import infer_examples
from ..run.folder import RunFolder
from ..run.saved_model import SavedModel, load_saved_model
from ..tasks.base import Task
from ..tasks.causal_lm import CausalLMTask
from ..tasks.retrieval import RetrievalTask
from .attribution import Gradients, Passes, baseline_token, integrated_gradients, occlusion
from .targets import Choice, Target, generated_text, require_explainable, targets_of
from .words import Reading, read, read_prompt

Method = Literal["gradients", "occlusion"]
Record = dict[str, Any]
T = TypeVar("T")
DOCUMENT = (
    "what is explained is the similarity of a query and a document: give the document, too, on the command line with "
    "--text-pair"
)


def generated(passes: Passes, prompt: Feature) -> tuple[str, Feature]:
    """The text that the model generates, and a feature with its tokens as labels."""
    task, tokens = passes.task, list[int]()

    def watch(_: int, ids: list[int]) -> bool:
        tokens[:] = ids
        return False

    settings: Any = task.generation
    options: Any = {"budget": passes.budget, "precision": passes.precision, "watch": watch}
    [text] = generate(passes.model, passes.tokenizer, [prompt.prompt], settings, task.stop_tokens, **options)
    if not tokens:  # beam search does not tell them
        tokens = [*passes.tokenizer(text, add_special_tokens=False)["input_ids"], *task.stop_tokens[:1]]
    if isinstance(task, CausalLMTask):
        labels = [IGNORE] * len(prompt.prompt) + tokens
        return text, task.feature(0, prompt.prompt + tokens, labels, prompt.prompt)
    return text, replace(prompt, labels=tokens, scored_labels=len(tokens), target_length=len(tokens))


def finished(work: Generator[None, None, T]) -> T:
    """The result of a generator that nothing else has to be done in between."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result


@dataclass(frozen=True, slots=True)
class Explainer:
    """A model of a task whose predictions it explains. The model is one for inference: its weights get no gradient."""

    task: Task[Any, Any]
    model: Any
    tokenizer: Any
    max_length: int
    budget: int
    """Tokens of a pass with gradients."""
    precision: Precision = "fp32"

    def choice(self, label: str | None, word: int | None) -> Choice:
        """What to explain. Raises UserError where it does not fit the task."""
        choice = Choice(label, word)
        require_explainable(self.task, choice)
        return choice

    def read(self, row: Row) -> tuple[Any, Reading]:
        """The example of a row, and its words. Raises UserError for a row that the task cannot read."""
        if isinstance(self.task, RetrievalTask):
            example = replace(self.task.example(row), negatives=())
            if example.document is None:
                raise UserError(f"{row.place}: {DOCUMENT}")
            return example, read(self.task, example, self.tokenizer, self.max_length)
        [example] = self.task.parse([row], labelled=False)
        if isinstance(self.task, CausalLMTask):
            [feature, *_] = self.task.encode([example], self.tokenizer, self.max_length).features
            return example, read_prompt(feature, self.tokenizer)
        return example, read(self.task, example, self.tokenizer, self.max_length)

    def explain(
        self, example: Any, reading: Reading, methods: Sequence[Method], choice: Choice
    ) -> Generator[None, None, Record]:
        """The text, and for each target its words and their contributions; pauses after each pass. As JSON."""
        passes = Passes(self.model.eval(), self.task, self.tokenizer, self.budget, self.precision)
        self.model.requires_grad_(False)  # else the gradients of all weights would take memory
        if self.task.generation:
            text, feature = generated(passes, reading.features[0])
            reading, targets = replace(reading, features=[feature]), [generated_text(self.task, text)]
        else:
            with torch.no_grad():
                batch = passes.batch([reading.features])
                output = passes.output(batch)
                targets = targets_of(self.task, example, reading.features, output, batch.labels, choice)
        yield
        found = []
        for target in targets:
            gradients = (yield from integrated_gradients(passes, reading, target)) if "gradients" in methods else None
            falls = (yield from occlusion(passes, reading, target)) if "occlusion" in methods else None
            found.append(self._record(reading, target, gradients, falls))
        texts = dict(zip(self._parts(), reading.texts, strict=False))
        return {"texts": texts, **({"truncated": True} if reading.truncated else {}), "targets": found}

    def _parts(self) -> tuple[str, ...]:
        """The columns of the texts."""
        settings = self.task.settings
        if isinstance(self.task, RetrievalTask):
            return settings.input_columns + settings.target_columns
        return (
            ("text",)
            if self.task.splits_into_words or isinstance(self.task, CausalLMTask)
            else settings.input_columns + settings.optional_columns
        )

    def _record(
        self, reading: Reading, target: Target, gradients: Gradients | None, falls: list[float] | None
    ) -> Record:
        """A target as JSON. The words are those of both texts of a pair, in their order."""
        neutral = self.tokenizer.convert_ids_to_tokens(baseline_token(self.tokenizer))
        parts = self._parts()
        words = [
            {
                "part": parts[word.part],
                "start": word.start,
                "end": word.end,
                "text": reading.texts[word.part][word.start : word.end],
                **({"gradients": gradients.words[number]} if gradients else {}),
                **({"occlusion": falls[number]} if falls else {}),
            }
            for number, word in enumerate(reading.words)
        ]
        record: Record = {"target": target.name, "unit": target.unit}
        if target.probability is not None:
            record["probability"] = target.probability
        if gradients:
            record |= {
                "value": gradients.value,
                "baseline": gradients.baseline,
                "baseline_token": neutral,
                "error": gradients.error,
                "steps": gradients.steps,
            }
        return {**record, "words": words}


class RunExplainer:
    """Explanations of a run's best model, computed in fp32."""

    def __init__(self, run: RunFolder, choice: Choice, *, trust_remote_code: bool = False) -> None:
        """Raises UserError where the model's predictions are texts, or the choice does not fit."""
        self._run, self._choice = run, choice
        config = run.config()
        exact = config.train.model_copy(update={"precision": "fp32"})
        self._config = config.model_copy(update={"train": exact})
        saved = load_saved_model(run.model, exact, trust_remote_code=trust_remote_code)
        require_explainable(saved.task, choice)
        self._saved: SavedModel = saved
        model = saved.model.to(choose_device(exact.device))
        self._explainer = Explainer(saved.task, model, saved.tokenizer, saved.max_length, exact.micro_batch_tokens)

    def explain_rows(self, rows: Sequence[Row], methods: Sequence[Method]) -> list[Record]:
        """A record for each row. Raises UserError for one that cannot be read."""
        readings = [self._explainer.read(row) for row in rows]  # all of them, before it takes time
        return [finished(self._explainer.explain(*reading, methods, self._choice)) for reading in readings]

    def explain_texts(self, texts: Sequence[str], pair: str | None, methods: Sequence[Method]) -> list[Record]:
        """Records of single texts, or pairs of them."""
        task = self._saved.task
        if isinstance(task, RetrievalTask):
            values = [{"query": text, "document": pair} for text in texts]
        else:
            values = [task.row_of(text, pair) for text in texts]
        return self.explain_rows([Row("--text", value, value) for value in values], methods)

    def explain_file(self, path: Path, count: int, methods: Sequence[Method]) -> list[Record]:
        """Records of the first rows of a file, which may be unlabelled, but for the documents of queries."""
        compares = isinstance(self._saved.task, RetrievalTask)
        columns = columns_of(self._saved.task, self._config.data, labelled=compares)
        return self.explain_rows(read_rows(path, columns)[:count], methods)

    def explain_split(self, split: str, count: int, methods: Sequence[Method]) -> list[Record]:
        """Records of a split's most confident mistakes, and of its first right predictions.

        They are added to its evaluation, for the report. Raises UserError if the split was not evaluated.
        """
        run, config, task = self._run, self._config, self._saved.task
        files = files_of_split(split, run, config)
        evaluation = next((one for one in run.evaluations() if one["split"] == split), None)
        if evaluation is None or evaluation["data"] != shown(files):
            raise UserError(
                f"{run.path}: there is no evaluation of {shown(files)} yet: run "
                f"`python -m finetune evaluate {run.path} --split {split}` first"
            )
        rows = list(stream_chosen(config.data, task, files))
        examples = task.parse(rows)
        encoded, result = infer_examples(config, self._saved, examples, "loss")
        errors = task.errors(examples, task.predictions(examples, encoded.features, result.decoded))
        wrong = {error.row: error for error in sorted(errors, key=lambda error: -error.magnitude)}
        right = [number for number in range(len(rows)) if number not in wrong]
        chosen = [*wrong][: max(count - count // 2, count - len(right))]
        chosen += right[: count - len(chosen)]
        records = self.explain_rows([rows[number] for number in chosen], methods)
        for number, record in zip(chosen, records, strict=True):
            record["place"] = rows[number].place
            if number in wrong:
                record["truth"] = wrong[number].truth
        name = run.evaluation_name(split)
        run.write(name, json.dumps({**evaluation, "explanations": records}, indent=1, ensure_ascii=False) + "\n")
        return records
