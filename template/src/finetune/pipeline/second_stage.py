"""Whether the ranking is worth it: both stages on the validation questions, which neither was trained on."""

import json
from contextlib import suppress
from types import ModuleType
from typing import Any

from rich.console import Console

from ..console import print_line
from ..data.files import checksum, files_of
from ..errors import UserError
from ..files import MANIFEST, Folder
from .settings import Plan
from .stages import run_of

RECORD = "second-stage.json"
METRIC = "ndcg@10"


def ranking_helps(
    plan: Plan, searcher: Any, documents: ModuleType, quality: ModuleType, folder: Folder, console: Console
) -> bool:
    """Whether the questions of the retrieval's validation data find their documents better with the ranking.

    True where there are none. What was found is kept for these models, and told.
    """
    validation = plan.configs["retrieval"].data.validation
    if not validation:
        return True
    key = [checksum(run_of(plan, stage).model / MANIFEST) for stage in ("retrieval", "ranking")]
    record = _known(folder)
    if record.get("models") != key:
        data, rows = plan.configs["retrieval"].data, []
        for path in files_of(validation):
            rows += documents.read_queries(path, data)[1]
        known = quality.answers_of(rows)
        depth = max(quality.DEPTH, plan.pipeline.candidates)
        found = dict(zip(known, searcher.stages([*known], depth, plan.pipeline.candidates), strict=True))
        lists = {"bi-encoder": quality.first_stage(found), "re-ranked": found}
        record = {"models": key, **{name: quality.mean_metrics(known, hits)[METRIC] for name, hits in lists.items()}}
        folder.write(RECORD, json.dumps(record, indent=1) + "\n")
    helps = bool(record["re-ranked"] > record["bi-encoder"])
    told = f"{METRIC} on the validation questions: bi-encoder {record['bi-encoder']:.4f}, re-ranked "
    print_line(console, f"{told}{record['re-ranked']:.4f}: {'re-ranked' if helps else 'the ranking is left out'}")
    return helps


def _known(folder: Folder) -> dict[str, Any]:
    with suppress(UserError, OSError):
        found = folder.read_object(RECORD, "remove it")
        if all(isinstance(found.get(name), float) for name in ("bi-encoder", "re-ranked")):
            return found
    return {}
