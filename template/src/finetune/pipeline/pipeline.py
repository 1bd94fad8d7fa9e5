"""The stages of a pipeline, one after the other, and the answers of the whole to the test questions or to others."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any

from filelock import FileLock, Timeout
from rich.console import Console
from rich.markup import escape

from .. import optional
from ..console import print_line, print_table
from ..errors import OK, UserError
from ..files import Folder, make_folders
from .answers import Answer, Answerer, answer_figures
from .second_stage import ranking_helps
from .settings import STAGES, Plan, Stage, split_files
from .stages import run_of, test_metrics, train_stage
from .untrained import untrained_search

RESULT = "pipeline.json"
FORMAT = 1
"""Version of the keys in pipeline.json."""
UNTRAINED = "encoder before the training"


def run_pipeline(plan: Plan, questions: Sequence[str], console: Console) -> int:
    """Train what is not trained, then answer the questions, or the test questions if there are none; the exit code.

    Of the test questions, figures are written to pipeline.json. Raises UserError for wrong data.
    """
    _require_questions(questions)
    searching = _search_module("searcher")
    for path in (plan.pipeline.corpus, plan.pipeline.questions):
        if not path.exists():
            raise UserError(f"{plan.file}: there is no file {path}: correct its path")
    with claimed(plan) as folder:
        for stage in STAGES:
            if stage == "ranking" and plan.mines:
                _mine(plan, console)
            if code := train_stage(plan, stage, folder, console):
                return code
        print_line(console, "\n[bold]answers[/]")
        retrieval, ranking = run_of(plan, "retrieval"), run_of(plan, "ranking")
        say: Callable[[str], None] = lambda line: print_line(console, escape(line))  # noqa: E731
        searcher = searching.Searcher(retrieval, plan.pipeline.corpus, ranking, verb="pipeline", say=say)
        modules = _search_module("documents"), _search_module("quality")
        reranks = ranking_helps(plan, searcher, *modules, folder, console)
        if questions:
            chosen = searcher if reranks else searching.Searcher(retrieval, plan.pipeline.corpus, verb="pipeline")
            _show(_answers(plan, chosen, questions), console)
        else:
            _score(plan, searcher, folder, console, reranks=reranks)
    return OK


@contextmanager
def claimed(plan: Plan) -> Iterator[Folder]:
    """Make the folder of a pipeline and lock it against other ones. Raises UserError if that is not possible."""
    folder = Folder(plan.folder)
    try:
        make_folders(folder.path)
        with FileLock(folder.at(".lock"), timeout=0):
            folder.remove_leftovers()
            yield folder
    except Timeout as error:
        raise UserError(f"{folder.path}: another pipeline is writing here: wait for it, or set another name") from error


def _search_module(name: str) -> ModuleType:
    """A module of the optional folder `search`. Raises UserError if the project has deleted it."""
    found = optional.find("search", name)
    if found is None:
        raise UserError("pipeline needs src/finetune/search, which this project has deleted: put the folder back")
    return found


def _require_questions(questions: Sequence[str]) -> None:
    if any(not question.strip() for question in questions):
        raise UserError("--ask: the question is empty: write one")


def _mine(plan: Plan, console: Console) -> None:
    """Write the rows of the ranking: of each split of the retrieval the questions, with hard negatives."""
    print_line(console, "\n[bold]hard negatives[/]")
    mining, wanted = _search_module("mining"), plan.pipeline.mining
    for split, path in split_files(plan).items():
        request = mining.Request(
            output=plan.mined(split),
            corpus=plan.pipeline.corpus,
            count=wanted.count,
            first=wanted.first,
            last=wanted.last,
            form="ranking",
        )
        mining.mine_negatives(run_of(plan, "retrieval"), path, request, console)


def _answers(plan: Plan, searcher: Any, questions: Sequence[str]) -> list[Answer]:
    """The answers to some questions, from the first passages that are found for each."""
    found = searcher.search(questions, plan.pipeline.passages, plan.pipeline.candidates)
    passages = [[hit.document.text for hit in hits] for hits in found]
    return Answerer(run_of(plan, "chat")).answer(questions, passages)


def _score(plan: Plan, searcher: Any, folder: Folder, console: Console, *, reranks: bool) -> None:
    """Score search and answers on the test questions; show some of them, and write pipeline.json.

    `reranks`: whether the passages that are read are those of the second stage.
    """
    documents, quality = _search_module("documents"), _search_module("quality")
    config = plan.configs["retrieval"]
    known = quality.answers_of(documents.read_queries(plan.pipeline.questions, config.data)[1])
    if not known:
        raise UserError(f"{plan.pipeline.questions}: has no column document with known answers: add it, or use --ask")
    queries = [*known]
    depth = max(quality.DEPTH, plan.pipeline.candidates)
    found = dict(zip(queries, searcher.stages(queries, depth, plan.pipeline.candidates), strict=True))
    first = quality.first_stage(found)
    searches = {
        "BM25": quality.bm25_metrics(known, searcher.index) or {},
        UNTRAINED: quality.corpus_metrics(known, searcher.index, partial(untrained_search, run_of(plan, "retrieval"))),
        "bi-encoder": quality.mean_metrics(known, first),
        "re-ranked": quality.mean_metrics(known, found),
    }
    asked = queries[: plan.pipeline.answers]
    read = found if reranks else first
    passages = [[hit.document.text for hit in read[query][: plan.pipeline.passages]] for query in asked]
    answers = Answerer(run_of(plan, "chat")).answer(asked, passages)
    figures = answer_figures(answers, known)
    stages: dict[Stage, Any] = {
        stage: {"run": run_of(plan, stage).path.as_posix(), "test": test_metrics(run_of(plan, stage))}
        for stage in STAGES
    }
    _show(answers[: plan.pipeline.show], console)
    print_line(console, f"\n[bold]Search[/]: {len(queries):,} test questions, {len(searcher.index):,} documents")
    rows = [[name, *(scores.get(metric, "") for metric in quality.METRICS)] for name, scores in searches.items()]
    print_table(console, ["", *quality.METRICS], rows)
    print_line(console, f"[bold]Answers[/]: {len(answers):,} test questions")
    print_table(console, ["", "share"], [[name, share] for name, share in figures.items()])
    record = {
        "format": FORMAT,
        "stages": stages,
        "questions": len(queries),
        "documents": len(searcher.index),
        "search": searches,
        "reranks": reranks,
        "answered": len(answers),
        "answers": figures,
        "examples": [
            {"question": one.question, "passages": one.passages, "answer": one.text, "quoted": one.quoted}
            for one in answers
        ],
    }
    written = folder.write(RESULT, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    print_line(console, f"written: {escape(str(written))}")
    command = f'python -m finetune pipeline {plan.file.as_posix()} --ask "{queries[0]}"'
    print_line(console, f"to ask: {escape(command)}")


def _show(answers: Sequence[Answer], console: Console) -> None:
    """Print questions with their passages and answers."""
    for answer in answers:
        print_line(console, f"\n[bold]{escape(answer.question)}[/]")
        for number, passage in enumerate(answer.passages, 1):
            print_line(console, escape(f"  [{number}] {passage}"))
        doubt = "" if answer.quoted else "  [yellow](no passage stands in it word for word)[/]"
        print_line(console, f"  → {escape(answer.text)}{doubt}")
