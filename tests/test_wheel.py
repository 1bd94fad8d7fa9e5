"""The wheel carries the template: installed alone, without the repository, it makes the same project."""

import os
import stat
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from conftest import Bake, files
from front_end import names

BIN = "Scripts" if sys.platform == "win32" else "bin"


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        folder,
    ]
    subprocess.run([*build, repository], check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel; what it depends on is borrowed from this one, lest the test needs a network."""
    folder = tmp_path_factory.mktemp("installed") / ".venv"
    venv.create(folder, with_pip=False, symlinks=sys.platform != "win32")
    python = folder / BIN / "python"
    site = Path(
        subprocess.check_output([python, "-c", "import site; print(site.getsitepackages()[0])"], text=True).strip()
    )
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True)
    (site / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"])
    return folder


def test_the_wheel_holds_the_template_and_no_links(wheel: Path, repository: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        bundle = {
            name.removeprefix("ft_template/bundle/"): archive.read(name)
            for name in archive.namelist()
            if name.startswith("ft_template/bundle/")
        }

    expected = {
        name: content
        for name, content in files(repository).items()
        if name == "cookiecutter.json" or name.startswith(("hooks/", "template/"))
    }
    assert bundle == expected


def test_the_wheel_alone_makes_the_same_project(installed: Path, tmp_path: Path, bake_project: Bake) -> None:
    """The installed template is read-only, and nothing is added to it."""
    (bundle,) = installed.rglob("ft_template/bundle")
    before = names(bundle)
    for path in (bundle, *bundle.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    program = installed / BIN / "ft-template"
    out = tmp_path / "out"
    arguments = ["new", "--no-input", "--set", "environment=none", "--output-dir", out]
    run = subprocess.run(
        [program, *arguments], cwd=installed.parent, env=environment, capture_output=True, text=True, check=False
    )

    assert run.returncode == 0, run.stderr
    made, baked = out / "my-project", bake_project()
    assert files(made) == files(baked)
    assert names(made) == names(baked)
    assert all(path.stat().st_mode & stat.S_IWUSR for path in made.rglob("*")), "the project is the user's to change"
    assert names(bundle) == before


def test_the_wheel_of_a_project_holds_its_pages(tmp_path: Path, bake_project: Bake) -> None:
    project = bake_project()
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    subprocess.run([*build, tmp_path / "dist", project], check=True)
    (built,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        for page in ("finetune/report/page.html.j2", "finetune/serving/page.html"):
            assert archive.read(page) == (project / "src" / page).read_bytes()
