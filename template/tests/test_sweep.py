"""`finetune sweep`: search spaces, trials on several seeds, resuming, pruning. The trainings are stand-ins."""

import itertools
import json
import math
import random
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, Project

from finetune.cli import main
from finetune.config.load import load_config
from finetune.errors import FAILED, INTERRUPTED, OK
from finetune.files import Folder
from finetune.sweep import outcome
from finetune.sweep import sweep as loop
from finetune.sweep.child import variables_of_slots
from finetune.sweep.json_schema import json_schema
from finetune.sweep.settings import Range, Sweep, read_sweep
from finetune.sweep.space import propose, wanted_trials
from finetune.sweep.state import load_state
from finetune.sweep.study import Study

VARY = {"optim.lr": {"log": [1e-4, 1e-1]}, "optim.warmup": [0.0, 0.1, 0.2]}
STEPS = 4
"""Validations of a training."""


def score(lr: float, warmup: float, seed: int) -> float:
    """What a stand-in learns: best at a learning rate of 0.01, and a little different for each seed."""
    noise = random.Random(f"{lr} {warmup} {seed}").random()
    return 1 / (1 + abs(math.log10(lr) + 2)) - warmup / 10 + noise / 50


class Training:
    """A stand-in for a child process: its training has ended as soon as it is started, with this log."""

    started: list[str]
    """Names of the runs, and of the evaluated ones with their split."""
    fail: Callable[[dict[str, Any]], str]
    """The sentence with which a training of these values fails; empty if it does not."""
    interrupt_at: int
    """The start at which Ctrl-C arrives; 0: never."""

    def __init__(self, arguments: list[str], log: Path, variables: dict[str, str]) -> None:
        verb, target, *rest = arguments
        if len(self.started) + 1 == self.interrupt_at:
            type(self).interrupt_at = 0
            raise KeyboardInterrupt
        if verb == "evaluate":
            self.started.append(f"{Path(target).name} {rest[1]}")
            self.evaluate(Path(target))
            return
        config = load_config(Path(target), [text for text in rest if text not in ("--resume", "auto")])
        self.started.append(str(config.run.name))
        self.reason = self.fail(config.model_dump())
        self.code: int | None = 2 if self.reason else OK
        run = config.run_folder
        run.mkdir(parents=True, exist_ok=True)
        (run / "config.json").write_text(config.model_dump_json())
        (run / "environment.json").write_text(json.dumps({"total_steps": STEPS}))
        final = score(config.optim.lr, config.optim.warmup, config.train.seed)
        records = [
            {"kind": "validation", "step": step, "epoch": 1.0, "loss": 1 - value, "f1_macro": value, "best": True}
            for step, value in ((step, final * step / STEPS) for step in range(1, STEPS + 1))
        ]
        (run / "metrics.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records))

    def evaluate(self, run: Path) -> None:
        config = json.loads((run / "config.json").read_text())
        value = score(config["optim"]["lr"], config["optim"]["warmup"], config["train"]["seed"] + 1000)
        evaluation = {"task": "text-classification", "split": "test", "data": "test.jsonl", "examples": 9, "loss": 1.0,
                      "headline": "accuracy", "lower_is_better": False, "metrics": {"accuracy": value},
                      "baseline": [], "tables": [], "matrices": [], "notes": []}  # fmt: skip
        (run / "evaluation-test.json").write_text(json.dumps(evaluation))
        self.code = OK

    def stop(self) -> None:
        self.code = INTERRUPTED

    def kill(self) -> None:
        pass

    def sentence(self) -> str:
        return self.reason


@pytest.fixture
def trainings(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Training]]:
    """Stand-ins for the child processes."""
    project.config("text-classification")
    Training.started, Training.fail, Training.interrupt_at = [], staticmethod(lambda values: ""), 0
    monkeypatch.setattr(loop, "Child", Training)
    monkeypatch.setattr(outcome, "Child", Training)
    monkeypatch.setattr(outcome, "find_spec", lambda name: None)
    monkeypatch.setattr(loop, "POLL", 0)
    return Training


def write(project: Project, **keys: Any) -> Path:
    """A sweep file."""
    values = {"config": "config.yaml", "vary": VARY, "search": "random", "trials": 5, **keys}
    return project.write("search.yaml", yaml.safe_dump(values, sort_keys=False))


def trials(folder: str = "runs/sweeps/search") -> list[dict[str, Any]]:
    """The results of a sweep, the best first."""
    return [json.loads(line) for line in Path(folder, "trials.jsonl").read_text().splitlines()]


def state(folder: str = "runs/sweeps/search") -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path(folder, "sweep.json").read_text())
    return content


# ------------------------------------------------------------------------------------------------------- sweep file


WRONG = {
    "vary: {optim.lrr: [1]}": ("2: unknown key 'optim.lrr': did you mean 'lr'?"),
    "vary: {optim.lr: [0.1, -1]}": "2: 'optim.lr' is -1: input should be greater than 0",
    "vary: {optim.lr: [a]}": "2: 'optim.lr' is \"a\": input should be a valid number",
    "vary: {optim.lr: {log: [1, 100]}}": "2: 'optim.lr' is 100.0: input should be less than or equal to 10",
    "vary: {optim.lr: {log: [0, 1]}}": "2: log is [0.0, 1.0]: write numbers above 0",
    "vary: {optim.lr: {uniform: [1, 0.1]}}": "2: uniform is [1.0, 0.1]: write the lower number first",
    "vary: {optim.lr: {uniform: [1]}}": "2: 'vary.optim.lr.uniform' is ",
    "vary: {optim.lr: {log: [1, 2], int: [1, 2]}}": '2: \'vary.optim.lr\' is {"log": [1, 2], "int": [1, 2]}: write a',
    "vary: {optim.lr: 0.1}": "2: 'vary.optim.lr' is 0.1: write a list of values, or a range: {uniform: [low, high]}",
    "vary: {optim.lr: {log10: [1, 2]}}": "2: 'vary.optim.lr' is {\"log10\": [1, 2]}: write a list of values",
    "vary: {optim.lr: []}": "2: 'vary.optim.lr' is an empty list",
    "vary: {optim.lr: [0.1, 0.2, 0.1]}": "2: 'vary.optim.lr' has 0.1 twice: keep one",
    "vary: {train.epochs: {uniform: [1, 4]}}": "2: 'train.epochs' is 2.146: input should be a valid integer",
    "vary: {method.type: [lora, full], method.r: [4]}": "2: unknown key 'method.r'",
    "vary: {run.name: [a]}": "2: 'vary.run.name' cannot vary, because the folders of the trials are named",
    "vary: {train.metric: [mcc]}": "2: 'vary.train.metric' cannot vary, because trials are compared by the same metric",
    "vary: {data.validation: [a.jsonl]}": "2: 'vary.data.validation' cannot vary, because trials are compared on the",
    "vary: {optim.lr: {log: [0.1, 0.2]}}\nsearch: grid": "2: 'vary.optim.lr' is a range, which has no grid",
    "vary: {train.seeds: [[1, 2]]}": "2: 'vary.train.seeds' cannot vary, because a trial is one training for each of",
    "vary: {train.seed: [1, 2]}\nseeds: 2": "2: 'vary.train.seed' varies what seeds sets",
    "vary: {optim.lr: [0.1]}\nmetric: f2": "3: train.metric is f2, which text-classification does not have",
    "vary: {optim.lr: [0.1]}\ntrails: 3": "3: unknown key 'trails': did you mean 'trials'?",
    "vary: {optim.lr: [0.1]}\ntrials: 0": "3: 'trials' is 0: input should be greater than or equal to 1",
    "vary: {optim.lr: [0.1]}\nsearch: bayes": "3: 'search' is \"bayes\": input should be 'grid', 'random' or 'tpe'",
    "vary: {}": "2: 'vary' is {}: dictionary should have at least 1 item",
    "search: grid": "'vary' is missing",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_mistake_is_one_sentence_with_its_line(project: Project, refused: Callable[..., str], text: str) -> None:
    project.config("text-classification")
    project.write("search.yaml", f"config: config.yaml\n{text}\n")
    expected = WRONG[text]
    assert refused("sweep", "search.yaml").startswith(f"search.yaml:{expected}" if expected[0].isdigit() else "search")
    assert expected.lstrip("23: ") in refused("sweep", "search.yaml")
    assert not Path("runs").exists()


def test_the_base_config_must_have_validation_data_and_one_training(
    project: Project, refused: Callable[..., str]
) -> None:
    file = write(project)
    project.config("text-classification", data={"validation": None})
    assert refused("sweep", file).startswith("config.yaml: data.validation is not set")
    values = yaml.safe_load(Path("config.yaml").read_text())
    values["stages"] = [{"name": "one", "data": {**values.pop("data"), "validation": "validation.jsonl"}}]
    project.write("config.yaml", yaml.safe_dump(values))
    assert "config.yaml has stages, and a trial is one training" in refused("sweep", file)
    project.config("text-classification", train={"seeds": [1, 2]})
    assert "config.yaml has train.seeds, and the sweep has seeds of its own: set seeds here" in refused("sweep", file)
    Path("config.yaml").unlink()
    assert "config.yaml" in refused("sweep", file)


def test_overrides_change_the_sweep_and_what_varies(project: Project) -> None:
    project.config("text-classification")
    plan = read_sweep(write(project), ["trials=3", "vary.optim.lr=[1e-3]", "vary.train.max_steps=[2]"])
    assert plan.sweep.trials == 3
    assert plan.sweep.vary["optim.lr"] == (1e-3,)
    assert plan.config({"optim.lr": 1e-3, "train.max_steps": 2, "optim.warmup": 0.0}).train.max_steps == 2


def test_the_schema_is_in_step() -> None:
    shipped = (ROOT / "schemas" / "sweep.schema.json").read_text(encoding="utf-8")
    assert shipped == json_schema(), "run `python -m finetune sweep --schema > schemas/sweep.schema.json`"


# ----------------------------------------------------------------------------------------------------- search space


def sweep_of(vary: dict[str, Any], **keys: Any) -> Sweep:
    return Sweep.model_validate({"config": "config.yaml", "vary": vary, **keys})


def test_a_grid_has_all_combinations_once() -> None:
    sweep = sweep_of({"a": [1, 2], "b": ["x", "y", [0]]}, search="grid")
    assert wanted_trials(sweep) == 6
    drawn = [propose(sweep, number, [], 0) for number in range(1, 7)]
    assert drawn == [{"a": a, "b": b} for a, b in itertools.product([1, 2], ["x", "y", [0]])]
    assert wanted_trials(sweep_of({"a": [1, 2]}, search="grid", trials=1)) == 1


def test_random_draws_are_within_bounds_evenly_and_never_twice() -> None:
    vary = {"a": {"uniform": [-1, 3]}, "b": {"log": [1e-4, 1e-2]}, "c": {"int": [2, 4]}, "d": ["x", "y"]}
    sweep = sweep_of(vary)
    drawn = [propose(sweep, number, [], 7) for number in range(1, 2001)]
    assert all(-1 <= d["a"] <= 3 and 1e-4 <= d["b"] <= 1e-2 and d["c"] in (2, 3, 4) for d in drawn)
    assert statistics.fmean(d["a"] for d in drawn) == pytest.approx(1, abs=0.1)
    assert statistics.fmean(math.log10(d["b"]) for d in drawn) == pytest.approx(-3, abs=0.05)
    assert {d["c"] for d in drawn} == {2, 3, 4}
    assert drawn == [propose(sweep, number, [], 7) for number in range(1, 2001)]
    assert drawn[0] != propose(sweep, 1, [], 8)
    finite = sweep_of({"a": {"int": [1, 3]}, "b": [True, False]}, trials=50)
    before: list[dict[str, Any]] = []
    for number in range(1, wanted_trials(finite) + 1):
        before.append(propose(finite, number, before, 0))
    assert len({json.dumps(setting) for setting in before}) == 6


# ------------------------------------------------------------------------------------------------------------ trials


def test_the_mean_over_seeds_chooses_and_the_test_is_looked_at_once(
    project: Project, trainings: type[Training], capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(project, seeds=3)
    assert main(["sweep", str(file)]) == OK
    found = trials()
    expected = {
        trial["trial"]: [score(trial["optim.lr"], trial["optim.warmup"], seed) for seed in (42, 43, 44)]
        for trial in found
    }
    assert [trial["trial"] for trial in found] == sorted(expected, key=lambda n: -statistics.fmean(expected[n]))
    for trial in found:
        assert trial["values"] == pytest.approx(expected[trial["trial"]])
        assert trial["mean"] == pytest.approx(statistics.fmean(expected[trial["trial"]]))
        assert trial["spread"] == pytest.approx(statistics.stdev(expected[trial["trial"]]))
    best = found[0]["trial"]
    runs = [f"trial-{number}-seed-{seed}" for number in range(1, 6) for seed in (42, 43, 44)]
    assert trainings.started == [*runs, *(f"trial-{best}-seed-{seed} test" for seed in (42, 43, 44))]
    assert all((Path("runs/sweeps/search") / run / "config.json").is_file() for run in runs)
    printed = capsys.readouterr().out
    assert f"Best: trial {best} of 5" in printed
    looked = [score(found[0]["optim.lr"], found[0]["optim.warmup"], seed) for seed in (1042, 1043, 1044)]
    assert f"Test: accuracy {statistics.fmean(looked):.4f} ± {statistics.stdev(looked):.4f}" in printed

    assert main(["sweep", str(file)]) == OK
    assert len(trainings.started) == 18, "what has ended is not repeated, and the test is not looked at again"


def test_trials_that_tie_are_named(
    project: Project, trainings: type[Training], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "score", lambda *_: 0.25)
    assert main(["sweep", str(write(project)), "trials=3", "seeds=1"]) == 0
    printed = capsys.readouterr().out
    assert "Best: trial 1 of 3 that finished (the same f1_macro: 2, 3): " in printed
    assert printed.count(" best") == 3 + 1, "three rows, and the config of the best"


def test_the_loss_is_minimized(project: Project, trainings: type[Training]) -> None:
    assert main(["sweep", str(write(project, metric="loss"))]) == OK
    means = [trial["mean"] for trial in trials()]
    assert means == sorted(means)
    assert json.loads(Path("runs/sweeps/search/trial-1-seed-42/config.json").read_text())["train"]["metric"] == "loss"


def test_the_best_config_is_that_of_the_best_run(project: Project, trainings: type[Training]) -> None:
    assert main(["sweep", str(write(project, vary={**VARY, "method": [{"type": "lora", "r": 4}]}))]) == OK
    best = load_config(Path("runs/sweeps/search/best.yaml"))
    run = load_config(Path(trials()[0]["runs"][0]) / "config.json")
    assert best.model_copy(update={"run": run.run}) == run
    assert best.run_folder == Path("runs/search-best")


@pytest.mark.parametrize("search", ["grid", "random", "tpe"])
@pytest.mark.parametrize("moment", [1, 2, 5, 8, 12])
def test_it_goes_on_where_it_was_interrupted(
    project: Project, trainings: type[Training], search: str, moment: int
) -> None:
    if search == "tpe":
        pytest.importorskip("optuna")
    vary = {"optim.lr": [1e-3, 1e-2, 0.1], "optim.warmup": [0.0, 0.1]} if search == "grid" else VARY
    file = write(project, vary=vary, search=search, seeds=2, trials=6)
    assert main(["sweep", str(file), "name=whole"]) == OK
    whole, trainings.started[:] = [*trainings.started], []
    trainings.interrupt_at = moment
    assert main(["sweep", str(file), "name=cut"]) == INTERRUPTED
    assert main(["sweep", str(file), "name=cut"]) == OK
    assert trainings.started == whole
    for one, other in zip(trials("runs/sweeps/whole"), trials("runs/sweeps/cut"), strict=True):
        assert {**one, "runs": []} == {**other, "runs": []}
    assert state("runs/sweeps/whole")["trials"] == state("runs/sweeps/cut")["trials"]


def test_tpe_learns(project: Project, trainings: type[Training]) -> None:
    pytest.importorskip("optuna")
    assert main(["sweep", str(write(project, search="tpe", trials=30))]) == OK
    order = sorted(trials(), key=lambda trial: trial["trial"])
    far = [abs(math.log10(trial["optim.lr"]) + 2) for trial in order]
    assert statistics.fmean(far[20:]) < 0.7 * statistics.fmean(far[:10])


def test_the_important_key_has_the_largest_share(project: Project, trainings: type[Training]) -> None:
    pytest.importorskip("optuna")
    file = write(project, trials=20, vary={**VARY, "optim.beta1": [0.8, 0.9]})
    assert main(["sweep", str(file)]) == OK
    plan = read_sweep(file)
    shares = Study(plan, load_state(plan, Folder(plan.folder))).importances()
    assert next(iter(shares)) == "optim.lr"
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["optim.beta1"] < 0.1
    assert (drawn := outcome.draw_importance(plan, load_state(plan, Folder(plan.folder)), Folder(plan.folder)))
    assert drawn.is_file()


@pytest.mark.parametrize("prune", ["median", "hyperband"])
def test_pruned_trials_are_stopped_and_not_chosen(project: Project, trainings: type[Training], prune: str) -> None:
    pytest.importorskip("optuna")
    file = write(project, trials=16, prune=prune, seeds=2)
    assert main(["sweep", str(file), "name=whole"]) == OK
    found = trials("runs/sweeps/whole")
    endings = [trial["state"] for trial in found]
    assert 3 < endings.count("pruned") < 13
    assert found[0]["state"] == "finished"
    pruned = [trial for trial in state("runs/sweeps/whole")["trials"] if trial["runs"][0]["ending"] == "pruned"]
    assert all(len(trial["runs"][0]["curve"]) < STEPS for trial in pruned)
    assert not {f"trial-{trial['number']}-seed-43" for trial in pruned} & {*trainings.started}
    trainings.started[:], trainings.interrupt_at = [], 9
    assert main(["sweep", str(file), "name=cut"]) == INTERRUPTED
    assert main(["sweep", str(file), "name=cut"]) == OK
    assert state("runs/sweeps/whole")["trials"] == state("runs/sweeps/cut")["trials"]


def test_a_trial_that_fails_is_recorded_and_the_others_go_on(
    project: Project, trainings: type[Training], capsys: pytest.CaptureFixture[str]
) -> None:
    trainings.fail = staticmethod(lambda values: "out of memory" if values["optim"]["warmup"] == 0.1 else "")
    file = write(project, vary={"optim.warmup": [0.0, 0.1, 0.2]}, search="grid", seeds=2)
    assert main(["sweep", str(file)]) == OK
    assert [(trial["trial"], trial["state"]) for trial in trials()] == [(1, "finished"), (3, "finished"), (2, "failed")]
    assert trials()[-1]["error"] == "out of memory"
    assert "trial 2/3 seed 42: failed: out of memory" in capsys.readouterr().out
    trainings.fail = staticmethod(lambda values: "")
    assert main(["sweep", str(file)]) == OK
    assert [trial["state"] for trial in trials()] == ["finished"] * 3


def test_it_stops_if_all_fail_alike(project: Project, trainings: type[Training], refused: Callable[..., str]) -> None:
    trainings.fail = staticmethod(lambda values: f"{values['run']['name']}: train.jsonl: is missing")
    assert "all trials fail alike" in (said := refused("sweep", write(project)))
    assert said.endswith("trial-1-seed-42: train.jsonl: is missing")
    assert len(trainings.started) == 3


def test_it_ends_with_1_if_no_trial_finishes(project: Project, trainings: type[Training]) -> None:
    trainings.fail = staticmethod(lambda values: f"bad: {values['optim']['lr']}")
    assert main(["sweep", str(write(project))]) == FAILED
    assert [trial["state"] for trial in trials()] == ["failed"] * 5


def test_more_trials_and_seeds_may_be_added_and_nothing_else(
    project: Project, trainings: type[Training], refused: Callable[..., str]
) -> None:
    file = write(project)
    assert main(["sweep", str(file)]) == OK
    assert main(["sweep", str(file), "trials=7", "seeds=2"]) == OK
    assert [len(trial["values"]) for trial in trials()] == [2] * 7
    changed = refused("sweep", file, "vary.optim.warmup=[0.3]")
    assert "search.yaml: vary.optim.warmup has changed since the sweep in runs/sweeps/search was" in changed
    project.config("text-classification", train={"epochs": 9})
    assert refused("sweep", file).startswith("config.yaml: train.epochs has changed since the sweep")


def test_a_damaged_state_and_the_folder_of_a_run_are_refused(
    project: Project, trainings: type[Training], refused: Callable[..., str]
) -> None:
    file = write(project)
    assert main(["sweep", str(file), "trials=1"]) == OK
    state = json.loads(Path("runs/sweeps/search/sweep.json").read_text())
    state["trials"][0]["runs"][0]["value"] = None
    for content in ({"trials": 3}, state):
        project.write("runs/sweeps/search/sweep.json", json.dumps(content))
        assert refused("sweep", file).startswith("runs/sweeps/search/sweep.json: is damaged (")
    assert "is the folder of a run" in refused("sweep", file, "dir=runs/sweeps/search", "name=trial-1-seed-42")


def test_cores_and_gpus_are_shared_out(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config(project.config("text-classification"), ["train.device=cpu"])
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {*range(8)}, raising=False)
    assert variables_of_slots(config, 1) == [{}]
    assert variables_of_slots(config, 3) == [{"OMP_NUM_THREADS": "2"}] * 3
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    on_gpu = load_config(Path("config.yaml"), ["train.device=auto"])
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in variables_of_slots(on_gpu, 3)] == ["2", "5", "2"]


def test_optuna_is_asked_for_only_where_it_is_needed(
    project: Project, trainings: type[Training], refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = "finetune.packages.find_spec"
    monkeypatch.setattr(found, lambda name: None)
    assert main(["sweep", str(write(project))]) == OK
    file = write(project, search="tpe", name="other")
    assert refused("sweep", file).endswith("needs optuna: pip install -c constraints.txt optuna")
    assert isinstance(read_sweep(file).sweep.vary["optim.lr"], Range)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"values": {}}, "trial 1 has other keys than the sweep"),
        ({"values": {"optim.lr": "../../x"}}, "trial 1: argument"),
        ({"runs": [{"name": "../../x", "seed": 1}]}, "trial 1 names no folders of runs in it"),
        ({"runs": []}, "trial 1 names no folders of runs in it"),
    ],
)
def test_a_state_from_somebody_else_names_no_other_folders(
    change: dict[str, Any], said: str, project: Project, refused: Callable[..., str]
) -> None:
    """A lock would be made beside the folder of each run."""
    project.config("text-classification")
    project.write("search.yaml", yaml.safe_dump({"config": "config.yaml", "vary": {"optim.lr": [0.1, 0.2]}}))
    plan = read_sweep(Path("search.yaml"))
    plan.folder.mkdir(parents=True)
    trial = {"number": 1, "values": {"optim.lr": 0.1}, "runs": [{"name": "trial-1-seed-1", "seed": 1}]} | change
    state = json.loads(load_state(plan, Folder(plan.folder)).model_dump_json()) | {"trials": [trial]}
    (plan.folder / "sweep.json").write_text(json.dumps(state))
    before = sorted(Path().rglob("*"))
    assert f"sweep.json: {said}" in refused("sweep", "search.yaml")
    assert {path.name for path in {*Path().rglob("*")} - {*before}} <= {"logs", ".lock"}
