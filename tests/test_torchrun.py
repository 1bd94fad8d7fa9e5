"""`torchrun` on the demo: two processes compute what one does, one of them writes, and a killed training goes on."""

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from finetune.cli import main
from finetune.model.tiny import tiny_config, tiny_tokenizer
from ft_template.create.bake import bake
from transformers import BertForSequenceClassification

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked process; this system has no fork")

TRAIN = [
    *("train", "configs/demo.yaml", "model.name=base", "train.device=cpu", "optim.lr=1e-4"),
    *("train.max_steps=30", "train.eval_every=10", "train.log_every=5"),
]


@pytest.fixture(scope="module")
def demo(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo with the weights of a tiny BERT without dropout, of which each process would draw its own."""
    project = bake(tmp_path_factory.mktemp("torchrun"), {"environment": "none"}, template=repository)
    lines = (project / "data/demo/train.jsonl").read_text("utf-8").splitlines()
    tokenizer = tiny_tokenizer("tiny:bert", [json.loads(line)["text"] for line in lines], False)
    config = tiny_config("tiny:bert", tokenizer, 64, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    BertForSequenceClassification(config).save_pretrained(project / "base")
    tokenizer.save_pretrained(project / "base")
    return project


def killed_at_its_second_checkpoint(project: Path) -> None:
    """A training that is killed while it writes a checkpoint: the file system has it, but not yet under its name."""

    def train() -> None:
        sys.addaudithook(kill)
        main([*TRAIN, "run.name=two"])

    def kill(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.rename" and Path(arguments[1]).name == "step-20":
            os.kill(os.getpid(), signal.SIGKILL)

    training = multiprocessing.get_context("fork").Process(target=train)
    training.start()
    training.join()
    assert training.exitcode == -signal.SIGKILL
    assert [path.name for path in (project / "runs/two/checkpoints").glob("step-*[0-9]")] == ["step-10"]


def torchrun(project: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "finetune"]
    variables = {"PYTHONPATH": "src", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [*command, *arguments],
        cwd=project,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=900,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


def metrics(project: Path, run: str) -> list[dict[str, Any]]:
    lines = (project / "runs" / run / "metrics.jsonl").read_text("utf-8").splitlines()
    times = ("examples_per_second", "tokens_per_second", "seconds", "padding")
    return [{name: value for name, value in json.loads(line).items() if name not in times} for line in lines]


def test_two_processes_go_on_where_one_was_killed_and_compute_what_it_would(demo: Path) -> None:
    with contextlib.chdir(demo):
        killed_at_its_second_checkpoint(demo)
        assert main([*TRAIN, "run.name=one"]) == 0
    said = torchrun(demo, *TRAIN, "run.name=two", "--resume")
    assert said.count("resuming from runs/two/checkpoints/step-") == said.count("report: ") == 1
    assert "data parallelism: 2 processes" in said

    one, two = metrics(demo, "one"), metrics(demo, "two")
    assert len(one) == len(two) == 9
    for want, got in zip(one, two, strict=True):
        assert got.pop("kind") == want.pop("kind")
        assert got == pytest.approx(want, rel=1e-3)
    names = [
        {path.name for path in (demo / "runs" / run).iterdir() if not path.name.startswith("events.")}  # TensorBoard's
        for run in ("one", "two")
    ]
    assert names[0] == names[1]
    assert sorted(path.name for path in (demo / "runs").iterdir() if path.is_dir()) == ["one", "two"]
