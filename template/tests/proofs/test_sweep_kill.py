"""A sweep that is killed or stopped at any moment goes on, and its results are those of one that was not."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, Project

from finetune.cli import main
from finetune.run.folder import RunFolder

pytestmark = pytest.mark.skipif(os.name == "nt", reason="there are no such signals on Windows")

STUB = '''
"""A training of moments: a metric that depends on the arguments, logged step by step, resumed where it was killed."""
import json, math, sys, time
from pathlib import Path
from filelock import FileLock

verb, target, *rest = sys.argv[1:]
given = {key: json.loads(value) for key, _, value in (text.partition("=") for text in rest if "=" in text)}
run = Path(given["run.dir"], given["run.name"])
with FileLock(run.with_name(f".{run.name}.lock"), timeout=0):
    run.mkdir(exist_ok=True)
    (run / "config.json").write_text("{}")
    (run / "environment.json").write_text('{"total_steps": 5}')
    log = run / "metrics.jsonl"
    done = log.read_text().count("\\n") if log.exists() else 0
    final = 1 / (1 + abs(math.log10(given["optim.lr"]) + 2)) + given["train.seed"] % 7 / 1000
    for step in range(done + 1, 6):
        record = {"kind": "validation", "step": step, "epoch": 1.0, "loss": 1.0, "f1_macro": final * step, "best": True}
        with log.open("a") as file:
            file.write(json.dumps(record) + "\\n")
        time.sleep(0.02)
'''
DRIVER = """
import sys
from finetune.cli import main
from finetune.sweep import child, sweep

child.COMMAND, sweep.POLL = (sys.executable, "stub.py"), 0.01
sys.exit(main(sys.argv[1:]))
"""


def start(*arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    return subprocess.Popen([sys.executable, *arguments], env=environment, stdout=subprocess.PIPE, text=True)


def state(name: str) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(Path("runs/sweeps", name, "sweep.json").read_text())
    except FileNotFoundError:
        return {"trials": []}
    return content


def ended(name: str) -> int:
    return sum(run["ending"] != "waiting" for trial in state(name)["trials"] for run in trial["runs"])


@pytest.mark.parametrize(
    "keys",
    [
        {"search": "random", "seeds": 2},
        {"search": "random", "parallel": 3},
        {"search": "tpe", "prune": "median", "trials": 12},
    ],
    ids=["random", "parallel", "tpe"],
)
def test_killed_at_random_moments_it_finds_the_same(project: Project, keys: dict[str, Any]) -> None:
    if keys["search"] == "tpe":
        pytest.importorskip("optuna")
    project.config("text-classification", data={"test": None})
    project.write("stub.py", STUB)
    project.write("driver.py", DRIVER)
    values = {"config": "config.yaml", "vary": {"optim.lr": {"log": [1e-4, 1e-1]}}, "trials": 8, **keys}
    project.write("search.yaml", yaml.safe_dump(values))
    whole = start("driver.py", "sweep", "search.yaml", "name=whole")
    assert (whole.communicate()[0], whole.returncode)[1] == 0
    generator, kills = random.Random(0), 0
    while kills < 4:
        sweep = start("driver.py", "sweep", "search.yaml", "name=cut")
        wanted = ended("cut") + generator.randint(1, 2)
        while ended("cut") < wanted and sweep.poll() is None:
            time.sleep(0.005)
        time.sleep(generator.random() * 0.05)
        sweep.kill()
        sweep.communicate()
        kills += 1
    last = start("driver.py", "sweep", "search.yaml", "name=cut")
    assert (last.communicate()[0], last.returncode)[1] == 0
    assert state("cut")["trials"] == state("whole")["trials"]
    table = [Path("runs/sweeps", name, "trials.jsonl").read_text() for name in ("whole", "cut")]
    assert table[0] == table[1].replace("runs/sweeps/cut", "runs/sweeps/whole")
    for log in Path("runs/sweeps/cut").glob("trial-*/metrics.jsonl"):
        steps = [json.loads(line)["step"] for line in log.read_text().splitlines()]
        assert steps == [*range(1, len(steps) + 1)], "a step that was taken is not taken again"


def test_stopped_it_lets_the_training_save_and_resumes_it(project: Project) -> None:
    config = project.config("text-classification", train={"epochs": 40, "eval_every": 2})
    values = {"config": str(config), "vary": {"optim.lr": [1e-3, 1e-2]}, "search": "grid"}
    project.write("search.yaml", yaml.safe_dump(values))
    sweep = start("-m", "finetune", "sweep", "search.yaml")
    log = Path("runs/sweeps/search/trial-1-seed-42/metrics.jsonl")
    while not log.is_file() or log.read_text().count("\n") < 3:
        assert sweep.poll() is None
        time.sleep(0.01)
    sweep.send_signal(signal.SIGTERM)
    printed = sweep.communicate()[0]
    assert sweep.returncode == 130
    assert "to continue: python -m finetune sweep search.yaml" in printed
    assert RunFolder(log.parent).is_interrupted()
    assert [run["ending"] for trial in state("search")["trials"] for run in trial["runs"]] == ["waiting"]

    assert main(["sweep", "search.yaml"]) == 0
    assert "resuming from" in Path("runs/sweeps/search/logs/trial-1-seed-42.txt").read_text()
    assert main(["train", "runs/sweeps/search/best.yaml"]) == 0
    best = json.loads(Path("runs/sweeps/search/trials.jsonl").read_text().splitlines()[0])
    models = [Path(run, "best/model.safetensors").read_bytes() for run in (best["runs"][0], "runs/search-best")]
    assert models[0] == models[1]
    assert Path(best["runs"][0], "evaluation-test.json").is_file()
    others = [run for run in Path("runs/sweeps/search").glob("trial-*") if str(run) != best["runs"][0]]
    assert [run for run in others if (run / "evaluation-test.json").exists()] == []
