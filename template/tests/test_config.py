"""Configs: what is shipped is valid, and every mistake gets one sentence with its place."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import ROOT, Project
from pydantic import BaseModel

from finetune import optional
from finetune.config import config as settings
from finetune.config import continual, methods
from finetune.config.config import Config
from finetune.config.json_schema import json_schema
from finetune.config.load import load_config, read_config
from finetune.errors import UserError
from finetune.section import Section
from finetune.tasks import settings as task_settings


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_shipped_config_is_valid(path: Path) -> None:
    assert load_config(path).run.name == path.stem


def test_shipped_data_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    data = load_config(Path("configs/demo.yaml")).data
    assert all(
        Path(file).is_file() for files in (data.train, data.validation, data.test) for file in files or ("unset",)
    )


def test_schema_file_is_in_step_with_the_models() -> None:
    shipped = (ROOT / "schemas" / "config.schema.json").read_text(encoding="utf-8")
    assert shipped == json_schema(), "run `python -m finetune schema > schemas/config.schema.json`"


def test_config_and_schema_need_no_torch(project: Project) -> None:
    """A mistake in a config is reported at once: importing torch takes seconds."""
    code = (
        "import sys; from pathlib import Path; from finetune.config.json_schema import json_schema; "
        "from finetune.config.load import load_config; load_config(Path(sys.argv[1])); json_schema(); "
        "print({'torch', 'transformers', 'numpy', 'sklearn'} & sys.modules.keys())"
    )
    command = [sys.executable, "-c", code, str(project.config("token-classification").absolute())]
    assert subprocess.run(command, cwd=ROOT / "src", capture_output=True, text=True).stdout == "set()\n"


@pytest.fixture
def no_continual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optional, "is_there", lambda folder: folder != "continual")


@pytest.mark.usefixtures("no_continual")
@pytest.mark.parametrize("key", ["continue_from", "continual", "stages"])
def test_keys_of_a_deleted_folder_are_refused(key: str, project: Project, refused: Callable[..., str]) -> None:
    sentence = f"bad.yaml:7: '{key}' needs src/finetune/continual, which this project has deleted: put the folder back"
    assert sentence in refused("train", project.write("bad.yaml", f"{HEAD}{key}: x\n"))


@pytest.mark.usefixtures("no_continual")
def test_a_run_that_records_their_defaults_is_read(project: Project, refused: Callable[..., str]) -> None:
    config = load_config(project.write("good.yaml", HEAD))
    recorded = project.write("config.json", config.model_dump_json())
    assert load_config(recorded).stages == []
    changed = json.loads(recorded.read_text()) | {"continue_from": "runs/a"}
    assert "'continue_from' needs src/finetune/continual" in refused(
        "train", project.write("config.json", json.dumps(changed)), "--resume"
    )


def test_a_key_inside_a_section_may_need_a_folder(
    project: Project, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optional, "is_there", lambda folder: folder != "track")
    config = project.write("bad.yaml", f"{HEAD}run:\n  name: a\n  track: mlflow\n")
    assert "bad.yaml:9: 'run.track' needs src/finetune/track, which this project has deleted" in refused(
        "train", config
    )
    assert load_config(config, ["run.track=[]"]).run.trackers == []
    schema = json.loads(json_schema())["definitions"]["Run"]["properties"]
    assert "name" in schema
    assert "track" not in schema


@pytest.mark.usefixtures("no_continual")
def test_keys_of_a_deleted_folder_are_not_in_the_schema() -> None:
    text = json_schema()
    assert [name for name in ("stages", "continue_from", "Replay", "Ewc", "Stage") if f'"{name}"' in text] == []
    assert "data" in json.loads(text)["required"]


def models() -> Iterator[type[BaseModel]]:
    for module in (settings, methods, continual, task_settings):
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Section) and value.__module__ == module.__name__:
                yield value


@pytest.mark.parametrize("model", list(models()), ids=lambda model: model.__name__)
def test_every_field_is_described(model: type[BaseModel]) -> None:
    assert all(field.description for field in model.model_fields.values())


def test_schema_describes_nested_fields() -> None:
    schema = json.loads(json_schema())
    assert schema["definitions"]["Optim"]["properties"]["lr"]["description"].startswith("Learning rate at its peak")
    assert schema["additionalProperties"] is False


def test_overrides_are_read_as_yaml_and_win(project: Project) -> None:
    path = project.config("text-classification")
    config = load_config(path, ["train.epochs=7", "optim.lr=3e-4", "method.type=head", "train.eval_every=5"])
    assert (config.train.epochs, config.optim.lr, config.method.type, config.train.eval_every) == (7, 3e-4, "head", 5)


def test_section_of_comments_means_its_defaults(project: Project) -> None:
    path = project.config("text-classification")
    path.write_text(path.read_text() + "run:\n  # name: later\n")
    assert load_config(path).run.name == "config"


def test_resolved_config_reads_back(project: Project) -> None:
    config = load_config(project.config("token-classification"))
    path = project.write("config.json", config.model_dump_json())
    assert read_config(path) == config


def test_config_cannot_be_changed(project: Project) -> None:
    config = load_config(project.config("text-classification"))
    with pytest.raises(ValueError, match="frozen"):
        config.train = settings.Train()  # type: ignore[misc]


BAD_CONFIGS = {
    "misspelt key": ("train:\n  epoch: 3\n", "bad.yaml:8: unknown key 'train.epoch': did you mean 'epochs'?"),
    "misspelt section": ("tarin: {epochs: 3}\n", "bad.yaml:7: unknown key 'tarin': did you mean 'train'?"),
    "unlike any key": (
        "optim: {zzz: 1}\n",
        "bad.yaml:7: unknown key 'optim.zzz': known keys here are name, embeddings, frozen_layers, lr,",
    ),
    "out of bounds": ("optim:\n  lr: -1\n", "bad.yaml:8: 'optim.lr' is -1: input should be greater than 0"),
    "wrong type": (
        "train:\n  epochs: many\n",
        "bad.yaml:8: 'train.epochs' is \"many\": input should be a valid integer",
    ),
    "unknown choice": (
        "optim:\n  name: adam\n",
        "bad.yaml:8: 'optim.name' is \"adam\": input should be 'adamw', 'adamw8bit', 'paged_adamw8bit' or 'sgd'",
    ),
    "unknown method": (
        "method: {type: lora2}\n",
        "bad.yaml:7: 'method.type' is 'lora2', which is none of 'full', 'head'",
    ),
    "no method type": ("method: {kind: full}\n", "bad.yaml:7: 'method.type' is missing: choose one of 'full', 'head'"),
    "key given twice": ("train: {epochs: 3}\ntrain: {epochs: 4}\n", "bad.yaml:8: 'train' is given twice: keep one"),
    "not YAML": ("train: {epochs: 3\n", "bad.yaml:8: this is not YAML"),
    "tab for indentation": ("train:\n\tepochs: 3\n", "bad.yaml:8: this is not YAML"),
    "unpinned remote code": ("", "trust_remote_code needs model.revision"),
    "option of another task": ("", "unknown key 'task.stride'"),
    "interval of zero": ("train: {eval_every: 0}\n", "bad.yaml:7: eval_every must be 1 or more"),
    "name that is a path": ("run: {name: ../x}\n", "bad.yaml:7: 'run.name' is \"../x\""),
}
HEAD = "task:\n  type: text-classification\nmodel:\n  name: tiny:bert\ndata:\n  train: train.jsonl\n"


@pytest.mark.parametrize("kind", BAD_CONFIGS)
def test_bad_config_is_refused(kind: str, project: Project, refused: Callable[..., str]) -> None:
    text, sentence = BAD_CONFIGS[kind]
    head = HEAD
    if kind == "unpinned remote code":
        head = head.replace("name: tiny:bert", "name: tiny:bert\n  trust_remote_code: true")
    if kind == "option of another task":
        head = head.replace("type: text-classification", "type: text-classification\n  stride: 3")
    assert sentence in refused("train", project.write("bad.yaml", head + text))
    assert not (project.folder / "runs").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{a: b}: c\n", "bad.yaml:1: a key must be a word"),
        ("model: {name: tiny:bert}\ndata: {train: x}\n", "bad.yaml:1: 'task' is missing"),
        ("task: {type: text-classification}\nmodel: {}\ndata: {train: x}\n", "bad.yaml:2: 'model.name' is missing"),
        ("- a\n- b\n", "bad.yaml:1: a config is a mapping"),
        ("", "bad.yaml:1: a config is a mapping"),
        ("task: {type: poetry}\nmodel: {name: x}\ndata: {train: x}\n", "'task.type' is 'poetry', which is none of"),
    ],
)
def test_incomplete_config_is_refused(text: str, sentence: str, project: Project, refused: Callable[..., str]) -> None:
    assert sentence in refused("train", project.write("bad.yaml", text))


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("train.epochs", "argument 'train.epochs': write an override as key.sub=value"),
        ("train.epoch=3", "argument 'train.epoch=3': unknown key 'train.epoch': did you mean 'epochs'?"),
        ("train.epochs=0", "argument 'train.epochs=0': 'train.epochs' is 0"),
        ("train.epochs={", "argument 'train.epochs={': the value is not YAML"),
    ],
)
def test_bad_override_is_refused(override: str, sentence: str, project: Project, refused: Callable[..., str]) -> None:
    assert sentence in refused("train", project.config("text-classification"), override)


def test_missing_and_misencoded_config_are_refused(project: Project, refused: Callable[..., str]) -> None:
    assert "nowhere.yaml: cannot be read" in refused("train", "nowhere.yaml")
    assert "is not UTF-8" in refused("train", project.write("bad.yaml", "name: caf\xe9".encode("latin-1")))


def test_all_mistakes_are_counted(project: Project) -> None:
    path = project.write("bad.yaml", HEAD + "train: {epochs: -1, seed: -1}\n")
    with pytest.raises(UserError, match=r"\(and 1 more\)"):
        load_config(path)


def test_config_of_another_version_names_its_key(project: Project) -> None:
    config = json.loads(load_config(project.config("text-classification")).model_dump_json())
    config["train"]["novelty"] = 1
    with pytest.raises(UserError, match=r"train\.novelty.*another version"):
        read_config(project.write("config.json", json.dumps(config)))
    assert Config.model_fields
