"""`torchrun` on the demo: two processes compute what one does, one of them writes, and a killed training goes on."""

import contextlib
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
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
    answers = {"environment": "none", "include_deploy": "yes"}
    project = bake(tmp_path_factory.mktemp("torchrun"), answers, template=repository)
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


TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def start(project: Path, *arguments: str, command: Sequence[str] = TORCHRUN, **more: str) -> subprocess.Popen[str]:
    variables = {"PYTHONPATH": "src", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, *arguments],
        cwd=project,
        env={**os.environ, **variables, **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )


def torchrun(project: Path, *arguments: str) -> str:
    process = start(project, *arguments)
    said, _ = process.communicate(timeout=900)
    assert process.returncode == 0, said
    return said


def metrics(project: Path, run: str) -> list[dict[str, Any]]:
    lines = (project / "runs" / run / "metrics.jsonl").read_text("utf-8").splitlines()
    times = ("examples_per_second", "tokens_per_second", "seconds", "padding")
    return [{name: value for name, value in json.loads(line).items() if name not in times} for line in lines]


def test_two_processes_go_on_where_one_was_killed_and_compute_what_it_would(demo: Path) -> None:
    with contextlib.chdir(demo):
        killed_at_its_second_checkpoint(demo)
        assert main([*TRAIN, "run.name=one"]) == 0
    said = torchrun(demo, "-m", "finetune", *TRAIN, "run.name=two", "--resume")
    assert said.count("resuming from runs/two/checkpoints/step-") == said.count("report: ") == 1
    assert "data parallelism: 2 processes" in said

    assert_same_metrics(demo, "one", "two")
    names = [
        {path.name for path in (demo / "runs" / run).iterdir() if not path.name.startswith("events.")}  # TensorBoard's
        for run in ("one", "two")
    ]
    assert names[0] == names[1]
    assert sorted(path.name for path in (demo / "runs").glob("[!.]*") if path.is_dir()) == ["one", "two"]


def assert_same_metrics(project: Path, one: str, two: str) -> None:
    expected, found = metrics(project, one), metrics(project, two)
    assert len(expected) == len(found) == 9
    for want, got in zip(expected, found, strict=True):
        assert got.pop("kind") == want.pop("kind")
        assert got == pytest.approx(want, rel=1e-3)


# In its first life the second process kills itself in step 15; in its second it is a process like any other.
KILLED_ONCE = """
import os, signal, sys
from finetune.cli import main
from finetune.train import loop

take, taken = loop.optimizer_step, 0

def optimizer_step(*arguments):
    global taken
    taken += 1
    if (os.environ["RANK"], os.environ["TORCHELASTIC_RESTART_COUNT"], taken) == ("1", "0", 15):
        os.kill(os.getpid(), signal.SIGKILL)
    return take(*arguments)

loop.optimizer_step = optimizer_step
sys.exit(main())
"""


def test_torchrun_starts_again_after_the_death_of_a_process_and_the_training_continues(demo: Path) -> None:
    (demo / "killed_once.py").write_text(KILLED_ONCE, "utf-8")
    train = [*TRAIN, "--resume", "auto"]
    with contextlib.chdir(demo):
        assert main([*train, "run.name=whole"]) == 0
    said = torchrun(demo, "--max-restarts", "1", "killed_once.py", *train, "run.name=killed")
    assert said.count("resuming from runs/killed/checkpoints/step-10") == 1
    assert_same_metrics(demo, "whole", "killed")


def test_the_processes_of_two_nodes_start_again_after_the_death_of_one(demo: Path) -> None:
    """By torchrun's options in the TrainJob, with the variables of its runtime: a torchrun for each node, both here."""
    (demo / "killed_once.py").write_text(KILLED_ONCE, "utf-8")
    manifest = yaml.safe_load((demo / "deploy/kubernetes/overlays/train-kubeflow/trainjob.yaml").read_text("utf-8"))
    program, *options = manifest["spec"]["trainer"]["command"]
    assert program == "torchrun"
    with socket.create_server(("localhost", 0)) as free:
        address = {"PET_MASTER_ADDR": "localhost", "PET_MASTER_PORT": str(free.getsockname()[1])}
    runtime = {**address, "PET_NNODES": "2", "PET_NPROC_PER_NODE": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    torchrun = [sys.executable, "-m", "torch.distributed.run", *options[: options.index("-m")]]
    for name, value in address.items():  # Kubernetes fills them in
        torchrun = [option.replace(f"$({name})", value) for option in torchrun]
    train = ("killed_once.py", *TRAIN, "run.name=nodes", "--resume", "auto")
    nodes = [start(demo, *train, command=torchrun, **runtime, PET_NODE_RANK=str(rank)) for rank in range(2)]
    try:
        said = "".join(node.communicate(timeout=300)[0] for node in nodes)
    finally:
        for node in nodes:
            node.kill()
    assert [node.returncode for node in nodes] == [0, 0], said
    assert said.count("resuming from runs/nodes/checkpoints/step-10") == 1


def test_sigterm_saves_and_the_same_command_continues(demo: Path) -> None:
    """Sent to torchrun, which hands it on, as a cluster does before it takes a node away."""
    command = ("-m", "finetune", *TRAIN, "run.name=stopped", "--resume", "auto")
    process = start(demo, *command)
    log = demo / "runs/stopped/metrics.jsonl"
    while not (log.is_file() and log.read_text("utf-8").count("\n") >= 2):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=900)
    assert process.returncode != 0
    assert "interrupted and saved at step" in said
    assert torchrun(demo, *command).count("resuming from runs/stopped/checkpoints/step-") == 1
    if not (demo / "runs/whole").is_dir():
        with contextlib.chdir(demo):
            assert main([*TRAIN, "run.name=whole"]) == 0
    assert [record["step"] for record in metrics(demo, "stopped")] == [
        record["step"] for record in metrics(demo, "whole")
    ]
