"""Files that the analyses of a run leave, from somebody else: contributions, explanations, baselines, sweeps, trackers.

A case changes one of them. The run is intact otherwise.
"""

import base64
import contextlib
import io
import json
import os
import random
import shutil
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from .mutations import mutated
from .run_folders import PIECES, with_other_values
from .runs import trained
from .target import ACCEPTED, REFUSED, Target

VARY = {"config": "config.json", "vary": {"optim.lr": [0.001, 0.01]}, "search": "grid", "name": "s", "dir": "."}


@cache
def evaluated() -> Path:
    """A run with an evaluation, its contributions, baselines and explanations."""
    from finetune.evaluate import evaluate
    from finetune.explain.explain import RunExplainer
    from finetune.explain.targets import Choice
    from rich.console import Console

    run = trained("text-classification")
    with contextlib.chdir(run.path.parent.parent), contextlib.redirect_stdout(io.StringIO()):
        evaluate(run, "validation", None, Console(quiet=True), trust_remote_code=False)
        RunExplainer(run, Choice(None, None), trust_remote_code=False).explain_split("validation", 1, ["gradients"])
    return run.path


@cache
def original(target: str) -> bytes:
    run = evaluated()
    match target:
        case "compare":
            return (run / "evaluation-validation.safetensors").read_bytes()
        case "explanations":
            return (run / "evaluation-validation.json").read_bytes()
        case "baselines":
            return (run / "baselines.json").read_bytes()
        case "sweep":
            return sweep_of(run).encode()
    return json.dumps({"id": "x", "sent": {"train": 1}, "summary": {"evaluation/validation/loss": 1.0}}).encode()


def sweep_of(run: Path) -> str:
    """The state of a sweep whose trials have ended."""
    from finetune.sweep.settings import read_sweep
    from finetune.sweep.state import FREE_TO_CHANGE, State, Trial, TrialRun

    with contextlib.chdir(run.parent.parent):
        Path("sweep.yaml").write_text(json.dumps({**VARY, "config": str(run / "config.json")}), encoding="utf-8")
        plan = read_sweep(Path("sweep.yaml"))
        runs = [TrialRun(name="trial-1-seed-1", seed=1, ending="finished", value=0.5, step=1, curve=[(1, 0.5)])]
        state = State(metric=plan.metric, lower_is_better=False, sweep={}, base={}, trials=[])
        state.sweep = plan.sweep.model_dump(mode="json", exclude={*FREE_TO_CHANGE, "name", "dir"}, exclude_none=True)
        state.base = plan.base.model_dump(mode="json", exclude={"run"})
        state.trials = [Trial(number=1, values={"optim.lr": 0.001}, runs=runs)]
        return state.model_dump_json()


def valid() -> bytes:
    return b""


def changed(target: str, random_: random.Random) -> bytes:
    content = original(target)
    if target != "compare" and random_.random() < 0.7:
        content = with_other_values(content, random_)
    if target == "compare" or random_.random() < 0.4:
        content = mutated(content, PIECES, random_)
    return base64.b64encode(content)


def use(target: str, content: bytes, folder: Path) -> str:
    """Put the run with the file into the folder, and let the command read it."""
    from finetune.errors import UserError

    run = folder / "runs" / "model"
    shutil.copytree(evaluated(), run, copy_function=os.link)
    data = base64.b64decode(content) if content else original(target)
    try:
        with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
            USES[target](run, data)
    except UserError as error:
        if "\n" in str(error).strip() or ("model" not in str(error) and "sweep" not in str(error)):
            raise AssertionError(f"no sentence with a place: {error}") from error
        return REFUSED
    assert {path.name for path in folder.iterdir()} <= {"runs", "s", "sweep.yaml"}, "it wrote outside of the run"
    return ACCEPTED


def put(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def compare(run: Path, content: bytes) -> None:
    from finetune.run.contributions import read_contributions
    from finetune.run.folder import RunFolder

    put(run / "evaluation-validation.safetensors", content)
    read_contributions(RunFolder(run), next(iter(RunFolder(run).evaluations())))


def explanations(run: Path, content: bytes) -> None:
    from finetune.report import plots
    from finetune.report.report import write_report

    from .run_folders import no_canvas

    put(run / "evaluation-validation.json", content)
    shutil.rmtree(run / "report", ignore_errors=True)
    plots.canvas = no_canvas
    assert "<script" not in write_report(run).read_text(encoding="utf-8")


def baselines(run: Path, content: bytes) -> None:
    from finetune.baselines.learnt import _cached
    from finetune.run.folder import RunFolder

    put(run / "baselines.json", content)
    assert isinstance(_cached(RunFolder(run)), dict)


def sweep(run: Path, content: bytes) -> None:
    """What a sweep reads when it goes on, and writes when it ends."""
    from finetune.files import Folder
    from finetune.sweep.outcome import write_best, write_results
    from finetune.sweep.settings import read_sweep
    from finetune.sweep.show import table
    from finetune.sweep.state import load_state

    Path("sweep.yaml").write_text(json.dumps({**VARY, "config": str(evaluated() / "config.json")}), encoding="utf-8")
    plan, folder = read_sweep(Path("sweep.yaml")), Folder(Path("s"))
    folder.path.mkdir()
    (folder.path / "sweep.json").write_bytes(content)
    state = load_state(plan, folder)
    state.save(folder)
    write_results(state, folder)
    table(plan, state)
    if ranked := state.ranked():
        write_best(plan, state, folder, ranked[0])


def track(run: Path, content: bytes) -> None:
    from finetune.run.folder import RunFolder
    from finetune.run.history import read_history
    from finetune.run.records import read_record
    from finetune.track.follow import Sent, about, evaluations, points_after

    put(run / "tracker-mlflow.json", content)
    state = {"sent": {}, **read_record(RunFolder(run), "tracker-mlflow.json", Sent, "remove the file")}
    about(RunFolder(run))
    points_after(read_history(run / "metrics.jsonl"), state["sent"])
    evaluations(RunFolder(run))


USES: dict[str, Callable[[Path, bytes], None]] = {
    "compare": compare, "explanations": explanations, "baselines": baselines, "sweep": sweep, "track": track,
}  # fmt: skip
TARGETS = [Target(f"run/{name}", valid, partial(changed, name), partial(use, name)) for name in USES]
