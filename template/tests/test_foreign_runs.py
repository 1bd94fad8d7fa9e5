"""A run folder of somebody else: nothing in it lets a command read or write other files, or ask the network.

That no code in it is run is held by test_remote_code.
"""

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Project, needs, save_base_model
from safetensors.torch import save_file

from finetune.cli import main
from finetune.config.load import load_config
from finetune.files import sha256_of, write_manifest
from finetune.run import named_files
from finetune.run.folder import RunFolder
from finetune.train.resume import with_same_choices

TASK = "text-classification"
RUN = Path("runs/config")
ROW = '{"text": "a fine day", "label": "good"}\n'
WORD = "topsecret"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def edit(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file."""
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**content, **changes}))
    if path.parent.name == "best":
        write_manifest(path.parent)  # as who makes a run can


def edit_config(**sections: dict[str, Any]) -> None:
    """Change sections of the config of the run."""
    content = json.loads((RUN / "config.json").read_text())
    edit(RUN / "config.json", **{name: content[name] | changes for name, changes in sections.items()})


@pytest.fixture
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside of the project."""
    return tmp_path_factory.mktemp("outside")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was asked of the network, which does not answer."""
    found: list[Any] = []

    def refuse(*arguments: Any, **_: Any) -> Any:
        found.append(arguments)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return found


def files_below(folder: Path) -> dict[str, bytes | None]:
    """The content of each file in a folder."""
    return {path.as_posix(): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def commands() -> list[list[str]]:
    """All that loads the model of the run."""
    Path("texts.jsonl").write_text('{"text": "a fine day"}\n')
    return [
        ["evaluate", str(RUN)],
        ["predict", str(RUN), "--text", "a fine day"],
        ["predict", str(RUN), "texts.jsonl"],
        ["export", str(RUN), "exported"],
        ["push", str(RUN), "org/name", "--dry-run"],
        ["monitor", str(RUN), "--input", "texts.jsonl", "--once"],
        ["train", "config.yaml", f"continue_from={RUN}", "run.name=further"],
    ]


@needs("export", "monitor", "continual")
@pytest.mark.parametrize(
    "named",
    [{"vocab": "{}"}, {"init_inputs": ["{}"]}, {"vocab_file": "{}"}, {"gguf_file": "{}"}, {"tokenizer_file": "{}"}],
    ids=lambda named: next(iter(named)),
)
def test_a_tokenizer_is_read_from_its_own_files(
    named: dict[str, Any], project: Project, outside: Path, finished: Callable[[str], None], refused: Callable[..., str]
) -> None:
    """The library opens what `tokenizer_config.json` names; `export` would write its content, and `push` upload it."""
    finished(TASK)
    project.config(TASK)
    secret = outside / "secret.txt"
    secret.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", WORD]))
    values = json.loads(json.dumps(named).replace("{}", str(secret)))
    edit(RUN / "best/tokenizer_config.json", tokenizer_class="BertTokenizer", **values)
    (RUN / "best/tokenizer.json").unlink()
    write_manifest(RUN / "best")
    for command in commands():
        assert f"{next(iter(named))} in tokenizer_config.json names a file" in refused(*command)
    assert not any(WORD.encode() in (content or b"") for content in files_below(Path()).values())


def test_paths_of_the_machine_of_a_tokenizer_are_passed_over(project: Project, finished: Callable[[str], None]) -> None:
    """Many old files have them."""
    finished(TASK)
    edit(RUN / "best/tokenizer_config.json", tokenizer_file="/root/.cache/tokenizer.json", init_inputs=[])
    assert main(["predict", str(RUN), "--text", "a fine day"]) == 0


@needs("export", "monitor", "continual")
def test_a_whole_model_names_no_base_model(
    project: Project, finished: Callable[[str], None], refused: Callable[..., str], asked: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The library would load the model that `adapter_config.json` names in place of the one beside it."""
    finished(TASK)
    project.config(TASK)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    adapter = {"peft_type": "LORA", "task_type": "SEQ_CLS", "base_model_name_or_path": "org/other"}
    (RUN / "best/adapter_config.json").write_text(json.dumps(adapter))
    save_file({"weight": torch.zeros(1)}, RUN / "best/adapter_model.safetensors")
    for command in commands():
        assert "holds an adapter, not a whole model" in refused(*command)
    assert asked == []


def test_a_saved_model_names_no_kernels(project: Project, finished: Callable[[str], None], asked: list[Any]) -> None:
    """Which transformers would download and run."""
    finished(TASK)
    edit(
        RUN / "best/config.json",
        attn_implementation="org/kernel",
        experts_implementation="deepgemm",
        quantization_config={"quant_method": "eetq"},
    )
    assert main(["predict", str(RUN), "--text", "a fine day"]) == 0
    assert asked == []


@pytest.mark.parametrize("form", ["absolute", "relative", "pattern", "in the run", "hidden", "link"])
def test_data_outside_the_project_are_not_read_for_a_run(
    form: str, project: Project, outside: Path, finished: Callable[[str], None], refused: Callable[..., str]
) -> None:
    """Unless they are what it was trained on."""
    finished(TASK)
    place = {"in the run": RUN, "hidden": Path(".private")}.get(form, outside)
    place.mkdir(exist_ok=True)
    (file := place / "secret.jsonl").write_text(ROW.replace("fine", WORD))
    climbing = Path("/".join([".."] * len(Path.cwd().parts))) / file.relative_to("/") if form == "relative" else file
    if form == "link":  # such as one in another run of the same origin
        (climbing := Path("link.jsonl")).symlink_to(file)
    named = str(file.parent / "*.jsonl") if form == "pattern" else str(climbing)
    edit_config(data={"test": named, "validation": named})
    sentence = "lies outside of the current folder and is not the file that the run recorded"
    assert f"{sentence}: name the file with --data" in refused("evaluate", RUN)
    assert f"{sentence}: resume the run by its config file" in refused("train", RUN, "--resume")
    assert [name for name, content in files_below(Path("runs")).items() if WORD in str(content)] == (
        [file.as_posix()] if form == "in the run" else []
    )
    assert main(["evaluate", str(RUN), "--data", str(file)]) == 0
    edit(RUN / "environment.json", data={"data/elsewhere.jsonl": sha256_of(file)})
    assert main(["evaluate", str(RUN)]) == 0


@needs("continual")
def test_an_earlier_run_is_the_one_that_was_recorded(
    project: Project, outside: Path, finished: Callable[[str], None], refused: Callable[..., str]
) -> None:
    """A replay buffer would be written into it."""
    finished(TASK)
    path = project.config(TASK)
    shutil.copytree(RUN, outside / "other")
    edit(RUN / "config.json", continue_from=str(outside / "other"))
    before = files_below(outside)
    assert "which it went on from, is gone or has changed" in refused(
        "train", path, f"continue_from={RUN}", "continual={type: replay}", "run.name=further"
    )
    assert "is not the run that was recorded" in refused("train", RUN, "--resume")
    assert files_below(outside) == before


def test_a_base_model_is_the_one_that_was_recorded(
    project: Project, outside: Path, refused: Callable[..., str]
) -> None:
    model = save_base_model(project, TASK)
    project.train(project.config(TASK, model=model, method={"type": "lora"}, train={"max_steps": 1}))
    shutil.copytree("base", outside / "base")
    description = json.loads((RUN / "best/finetune.json").read_text())
    for files in ({}, {"model.safetensors": "0" * 64}):
        for name in (str(outside / "base"), "base"):
            edit(RUN / "best/finetune.json", base={**description["base"], "name": name}, base_files=files)
            assert "which is gone or has changed" in refused("predict", RUN, "--text", "a fine day")
    edit(RUN / "best/finetune.json", **description)
    assert main(["predict", str(RUN), "--text", "a fine day"]) == 0


@pytest.mark.parametrize("name", [r"\\server\share\data.jsonl", r"//server/share/data.jsonl", r"\\?\UNC\server\x"])
def test_a_run_names_no_other_machine(
    name: str, project: Project, finished: Callable[[str], None], refused: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Windows would log in there."""
    finished(TASK)
    assert not named_files.names_network(name), "elsewhere it is a path like any other"
    monkeypatch.setattr(named_files, "IS_WINDOWS", True)
    assert named_files.names_network(name)
    assert not named_files.names_network(r"C:\data\train.jsonl")
    edit_config(data={"test": name})
    assert "names" in refused("evaluate", RUN)


@needs("monitor")
def test_a_monitor_truncates_its_own_files_only(
    project: Project, outside: Path, finished: Callable[[str], None]
) -> None:
    finished(TASK)
    (outside / "precious").write_text("precious")
    folder = RUN / "monitor/texts"
    folder.mkdir(parents=True)
    Path("texts.jsonl").write_text('{"text": "a fine day"}\n')
    state = {"input": str(Path("texts.jsonl").resolve()), "state": {}}
    for sizes in ({str(outside / "precious"): 0}, {"../../../../precious": 0}, {"predictions.jsonl": -1}):
        edit(folder / "state.json", **state, sizes=sizes)
        assert main(["monitor", str(RUN), "--input", "texts.jsonl", "--once"]) == 2
    assert (outside / "precious").read_text() == "precious"


def test_the_config_of_a_run_allows_no_code_wherever_it_is_named(
    project: Project, finished: Callable[[str], None]
) -> None:
    """Neither as the config of a command."""
    finished(TASK)
    edit_config(model={"name": "./evil", "trust_remote_code": True})
    assert not load_config(RUN / "config.json").model.trust_remote_code
    assert load_config(RUN / "config.json", ["model.trust_remote_code=true"]).model.trust_remote_code
    assert load_config(project.config(TASK, model={"name": "./own", "trust_remote_code": True})).model.trust_remote_code


def test_allowed_code_is_that_of_the_commit_in_the_config(project: Project, finished: Callable[[str], None]) -> None:
    """Not of another one that the run has recorded."""
    finished(TASK)
    edit(RUN / "environment.json", revision="f" * 40)
    path = project.config(TASK, model={"name": "org/own", "revision": COMMIT, "trust_remote_code": True})
    assert with_same_choices(RunFolder(RUN), load_config(path)).model.revision == COMMIT


@needs("report")
def test_a_report_reads_its_own_data_check(project: Project, outside: Path, finished: Callable[[str], None]) -> None:
    finished(TASK)
    (outside / "x-data").mkdir()
    environment, config = (json.loads((RUN / f"{name}.json").read_text()) for name in ("environment", "config"))
    check = {"data": environment["data"], "where": {}, "model": config["model"]["name"], "max_length": 32}
    (outside / "x-data/data-check.json").write_text(json.dumps(check))  # lacks keys: reading it would be an error
    for name in (str(outside / "x"), f"{'../' * 20}{outside.relative_to('/')}/x"):
        edit_config(run={"name": name})
        assert main(["report", str(RUN)]) == 0
