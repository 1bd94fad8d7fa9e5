"""Hostile projects: `ft-template check` reports what it finds, whatever lies in the project."""

import base64
import json
import os
import random
import shutil
import socket
import tempfile
import zlib
from collections.abc import Callable
from contextlib import nullcontext, suppress
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from .mutations import mutated, random_place
from .target import ACCEPTED, Target

FILES = (
    "pyproject.toml", ".gitignore", ".idea/.gitignore", ".idea/modules.xml", ".idea/demo-project.iml", ".idea/vcs.xml",
    ".idea/jsonSchemas.xml", ".idea/pyProjectModel.xml", ".idea/dictionaries/project.xml",
    ".idea/runConfigurations/Train.xml", ".idea/runConfigurations/All_tests.xml", ".idea/runConfigurations/New.xml",
    ".idea/runConfigurations/Train__demo____TensorBoard.xml", ".run/New.run.xml", "configs/demo.yaml",
    "configs/train.yaml", "configs/new.yaml", "schemas/config.schema.json", ".vscode/launch.json", ".vscode/tasks.json",
    ".vscode/settings.json", "src/finetune/__main__.py", "setup_env.py", "data/demo/test.jsonl",
)  # fmt: skip
"""Files of a project, and new ones, where `check` looks."""
FOLDERS = (".idea", ".idea/runConfigurations", ".vscode", ".run", "configs", "schemas", "src", "tests", "data")
NEEDED = (".idea", ".vscode", "configs", "schemas", "data/demo", "src/finetune/__main__.py", "tests/conftest.py")
"""What is copied of the project: the rest plays no part in the rules."""
LINKS = ("/dev/zero", "/dev/random", "/dev/tty", "/etc/passwd", "/", ".", "..", "self", "missing", "../../outside.txt")
KINDS = (
    ("bytes",) * 12 + ("value",) * 6 + ("link", "link", "pipe", "socket", "folder", "missing", "large", "many", "deep")
)

PIECES = [
    *(b'"', b"'", b"<", b">", b"&", b"/", b"\\", b"=", b"[", b"]", b"{", b"}", b":", b"#", b"\n", b"\0", b"*", b"!"),
    *(b"\xff\xfe", b"\xef\xbb\xbf", b"\x80", b"\xed\xa0\x80", b"\\ud800", b"\x1b[2J", b"NaN", b"1e999", b"9" * 5000),
    *(b"[" * 3000, b'{"a":' * 3000, b"<a>" * 3000, b"<a/>x" * 3000, b"a." * 3000, b"- " * 2000, b"/*" * 5000),
    *(b'\\"' * 5000, b"&a [*a]", b"<<: *a", b"!!bool x", b"!!timestamp x", b"!!int ''", b"!!python/name:os.system"),
    *(b"2001-99-99", b"? [a]: b", b"<!DOCTYPE a [<!ENTITY b 'b'>]>", b"&b;", b"&#0;", b"<![CDATA["),
    *(b'encoding="gb18030"', b"$PROJECT_DIR$", b"$MODULE_DIR$/..", b"file://", b"/" * 300, b"../" * 50, b"a" * 5000),
    *("日".encode(), "\u202e".encode(), b"tool = 5\n", b"[tool]\nfinetune = []\n", b"where = 3\n", b"**/" * 30, b"$"),
    *(b"[project]\noptional-dependencies = 5\n", b'"$ref": "http://127.0.0.1:9/x",', b'"$ref": "#",'),
    *(b'encoding="utf-7"', b'"pattern": "(",', b"null", b"true", b"5", b"\\u0000"),
]  # fmt: skip
"""What XML, TOML, YAML, JSON, git and the rules give a meaning to."""
VALUES: tuple[Any, ...] = (
    None,
    True,
    5,
    -1.5,
    10**400,
    "",
    "x",
    "\0",
    "\ud800",
    "a" * 5000,
    "/",
    "../..",
    "**/" * 20,
    [],
    {},
    [[]],
    {"a": []},
)


@cache
def original() -> Path:
    """A project, of which each case takes links; of the run configurations and configs, those that cases change."""
    from ft_template.create.bake import bake

    folder = tempfile.mkdtemp(prefix="fuzz-project-")
    answers = {"project_name": "Demo Project", "environment": "none", "editor": "both"}
    project = bake(Path(folder), answers, hooks=False)
    for path in [*project.glob(".idea/runConfigurations/*"), *project.glob("configs/*.yaml")]:
        if path.relative_to(project).as_posix() not in FILES:
            path.unlink()
    return project


def unchanged() -> bytes:
    return b"[]"


def changes(random_: random.Random) -> bytes:
    """One to four changes of a project, in JSON: path, kind, content in base64."""
    steps = []
    for _ in range(random_.randint(1, 4)):
        kind, path = random_.choice(KINDS), random_.choice(FILES)
        content = b""
        if kind in ("folder", "missing", "link", "many", "deep") and random_.random() < 0.3:
            path = random_.choice(FOLDERS)
        elif kind == "bytes":
            content = damaged(path, random_)
        elif kind == "value":
            content = with_another_value(path, random_)
        elif kind == "link":
            content = random_.choice(LINKS).encode()
        elif kind == "large":
            content = random_.choice(PIECES) or b" "
        steps.append([path, kind, base64.b64encode(content).decode()])
    return json.dumps(steps).encode()


def damaged(path: str, random_: random.Random) -> bytes:
    """The file with a few mutations, or a few pieces alone, at times in another encoding."""
    known = original() / path
    seed = known.read_bytes() if known.is_file() and random_.random() < 0.8 else random_.choice(PIECES)
    content = mutated(seed, PIECES, random_)
    if random_.random() < 0.05:
        content = content.decode(errors="replace").encode(
            random_.choice(("utf-16", "utf-16-be", "utf-32", "utf-8-sig"))
        )
    return content


def with_another_value(path: str, random_: random.Random) -> bytes:
    """A document of JSON, YAML or TOML in which one value is another; other files get a few mutations."""
    known, ending = original() / path, Path(path).suffix
    if not known.is_file() or ending not in (".json", ".yaml", ".toml"):
        return damaged(path, random_)
    document = document_of(known)
    for _ in range(random_.randint(1, 3)):
        place, key = random_place(document, random_, stop=0.3)
        place[key] = deepcopy(random_.choice(VALUES))  # a list of them may be changed in the next turn
    if ending == ".toml":
        return toml(document).encode(errors="surrogatepass")
    return json.dumps(document, ensure_ascii=random_.random() < 0.5).encode(
        errors="surrogatepass"
    )  # YAML reads it, too


def document_of(path: Path) -> Any:
    import tomllib

    import yaml
    from ft_template.check.rules.vscode import COMMENT_OR_TEXT

    text = path.read_text(encoding="utf-8")
    if path.suffix == ".toml":
        return tomllib.loads(text)
    if path.suffix == ".yaml":
        return yaml.safe_load(text)
    return json.loads(COMMENT_OR_TEXT.sub(lambda found: found[0] if found[0].startswith('"') else "", text))


def toml(document: dict[str, Any]) -> str:
    """A document with inline tables; null, which TOML lacks, becomes an empty text."""

    def inline(value: Any) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f"{json.dumps(key)} = {inline(inside)}" for key, inside in value.items()) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(map(inline, value)) + "]"
        return '""' if value is None else json.dumps(value, ensure_ascii=False)

    return "".join(f"{json.dumps(key)} = {inline(value)}\n" for key, value in document.items())


def check(content: bytes, folder: Path) -> str:
    """Build the project and check it in this process; a fault must have a place, a message and a remedy.

    A quarter of the cases ask git, whose processes take most of the time.
    """
    from ft_template.check.check import check as check_project

    project = folder / "demo-project"
    build(project)
    for path, kind, encoded in json.loads(content):
        change(project / path, kind, base64.b64decode(encoded))
    with nullcontext() if zlib.crc32(content) % 4 == 0 else patch("shutil.which", return_value=None):  # without git
        faults = check_project(project)
    for fault in faults:
        shown = f"{fault.place}{fault.message}"
        assert fault.message, fault
        assert fault.remedy, fault
        assert shown.isprintable(), fault
        assert "root:x:" not in shown, f"it shows a file outside of the project: {fault}"
    return ACCEPTED


def build(project: Path) -> None:
    for name in NEEDED:
        source = original() / name
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, project / name, copy_function=os.link)
        else:
            os.link(source, project / name)
    for name in ("pyproject.toml", ".gitignore", "setup_env.py"):
        os.link(original() / name, project / name)


def change(path: Path, kind: str, content: bytes) -> None:
    """Replace a file; nothing happens where an earlier change has put a file in the place of its folder."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent.resolve() != path.parent:
            return  # an earlier change made it a link
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        MAKERS[kind](path, content)


def make_socket(path: Path, _: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def make_many(path: Path, _: bytes) -> None:
    path.mkdir()
    for number in range(300):
        (path / f"{number}.run.xml").write_bytes(b"<component/>")


def make_deep(path: Path, _: bytes) -> None:
    for _ in range(200):
        path.mkdir()
        path /= "d"


MAKERS: dict[str, Callable[[Path, bytes], object]] = {
    "bytes": Path.write_bytes,
    "value": Path.write_bytes,
    "large": lambda path, content: path.write_bytes(content * (300_000 // len(content))),
    "link": lambda path, content: path.symlink_to(content.decode()),
    "pipe": lambda path, _: os.mkfifo(path),
    "socket": make_socket,
    "folder": lambda path, _: path.mkdir(),
    "missing": lambda path, _: None,
    "many": make_many,
    "deep": make_deep,
}  # fmt: skip

TARGETS = [Target("check", unchanged, changes, check)]
