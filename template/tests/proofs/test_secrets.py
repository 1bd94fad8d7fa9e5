"""No secret of the environment or of `.env` gets into a file, a log or a reply."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from conftest import ROOT, Project, needs

pytestmark = [pytest.mark.proof, needs("serving", "monitor", "export")]

NOWHERE = "127.0.0.1:9"
"""An address at which nothing listens."""
ENVIRONMENT = {
    "HF_TOKEN": "hf_SECRET01",
    "HF_ENDPOINT": f"http://user:SECRET02@{NOWHERE}",
    "HTTPS_PROXY": f"http://user:SECRET03@{NOWHERE}",
    "HTTP_PROXY": f"http://user:SECRET04@{NOWHERE}",
    "NO_PROXY": "127.0.0.1",
    "API_KEY": "SECRET05",
    "FINETUNE_WEBHOOK": f"http://user:SECRET06@{NOWHERE}/services/SECRET07?token=SECRET08",
}
FILE = {
    "WANDB_API_KEY": "SECRET09",
    "MLFLOW_TRACKING_URI": f"http://user:SECRET10@{NOWHERE}",
    "AWS_SECRET_ACCESS_KEY": "SECRET11",
    "OTHER": "https://host/?signature=SECRET12",
}
ALARM = ["--once", "--alarm", "good > 0", "--alarm", "bad > 0", "--window", "2", "--min-count", "1"]
CALLS = [
    ["train", "config.yaml"],
    ["evaluate", "runs/config", "--data", "validation.jsonl"],
    ["predict", "runs/config", "validation.jsonl", "--output", "predictions.jsonl"],
    ["export", "runs/config", "exported"],
    ["monitor", "runs/config", "--input", "validation.jsonl", *ALARM],
    ["push", "runs/config", "team/model"],
    ["fetch", "team/model"],
    ["train", "config.yaml", "model.name=team/model", "run.name=other"],
    ["check-data", "config.yaml"],
    ["doctor"],
]
CODE = """
import json, sys
from finetune.cli import main
for arguments in json.loads(sys.argv[1]):
    print(*arguments, "->", main(arguments), flush=True)
"""


def variables() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.upper() not in ENVIRONMENT}
    return {**kept, **ENVIRONMENT, "PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "0"}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder after all commands, and all that they and the server printed and replied."""
    folder = tmp_path_factory.mktemp("secrets")
    project = Project(folder)
    for name in ("train", "validation"):
        rows = [{"text": f"a {word} film {n}", "label": word} for n in range(6) for word in ("good", "bad")]
        project.write(f"{name}.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    project.config("text-classification", train={"epochs": 1, "device": "cpu"}, run={"name": "config"})
    project.write(".env", "".join(f"{name}={value}\n" for name, value in FILE.items()))
    command = [sys.executable, "-c", CODE, json.dumps(CALLS)]
    done = subprocess.run(
        command, cwd=folder, env=variables(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return folder, done.stdout + served(folder)


def served(folder: Path) -> str:
    """What the server prints, and its replies with the key, without one and with a wrong one."""
    command = [sys.executable, "-m", "finetune", "serve", "runs/config", "--port", "0", "--device", "cpu"]
    child = subprocess.Popen(
        command, cwd=folder, env=variables(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert child.stdout
    lines = []
    for line in child.stdout:
        lines.append(line)
        if found := re.search(r"http://[\d.]+:\d+", line):
            break
    assert found, lines
    for path in ("/info", "/metrics", "/nothing", "/health", "/openapi.json"):
        for key in (ENVIRONMENT["API_KEY"], "wrong", None):
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            try:
                reply = opener.open(urllib.request.Request(found[0] + path, headers=headers), timeout=60)
            except urllib.error.HTTPError as error:
                reply = error
            lines.append(f"{reply.status} {reply.headers} {reply.read().decode()}")
    child.send_signal(signal.SIGINT)
    return "".join([*lines, child.communicate(timeout=60)[0]])


def test_every_command_has_run(said: tuple[Path, str]) -> None:
    codes = re.findall(r"^(\S+) .*-> (\d+)$|^(\S+) -> (\d+)$", said[1], re.MULTILINE)
    found = [(first or verb, int(code or last)) for first, code, verb, last in codes]
    assert [verb for verb, _ in found] == [call[0] for call in CALLS], said[1]
    refused = {"push", "fetch"}
    assert all(code == 0 for verb, code in [found[0], *found[1:5], found[8]]), said[1]
    assert all(code != 0 for verb, code in found if verb in refused), said[1]
    assert "200 " in said[1]
    assert "401 " in said[1]
    assert f"http://{NOWHERE} cannot be reached" in said[1], "the endpoint is shown, without its password"


def test_no_secret_is_printed_or_replied(said: tuple[Path, str]) -> None:
    assert re.findall(r".*SECRET\d\d.*", said[1]) == []


def test_no_secret_is_in_a_file(said: tuple[Path, str]) -> None:
    paths = [path for path in said[0].rglob("*") if path.is_file() and path.name != ".env"]
    assert len(paths) > 20
    assert [path for path in paths if re.search(rb"SECRET\d\d", path.read_bytes())] == []


def test_there_are_twelve_secrets() -> None:
    planted = re.findall(r"SECRET\d\d", json.dumps([ENVIRONMENT, FILE]))
    assert sorted(planted) == [f"SECRET{number:02}" for number in range(1, 13)]
