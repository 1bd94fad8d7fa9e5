"""The model card: README.md with the metadata that the Hugging Face Hub reads."""

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from ..config.config import Config
from ..config.methods import Lora, QLora
from ..errors import UserError
from ..files import Folder
from ..hub_client import HUB_NAME
from ..run.folder import RunFolder
from ..run.saved_model import DAMAGED, TASK_FILE, SavedModel
from ..tasks.results import INTERVAL, interval_text
from .ollama import reads_folder

Kind = Literal["safetensors", "adapter", "onnx"]

TEMPLATE = Path(__file__).with_name("card.md.j2")
CARD = "README.md"
LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
LANGUAGE = re.compile(r"[a-z]{2,3}|code|multilingual")
LIBRARIES: dict[Kind, str] = {"safetensors": "transformers", "adapter": "peft", "onnx": "onnx"}
PIPELINES = {
    **dict.fromkeys(("text-classification", "multi-label-classification", "regression"), "text-classification"),
    "ranking": "text-classification",
    "retrieval": "feature-extraction",
    "token-classification": "token-classification",
    **dict.fromkeys(("text-generation", "chat"), "text-generation"),
}
"""The pipeline of transformers that runs a task. Version 5 has none for translation and summarization."""
METRICS = {
    **dict.fromkeys(("f1_macro", "f1_micro", "f1_weighted", "f1_samples", "f1_strict", "token_f1_weighted"), "f1"),
    **dict.fromkeys(("exact_match", "token_accuracy"), "accuracy"),
    **dict.fromkeys(("rouge1", "rouge2", "rougeL"), "rouge"),
    **{"mcc": "matthews_correlation", "pearson": "pearsonr", "spearman": "spearmanr", "r2": "r_squared"},
}
"""Identifiers on the Hub of the metrics that have another name there."""
VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Values of vLLM's --max-lora-rank."""


@dataclass(frozen=True, slots=True)
class CardOptions:
    """What a run does not know about its model."""

    license: str | None = None
    """Identifier of the Hub, such as apache-2.0; never guessed."""
    languages: tuple[str, ...] = ()
    """ISO 639 codes; where empty, the project's language."""
    name: str | None = None
    """The model in the commands of the card; by default the name of the exported folder."""

    def check(self) -> None:
        """Raises UserError for what cannot be an identifier of a license or a language."""
        if self.license is not None and not LICENSE.fullmatch(self.license):
            raise UserError(
                f"--license: '{self.license}' is not an identifier of the Hub: write one such as apache-2.0, mit, "
                f"cc-by-4.0, or other"
            )
        for language in self.languages:
            if not LANGUAGE.fullmatch(language):
                raise UserError(f"--language: '{language}' is not an ISO 639 code: write one such as en or zh")


def write_card(
    target: Path,
    name: str,
    run: RunFolder,
    saved: SavedModel,
    kind: Kind,
    options: CardOptions,
    int8: dict[str, Any] | None = None,
) -> None:
    """Write README.md to the folder `target`. `int8` is what quantization did to the metric."""
    config, environment = run.config(), run.environment()
    name = options.name or name
    evaluations, base = run.evaluations(), _base_model(run, config)
    data = environment.get("data", {})
    base_source = base["name"] if base["on_hub"] else f"{name}/base" if base["tiny"] else "path/to/the/base/model"
    names = {"name": name, "local": name.rsplit("/", 1)[-1], "base": base_source}
    languages = list(options.languages)
    if not languages and config.task.type != "translation" and "language" in environment:
        languages = [environment["language"]]  # a translation has two, which the project does not name
    card = ModelCard.from_template(
        _metadata(name, config, base, kind, options, languages, evaluations, data),
        template_path=str(TEMPLATE),
        name=name,
        code={part: json.dumps(value, ensure_ascii=False) for part, value in names.items()},
        shell={part: shlex.quote(value) for part, value in names.items()},
        labels=", ".join(map(_code_span, saved.task.state().get("labels", []))),
        task=config.task,
        method=config.method,
        kind=kind,
        has_script=(target / "predict.py").is_file(),
        model_type=saved.model.config.model_type,
        auto_model=config.task.auto_model,
        base=base,
        pipeline=PIPELINES.get(config.task.type),
        languages=", ".join(languages),
        license=options.license,
        max_length=saved.max_length,
        template=_code_span(config.data.template) if config.data.template else None,
        state=saved.task.state(),
        examples=environment.get("examples", {}),
        data=_table(["file", "SHA-256"], [[Path(path).name, digest] for path, digest in data.items()]),
        config=_changed(config),
        evaluations=[(_title(evaluation), _metric_table(evaluation)) for evaluation in evaluations],
        versions={"finetune": environment.get("finetune"), **environment.get("packages", {})},
        int8=int8,
        lora_rank=_vllm_rank(config.method),
        reads_folder=reads_folder(saved.model.config.model_type),
    )
    (target / CARD).write_text(str(card), encoding="utf-8", newline="\n")


def _metadata(
    name: str,
    config: Config,
    base: dict[str, Any],
    kind: Kind,
    options: CardOptions,
    languages: list[str],
    evaluations: Sequence[dict[str, Any]],
    data: dict[str, str],
) -> ModelCardData:
    task = config.task.type
    return ModelCardData(
        base_model=base["name"] if base["on_hub"] else None,
        base_model_relation=("adapter" if kind == "adapter" else "finetune") if base["on_hub"] else None,
        language=languages or None,
        library_name="sentence-transformers" if kind == "safetensors" and task == "retrieval" else LIBRARIES[kind],
        license=options.license,
        model_name=name.rsplit("/", 1)[-1],
        pipeline_tag=PIPELINES.get(task),
        tags=[task, *([] if config.method.type == "full" else [config.method.type])],
        eval_results=[
            EvalResult(
                task_type=PIPELINES.get(task, task),
                dataset_type="local-file",
                dataset_name=Path(evaluation["data"]).name,
                dataset_split=evaluation["split"],
                dataset_args={"sha256": data[evaluation["data"]]} if evaluation["data"] in data else None,
                metric_type=METRICS.get(metric, metric),
                metric_name=metric,
                metric_value=round(value, 6),
            )
            for evaluation in evaluations
            for metric, value in evaluation["metrics"].items()
        ]
        or None,
    )


def _base_model(run: RunFolder, config: Config) -> dict[str, Any]:
    """Name and commit. Of a folder the name alone is told, because its path is that of one machine."""
    name = config.model.name
    recorded = Folder(run.model).read_object(TASK_FILE, DAMAGED)["base"]
    on_hub = bool(HUB_NAME.fullmatch(name)) and not Path(name).exists()
    is_tiny = name.startswith("tiny:")
    return {
        "name": name if on_hub or is_tiny else Path(name).name,
        "revision": recorded.get("revision") if on_hub else None,
        "on_hub": on_hub,
        "tiny": is_tiny,
    }


def _changed(config: Config) -> str:
    """The settings that differ from the defaults, as YAML, without paths of this machine."""
    changed = config.model_dump(
        mode="json", exclude_defaults=True, include={"task", "model", "method", "train", "optim"}
    )
    changed["model"]["name"] = (
        Path(config.model.name).name if Path(config.model.name).is_absolute() else config.model.name
    )
    return str(yaml.safe_dump(changed, sort_keys=False, allow_unicode=True))


def _title(evaluation: dict[str, Any]) -> str:
    better = "lower" if evaluation["lower_is_better"] else "higher"
    return (
        f"{evaluation['split']}: {evaluation['size']} of {Path(evaluation['data']).name}; the main metric is "
        f"{evaluation['headline']} ({better} is better)"
    )


def _metric_table(evaluation: dict[str, Any]) -> str:
    """The metrics, the main one first, beside those of the trivial baselines."""
    metrics, baselines = evaluation["metrics"], evaluation["baseline"]
    names = sorted(metrics, key=lambda name: name != evaluation["headline"])
    found = [metrics, *(baseline["metrics"] for baseline in baselines)]
    rows = [[name, *(f"{values[name]:.4f}" if name in values else "" for values in found)] for name in names]
    intervals = [interval_text(one.get("interval")) for one in (evaluation, *baselines)]
    if any(intervals):
        rows.insert(1, [INTERVAL, *intervals])
    return _table(["metric", "this model", *(baseline["name"] for baseline in baselines)], rows)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a cell is one line."""
    lines = [columns, ["---"] * len(columns), *rows]
    cells = [[" ".join(cell.split()).replace("|", r"\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _code_span(text: str) -> str:
    """Text that Markdown shows as it is: between more backticks than it has in a row."""
    text = " ".join(text.split())
    ticks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    space = " " if "`" in (text[:1], text[-1:]) else ""
    return f"{ticks}{space}{text}{space}{ticks}"


def _vllm_rank(method: Any) -> int | None:
    """The smallest --max-lora-rank of vLLM that holds the adapter; None if there is none."""
    if not isinstance(method, Lora | QLora):
        return None
    return next((rank for rank in VLLM_RANKS if rank >= method.r), None)
