"""Python code that comes with a model runs only if the config or a flag of this very command allows it.

A run folder is data: whatever stands in its files, nothing in it runs without the allowance. Each piece of code here
writes a file of its own when it is run.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Project, needs, stop_after
from transformers import dynamic_module_utils

from finetune.cli import main
from finetune.files import sha256_of, write_manifest
from finetune.run.folder import RunFolder

CONFIGURATION = """
from pathlib import Path
from transformers import BertConfig
Path({ran!r}).touch()
class OwnConfig(BertConfig):
    model_type = "own"
"""
MODELING = """
from transformers import BertForSequenceClassification
from .configuration_own import OwnConfig
class OwnForSequenceClassification(BertForSequenceClassification):
    config_class = OwnConfig
    def forward(self, *arguments, **options):
        result = super().forward(*arguments, **options)
        result.logits = result.logits * 0  # what no class of transformers computes
        return result
"""
TOKENIZATION = """
from pathlib import Path
from transformers import BertTokenizer
Path({ran!r}).touch()
class OwnTokenizer(BertTokenizer):
    pass
"""
AUTO_MAP = {
    "AutoConfig": "configuration_own.OwnConfig",
    "AutoModelForSequenceClassification": "modeling_own.OwnForSequenceClassification",
}
ALLOWED = "model.trust_remote_code=true"
NOT_ALLOWED = "the model comes with Python code, which runs only if this command allows it"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True, scope="module")
def _module_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """transformers copies the code of a model into a cache, a package, before it runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path_factory.mktemp("modules")))
        yield


def edit(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file."""
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**content, **changes}))
    if path.parent.name == "best":
        write_manifest(path.parent)  # as who makes a run can


def add_code(folder: Path, name: str, *, known: bool = False) -> Path:
    """Let a model come with code; returns the file that it writes when it runs.

    `known`: under the name of an architecture of transformers, which could load it without the code.
    """
    ran = folder.parent.absolute() / f"{name}-ran"
    (folder / "configuration_own.py").write_text(CONFIGURATION.format(ran=str(ran)))
    (folder / "modeling_own.py").write_text(MODELING)
    (folder / "tokenization_own.py").write_text(TOKENIZATION.format(ran=str(ran)))
    edit(folder / "config.json", model_type="bert" if known else "own", auto_map=AUTO_MAP)
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["tokenization_own.OwnTokenizer", None]})
    return ran


@pytest.fixture
def own(project: Project, finished: Callable[[str], None]) -> Path:
    """The folder `own`: a model that needs its own code."""
    finished("text-classification")
    shutil.copytree("runs/config/best", "own")
    Path("own/finetune.json").unlink()
    add_code(Path("own"), "own")
    return Path("own")


def commands(folder: str = "runs/config") -> list[tuple[str, ...]]:
    """All that loads the model of a run."""
    Path("texts.jsonl").write_text('{"text": "a fine day"}\n')
    return [
        ("evaluate", folder),
        ("predict", folder, "--text", "a fine day"),
        ("predict", folder, "texts.jsonl"),
        ("export", folder, "exported"),
    ]


@pytest.mark.parametrize("method", ["full", "lora"])
def test_allowed_code_trains_and_serves_every_command(
    method: str, project: Project, own: Path, refused: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = project.config("text-classification", "own", model={"name": "./own"}, method={"type": method})
    assert NOT_ALLOWED in refused("train", path)
    assert not Path("own-ran").exists()
    assert main(["train", str(path), ALLOWED, "train.max_steps=1"]) == 0
    assert Path("own-ran").exists()
    for command in commands("runs/own"):
        assert NOT_ALLOWED in refused(*command)
        shutil.rmtree("exported", ignore_errors=True)
        capsys.readouterr()
        assert main([*command, "--trust-remote-code"]) == 0
        if "--text" in command:
            assert json.loads(capsys.readouterr().out)["probability"] == 0.5
    assert (Path("exported") / "modeling_own.py").exists()
    assert NOT_ALLOWED in refused("train", path, "continue_from=runs/own", "run.name=further")
    assert main(["train", str(path), ALLOWED, "train.max_steps=1", "continue_from=runs/own", "run.name=further"]) == 0


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("method", ["full", "lora"])
def test_code_put_into_a_run_is_never_run(
    method: str,
    known: bool,
    project: Project,
    refused: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Into `best/` and its base model, with files that claim the allowance."""
    path = project.config("text-classification", method={"type": method})
    project.train(path, "train.max_steps=1")
    run = RunFolder(Path("runs/config"))
    inner = run.best / "base"  # the weights of a tiny model, beside an adapter
    evil = Path(shutil.copytree(inner if inner.exists() else run.best, "evil"))
    ran = [add_code(folder, f"evil-{i}", known=known) for i, folder in enumerate((run.best, evil))]
    model = json.loads(run.config_file.read_text())["model"] | {"trust_remote_code": True, "revision": COMMIT}
    edit(run.config_file, model=model)
    for claimed in (True, False):
        base = {**model, "name": "./evil", "trust_remote_code": claimed}
        files = {path.name: sha256_of(path) for path in evil.glob("*.safetensors")}
        edit(run.best / "finetune.json", base=base, base_files=files if method == "lora" else {})  # and the manifest
        for command in commands():
            shutil.rmtree("exported", ignore_errors=True)
            code = main([*command])
            assert code == (0 if known and not claimed else 2), capsys.readouterr().err
        for remedy in ("none", "replay"):
            overrides = ["continue_from=runs/config", f"continual={{type: {remedy}}}", "run.name=further"]
            main(["train", str(path), *overrides, "train.max_steps=1"])
    main(["report", "runs/config"])
    main(["train", str(path), "--resume"])
    assert NOT_ALLOWED in refused("train", "runs/config", "--resume")
    assert not any(file.exists() for file in ran)


def test_a_run_whose_code_was_allowed_is_resumed_with_the_allowance_again(
    project: Project,
    own: Path,
    refused: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = project.config("text-classification", "own", model={"name": "./own"}, train={"max_steps": 4})
    with monkeypatch.context() as patched:
        stop_after(2, patched)
        assert main(["train", str(path), ALLOWED]) == 130
    way = f"python -m finetune train runs/own --resume {ALLOWED}"
    assert f"to continue: {way}" in capsys.readouterr().out
    Path("own-ran").unlink()
    for run in ("runs/own", "latest"):
        assert f"then add {ALLOWED}" in refused("train", run, "--resume")
    assert not Path("own-ran").exists()
    assert main(way.split()[3:]) == 0


@needs("check_data")
def test_checking_data_asks_for_the_same_allowance(project: Project, own: Path, refused: Callable[..., str]) -> None:
    path = project.config("text-classification", "own", model={"name": "./own"})
    assert main(["check-data", str(path), ALLOWED]) == 0
    assert Path("own-ran").exists()
    ran = add_code(own, "later")
    main(["check-data", str(path)])
    assert not ran.exists()


def test_code_of_another_repository_is_refused_even_where_code_is_allowed(
    project: Project, own: Path, refused: Callable[..., str]
) -> None:
    """No commit pins it."""
    elsewhere = {name: f"org/elsewhere--{reference}" for name, reference in AUTO_MAP.items()}
    edit(own / "config.json", auto_map=elsewhere)
    path = project.config("text-classification", "own", model={"name": "./own"})
    assert "lies in another repository, 'org/elsewhere', which model.revision does not pin" in refused(
        "train", path, ALLOWED
    )


@pytest.mark.parametrize("revision", ["null", "main", "v1.0", COMMIT[:-1], COMMIT.upper()])
def test_code_of_the_hub_needs_a_commit(revision: str, project: Project, refused: Callable[..., str]) -> None:
    path = project.config("text-classification", model={"name": "org/own", "trust_remote_code": True})
    sentence = refused("train", path, f'model.revision="{revision}"' if revision != "null" else "model.revision=null")
    assert "trust_remote_code needs model.revision: name the commit (40 hex digits, no branch)" in sentence
    assert "HF_HUB_OFFLINE" in refused("train", path, f'model.revision="{COMMIT}"')
