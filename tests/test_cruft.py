"""A project goes on with its template: what the user did stays, what the template did comes, and both is marked."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import LINK, QUIET, commit_all, cruft, files, git, write_files
from ft_template.create.bake import bake


@pytest.fixture
def template(repository: Path, tmp_path: Path) -> Path:
    """The template in a repository of its own, at version 1."""
    folder = tmp_path / "ft-template"
    for name in ("hooks", "template"):
        shutil.copytree(repository / name, folder / name)
    shutil.copy(repository / "cookiecutter.json", folder)
    (folder / LINK).symlink_to("template", target_is_directory=True)
    commit_all(folder, "Version 1")
    git("tag", "v1", cwd=folder)
    return folder


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def append(path: Path, line: str) -> None:
    path.write_text(f"{path.read_text(encoding='utf-8')}{line}\n", encoding="utf-8")


def version_2(template: Path) -> None:
    edit(template / "cookiecutter.json", '"__template_version": "0.1.0"', '"__template_version": "0.2.0"')
    edit(template / "template/.editorconfig", "max_line_length = 120", "max_line_length = 88")
    append(template / "template/.github/workflows/ci.yml", "# version 2")
    append(template / "template/src/finetune/cli.py", "# version 2")
    append(template / "template/data/demo/README.md", "Version 2")
    (template / "template/.env.example").unlink()
    (template / "template/.idea/runConfigurations/New.xml").write_text("<component />\n")
    commit_all(template, "Version 2")
    git("tag", "v2", cwd=template)


def create(template: Path) -> Path:
    answers = json.dumps({"project_name": "Ours", "environment": "empty"})
    url = template.as_uri()
    result = cruft("create", url, "--checkout", "v1", "--no-input", "--extra-context", answers, cwd=template.parent)
    assert result.returncode == 0, result.stderr
    return template.parent / "ours"


def changed(project: Path) -> set[str]:
    """The files in which, by cruft's account, the project differs from its template."""
    result = cruft("diff", cwd=project)
    assert result.returncode == 0, result.stderr
    return {line.rpartition(" upstream-template-new/")[2] for line in result.stdout.splitlines() if line[:5] == "diff "}


def work(project: Path) -> None:
    """What a user does, and what PyCharm and trainings leave behind."""
    edit(project / ".editorconfig", "max_line_length = 120", "max_line_length = 100")
    edit(project / "src/finetune/cli.py", '"""', '# ours\n"""')
    append(project / "data/demo/README.md", "Ours")
    (project / ".github/workflows/ci.yml").unlink()
    (project / "src/finetune/ours.py").write_text("ours = True\n")
    personal = (".venv/pyvenv.cfg", ".idea/workspace.xml", "runs/train/config.json", "models/ours/config.json")
    write_files(project, dict.fromkeys(personal, "personal"))


def conflicts(project: Path) -> set[str]:
    """The files in which git sees markers of a conflict, by the command that our README names."""
    command = ["git", "diff", "--check"]
    result = subprocess.run(command, cwd=project, env=os.environ | QUIET, capture_output=True, text=True, check=False)
    lines = [line for line in result.stdout.splitlines() if line.endswith("leftover conflict marker")]
    return {line.partition(":")[0] for line in lines}


def test_a_project_follows_its_template(template: Path) -> None:
    project = create(template)
    commit_all(project, "Created")
    assert changed(project) == set()

    work(project)
    commit_all(project, "Our work")
    before = files(project)
    version_2(template)
    assert cruft("check", cwd=project).returncode == 1

    updated = cruft("update", "--skip-apply-ask", cwd=project)
    assert updated.returncode == 0, "cruft is content even where it has left a conflict"
    after = {name: content for name, content in files(project).items() if not name.startswith(".git/")}
    kept = {name: content for name, content in before.items() if name in after and after[name] == content}
    arrived = {name: after[name].decode() for name in after if name not in kept}
    assert set(arrived) == {
        *(".cruft.json", ".ft-template.json", "README.md"),  # these hold the version
        *(".editorconfig", "src/finetune/cli.py", ".idea/runConfigurations/New.xml"),
    }
    assert json.loads(arrived[".ft-template.json"])["version"] == "0.2.0"
    assert arrived["src/finetune/cli.py"].startswith("# ours\n")
    assert arrived["src/finetune/cli.py"].endswith("# version 2\n")
    assert "\nmax_line_length = 100\n=======\nmax_line_length = 88\n" in arrived[".editorconfig"]
    assert ".env.example" in before
    assert not {".env.example", ".github/workflows/ci.yml"} & set(after)
    assert conflicts(project) == {".editorconfig"}

    (project / ".editorconfig").write_bytes(before[".editorconfig"])
    commit_all(project, "Version 2 of the template")
    assert cruft("check", cwd=project).returncode == 0
    assert changed(project) == {".editorconfig", "src/finetune/cli.py"}


def test_a_project_of_cookiecutter_is_linked_by_its_record(template: Path, tmp_path: Path) -> None:
    answers = {"project_name": 'A & "B" \\ 微调 🚀', "task": "chat", "method": "lora", "environment": "none"}
    project = bake(tmp_path, answers, template=template)
    commit_all(project, "Created")
    record = ("--no-input", "--config-file", ".ft-template.json")
    linked = cruft("link", template.as_uri(), "--checkout", "v1", *record, cwd=project)

    assert linked.returncode == 0, linked.stderr
    assert changed(project) == set(), "other answers would have made other files"

    commit_all(project, "Linked")
    version_2(template)
    assert cruft("update", "--skip-apply-ask", cwd=project).returncode == 0
    given = {name: content for name, content in files(project).items() if not name.startswith((".git/", ".cruft"))}
    fresh = files(bake(tmp_path / "fresh", answers, template=template))
    ours = "data/demo/README.md"  # data are the user's: what the template does with them does not come
    assert given.pop(ours) != fresh.pop(ours)
    assert given == fresh
