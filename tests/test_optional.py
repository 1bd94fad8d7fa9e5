"""Each optional folder of the package can be deleted, alone or with the others: the rest works and passes its tests."""

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from conftest import Bake
from finetune.optional import PARTS
from warm import run

CASES = [*((folder,) for folder in PARTS), tuple(PARTS)]
USERS = {
    "continual": ["configs/continual.yaml"],
    "check_data": [".idea/runConfigurations/Check_data.xml"],
    "serving": [".idea/runConfigurations/Serve.xml"],
    "compare": [".idea/runConfigurations/Compare_last_two_runs.xml"],
    "error_analysis": [".idea/runConfigurations/Errors.xml"],
    "explain": [".idea/runConfigurations/Explain.xml"],
    "pipeline": ["schemas/pipeline.schema.json"],
    "sweep": ["sweeps/demo.yaml", "schemas/sweep.schema.json", ".idea/runConfigurations/Sweep.xml"],
}
"""Files that use an optional folder, beside its tests."""
EVERY_MODULE = """
import pkgutil
import finetune
from importlib import import_module
for module in pkgutil.walk_packages(finetune.__path__, "finetune."):
    if not module.name.endswith("__main__"):
        try:
            import_module(module.name)
        except ModuleNotFoundError as error:
            if error.name.startswith("finetune"):  # another name is that of an extra which is not installed
                raise
"""
FAST_TESTS = ["tests/test_cli.py", "tests/test_project.py"]
"""Those of the fast tests that concern what a verb leaves behind and what a project holds."""


COLLECT = ("pytest", "--quiet", "--collect-only", "-p", "no:cacheprovider", "-m", "")


def own_tests(project: Path, folder: str) -> list[Path]:
    """The tests of an optional folder, by their names."""
    tests = list(project.glob(f"tests/**/test_{folder}*.py"))
    assert tests, f"{folder} has no tests of its own"
    return tests


def delete(project: Path, folders: tuple[str, ...]) -> None:
    """Delete folders as the README says: with their tests, which have their names, and what uses them."""
    for folder in folders:
        shutil.rmtree(project / "src" / "finetune" / folder)
        for path in [*own_tests(project, folder), *(project / name for name in USERS.get(folder, []))]:
            path.unlink()
    if "sweep" in folders:
        mapping = project / ".idea" / "jsonSchemas.xml"
        tree = ElementTree.parse(mapping)
        (entries,) = tree.iter("map")
        (entry,) = [entry for entry in entries if entry.get("key") == "Sweep"]
        entries.remove(entry)
        tree.write(mapping, "UTF-8", xml_declaration=True)
    schema = run(project, "finetune", "schema")
    (project / "schemas" / "config.schema.json").write_text(schema, "utf-8")


@pytest.mark.parametrize("folders", CASES, ids="+".join)
def test_the_rest_works_without(folders: tuple[str, ...], bake_project: Bake) -> None:
    project = bake_project()
    delete(project, folders)
    (project / "every_module.py").write_text(EVERY_MODULE, "utf-8")
    run(project, "every_module")
    others = [path for folder in PARTS if folder not in folders for path in own_tests(project, folder)]
    if others:
        run(project, *COLLECT, *map(str, others))

    schema = json.loads((project / "schemas" / "config.schema.json").read_text("utf-8"))
    keys = {*schema["properties"], *(f"run.{name}" for name in schema["definitions"]["Run"]["properties"])}
    verbs = run(project, "finetune", "--help").split("Commands:")[1]
    for folder, part in PARTS.items():
        for key in part.keys:
            assert (key in keys) == (folder not in folders)
        for verb in part.verbs:
            assert (f"  {verb} " in verbs) == (folder not in folders)
            if folder in folders:
                assert f"No such command '{verb}'" in run(project, "finetune", verb, "latest", code=2)

    run(project, "finetune", "train", "configs/demo.yaml", "train.max_steps=2")
    run(project, "finetune", "evaluate", "latest")
    run(project, "finetune", "predict", "latest", "--text", "a fine day")
    assert (project / "runs/demo/report/index.html").is_file() == ("report" not in folders)


def test_its_key_is_refused_with_the_reason(bake_project: Bake) -> None:
    project = bake_project()
    delete(project, ("continual",))
    config = yaml.safe_load((project / "configs/demo.yaml").read_text("utf-8"))
    (project / "further.yaml").write_text(yaml.safe_dump({**config, "continue_from": "runs/demo"}), "utf-8")
    assert "src/finetune/continual" in run(project, "finetune", "train", "further.yaml", code=2)


def test_the_fast_tests_of_the_rest_pass(bake_project: Bake) -> None:
    project = bake_project()
    delete(project, tuple(PARTS))
    run(project, *COLLECT)
    printed = run(project, "pytest", "--quiet", "--exitfirst", "-p", "no:cacheprovider", *FAST_TESTS)
    assert " passed" in printed
