"""What is written in a run folder: there and nowhere else, through no link, all or nothing; what is not ours stays."""

import ast
import contextlib
import errno
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Project, needs, stop_after

from finetune import files
from finetune.cli import main
from finetune.errors import UserError
from finetune.files import Folder, damage, is_plain, publish, write_atomic
from finetune.run.folder import _intact, checkpoints_in

TASK = "text-classification"
RUN = Path("runs/config")
SOURCE = Path(files.__file__).parent
FOREIGN = ("step-40 copy 2", "step-40 (1)", "step-9 - Copy", "step-", "step-07", "step-1.bak", "STEP-1", "step-1e9")
"""Folders that file managers and people make beside checkpoints."""
CLUTTER = (".DS_Store", "Thumbs.db", "desktop.ini", "notes.txt~", ".notes.txt.swp", "notes.tmp", "#notes#")


@pytest.fixture
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside of the project, with files that nothing may change."""
    folder = tmp_path_factory.mktemp("outside")
    for name in ("index.html", "loss.svg", "old.png", "precious"):
        (folder / name).write_text(name)
    (folder / "step-1").mkdir()
    (folder / "step-1" / "precious").write_text("precious")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


LINKED = ("report", "predictions", "monitor", "checkpoints", "best", "best.old", "stages")


@needs("report", "monitor")
@pytest.mark.parametrize("name", LINKED)
def test_a_linked_folder_is_not_written_through(
    name: str, project: Project, finished: Callable[[str], None], outside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished(TASK)
    path = project.config(TASK)
    Path("texts.jsonl").write_text('{"text": "a fine day"}\n')
    shutil.rmtree(RUN / name, ignore_errors=True)
    (RUN / name).symlink_to(outside, target_is_directory=True)
    before = contents(outside)
    codes = {
        "report": main(["report", str(RUN)]),
        "predictions": main(["predict", str(RUN), "texts.jsonl"]),
        "monitor": main(["monitor", str(RUN), "--input", "texts.jsonl", "--once"]),
        "checkpoints": main(["train", str(path), "--resume"]),
    }
    codes |= dict.fromkeys(("best", "best.old", "stages"), codes["checkpoints"])
    assert codes[name] == 2
    assert f"{RUN / name}: is a link, which is not followed" in capsys.readouterr().err
    assert contents(outside) == before


@needs("report", "monitor")
@pytest.mark.parametrize("dangling", [False, True])
def test_a_linked_file_is_replaced_or_refused(
    dangling: bool, project: Project, finished: Callable[[str], None], outside: Path
) -> None:
    """What it leads to stays as it is, and is not made."""
    finished(TASK)
    path = project.config(TASK)
    Path("texts.jsonl").write_text('{"text": "a fine day"}\n')
    target = outside / ("missing" if dangling else "precious")
    names = ["report/index.html", "report/loss.svg", "evaluation-test.json", "predictions/texts.jsonl", "metrics.jsonl"]
    names += ["monitor/texts/state.json", "monitor/texts/predictions.jsonl", "monitor/texts/.lock", "stages.json"]
    for name in names:
        (RUN / name).parent.mkdir(exist_ok=True, parents=True)
        (RUN / name).unlink(missing_ok=True)
        (RUN / name).symlink_to(target)
    before = contents(outside)
    for command in (
        ["report", str(RUN)],
        ["evaluate", str(RUN)],
        ["predict", str(RUN), "texts.jsonl"],
        ["monitor", str(RUN), "--input", "texts.jsonl", "--once"],
        ["train", str(path), "--resume"],
        ["train", str(path), "--resume", "run.name=config"],
    ):
        assert main(command) == 2, command
    assert contents(outside) == before


def test_a_run_may_itself_be_a_link(project: Project, finished: Callable[[str], None], outside: Path) -> None:
    """The person has named it, such as one on a larger disk."""
    finished(TASK)
    shutil.move(RUN, outside / "config")
    RUN.symlink_to(outside / "config", target_is_directory=True)
    assert main(["evaluate", str(RUN)]) == 0
    assert main(["train", str(project.config(TASK)), "--resume"]) == 0


@pytest.mark.parametrize("split", ["x/../../outside", "/outside", "a/b", "a\0b"])
def test_a_split_is_a_plain_name(
    split: str, project: Project, finished: Callable[[str], None], refused: Callable[..., str]
) -> None:
    finished(TASK)
    before = contents(Path())
    assert "is no plain name of a file" in refused("evaluate", RUN, "--data", "validation.jsonl", "--split", split)
    assert contents(Path()) == before


@pytest.mark.parametrize(
    "name", [".", "..", ".cache", "a/b", "a\\b", "a.", "a ", " ", "", "a:b", "a\nb", "a\n", "NUL", "com1.x"]
)
def test_a_run_has_a_plain_name(name: str, project: Project, refused: Callable[..., str]) -> None:
    assert not is_plain(name)
    if name:
        assert "run.name" in refused("train", project.config(TASK, run={"name": name}))
        assert "run.name" in refused("train", project.write("..yaml", project.config(TASK).read_text()))
    assert not Path("runs").exists()


@pytest.mark.parametrize("name", ["demo", "demo v1.2", "模型", "a", "a-b_c", "Ünï", "console", "nul1"])
def test_usual_names_are_plain(name: str, tmp_path: Path) -> None:
    assert is_plain(name)
    assert Folder(tmp_path).at(name) == tmp_path / name


@pytest.mark.parametrize("names", [("..", "x"), ("a/../../x",), ("/x",), ("",), (".",), ("a", "..", "x")])
def test_a_folder_is_not_left(names: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no plain name"):
        Folder(tmp_path / "own").at(*names)


@needs("report", "monitor")
def test_what_is_not_ours_is_left_alone(
    project: Project,
    finished: Callable[[str], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In all folders of a run, and beside it: train, resume, rotation, evaluate, report, monitor, doctor, latest."""
    loop = {"epochs": 3, "batch_size": 4, "device": "cpu", "eval_every": 2, "keep_checkpoints": 2}
    path = project.config(TASK, train=loop)
    with monkeypatch.context() as patched:
        stop_after(4, patched)
        assert main(["train", str(path)]) == 130
    Path("texts.jsonl").write_text('{"text": "a fine day"}\n')
    assert main(["monitor", str(RUN), "--input", "texts.jsonl", "--once"]) == 0
    assert main(["report", str(RUN)]) == 0
    folders = [Path("runs"), *(folder for folder in (RUN, *RUN.rglob("*")) if folder.is_dir())]
    for folder in folders:
        for name in CLUTTER:
            (folder / name).write_text("not ours")
        for name in FOREIGN:
            (folder / name).mkdir()
            (folder / name / "progress.json").write_text("not ours")
    for name in ("step-99", "step-40.shards"):
        (RUN / "checkpoints" / name).write_text("a file of that name")
    (RUN / "report" / "mine.svg").write_text("not ours")
    (RUN / "evaluation-test copy.json").write_text('{"split": "test", "anything": 1}')
    whole = ("best", "checkpoints/step-2", "checkpoints/step-4")
    mine = {
        name: content
        for name, content in contents(Path("runs")).items()
        if b"not ours" in content and not any(name.startswith(f"{RUN / one}/") for one in whole)
    }
    capsys.readouterr()
    assert main(["train", "latest", "--resume"]) == 0
    assert f"resuming from {RUN / 'checkpoints/step-4'}" in capsys.readouterr().out
    assert [path.name for path in checkpoints_in(RUN / "checkpoints")] == ["step-9", "step-8"]
    for command in (
        ["evaluate", "latest"],
        ["report", str(RUN)],
        ["predict", "latest", "texts.jsonl"],
        ["monitor", str(RUN), "--input", "texts.jsonl", "--once"],
        ["train", str(path), "--resume", "auto"],
    ):
        assert main(command) == 0, command
    main(["doctor"])
    assert "passed over" not in capsys.readouterr().out
    assert {name: content for name, content in contents(Path("runs")).items() if name in mine} == mine


def test_an_unreadable_folder_changes_nothing(
    project: Project, finished: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its listing and its removal are refused, as to anybody but the superuser."""
    finished(TASK)
    (RUN / "private").mkdir()
    (RUN / "checkpoints" / "step-1").mkdir()
    listing, private = Path.iterdir, {"private", "step-1"}

    def iterdir(path: Path) -> Iterator[Path]:
        if path.name in private:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return listing(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert main(["train", str(project.config(TASK)), "--resume"]) == 0
    assert main(["evaluate", "latest"]) == 0


def test_a_damaged_newer_checkpoint_does_not_push_out_the_new_one(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one checkpoint to keep, it would be the damaged one, whose step is higher."""
    path = project.config(TASK, train={"max_steps": 6, "batch_size": 4, "eval_every": 2, "device": "cpu"})
    with monkeypatch.context() as patched:
        stop_after(4, patched)
        assert main(["train", str(path)]) == 130
    newer = RUN / "checkpoints" / "step-1000"
    shutil.copytree(RUN / "checkpoints" / "step-4", newer)
    (newer / "model.safetensors").write_bytes(b"")
    assert main(["train", str(path), "--resume"]) == 0
    assert [path.name for path in checkpoints_in(RUN / "checkpoints")] == ["step-6"]


def leftover(process: int, name: str = "config.json") -> str:
    return f".{name}.{process}.finetune.tmp"


def test_leftovers_of_killed_processes_are_removed_at_the_next_start(
    project: Project, finished: Callable[[str], None]
) -> None:
    """Those of a living process stay: it is writing."""
    finished(TASK)
    dead, living = 2**22 + 1, os.getppid()
    for folder in (RUN, RUN / "checkpoints", RUN / "report"):
        (folder / leftover(dead)).write_text("")
        (folder / leftover(dead, "best")).mkdir()
        (folder / leftover(os.getpid(), "mine")).write_text("")
        (folder / leftover(living)).write_text("")
    assert main(["train", str(project.config(TASK)), "--resume"]) == 0
    left = [path for path in RUN.rglob("*") if files.TEMPORARY.fullmatch(path.name)]
    assert {path.name for path in left} == {leftover(living)}


def test_a_writer_removes_what_was_left_of_the_same_file(tmp_path: Path) -> None:
    for name in ("a.json", "folder"):
        (tmp_path / leftover(2**22 + 1, name)).mkdir()
        (tmp_path / leftover(os.getpid(), name)).write_text("")
    write_atomic(tmp_path / "a.json", "new")
    publish(tmp_path / "folder", lambda target: (target / "a").write_text("a") and None)
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", "folder"}


@pytest.mark.parametrize("name", ["x", "x" * 250, "模" * 80])
def test_a_failed_write_leaves_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).write_text("old")
    write_atomic(tmp_path / name, "newer")

    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "_sync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(tmp_path / name, "newest")
    assert contents(tmp_path) == {(tmp_path / name).as_posix(): b"newer"}


@needs("report")
def test_a_report_that_fails_leaves_the_one_before(
    project: Project, finished: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
) -> None:
    """As on a full disk, at whichever of its files."""
    finished(TASK)
    before, sync = contents(RUN / "report"), files._sync
    for at in range(4):
        calls = iter(range(99))

        def full(path: Path, at: int = at, calls: Iterator[int] = calls) -> None:
            if next(calls) == at:
                raise OSError(errno.ENOSPC, "No space left on device")
            sync(path)

        with monkeypatch.context() as patched:
            patched.setattr(files, "_sync", full)
            assert "no space left on the disk" in refused("report", RUN)
        assert contents(RUN / "report") == before


def test_a_run_is_made_whole_or_not_at_all(
    project: Project, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
) -> None:
    """A kill between its first two files left a folder that could not be resumed."""
    path = project.config(TASK, train={"max_steps": 1})
    write = Folder.write

    def killed(folder: Folder, name: str, content: str | bytes) -> Path:
        if name == "environment.json":
            raise KeyboardInterrupt
        return write(folder, name, content)

    with monkeypatch.context() as patched:
        patched.setattr(Folder, "write", killed)
        assert main(["train", str(path)]) == 130
    assert [name for name in os.listdir("runs") if not name.startswith(".")] == []
    assert "there is no such run to resume" in refused("train", path, "--resume")
    assert main(["train", str(path), "--resume", "auto"]) == 0
    (RUN / "environment.json").unlink()  # as a kill of an earlier version left it
    assert "environment.json: cannot be read" in refused("train", path, "--resume")


DAMAGED = {
    "missing": lambda file, manifest: file.unlink(),
    "bytes instead of": lambda file, manifest: file.write_bytes(file.read_bytes()[:-1]),
    "has changed since": lambda file, manifest: file.write_bytes(file.read_bytes()[:-1] + b"?"),
    "is no file": lambda file, manifest: (file.unlink(), file.mkdir()),
    "leads to another place": lambda file, manifest: (file.rename(file.with_name("b")), file.symlink_to("b")),
    "manifest.json is missing or damaged": lambda file, manifest: manifest.write_text("[]"),
    "manifest.json lists no files": lambda file, manifest: manifest.write_text("{}"),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_damage_is_named(what: str, tmp_path: Path) -> None:
    folder = tmp_path / "best"
    publish(folder, lambda target: (target / "a").write_text("content") and None)
    (folder / ".DS_Store").write_text("not ours")
    assert damage(folder) is None
    DAMAGED[what](folder / "a", folder / "manifest.json")
    assert what in str(damage(folder))
    assert (damage(folder, checksums=False) is None) == (what == "has changed since")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_not_waited_for(project: Project, finished: Callable[[str], None]) -> None:
    """Neither for its writer nor for its reader."""
    finished(TASK)
    for name in ("metrics.jsonl", "environment.json"):
        (RUN / name).unlink()
        os.mkfifo(RUN / name)
        for open_ in (Folder(RUN).read, Folder(RUN).append):
            with pytest.raises(UserError, match="is no regular file: remove it"):
                open_(name)
    assert main(["report", str(RUN)]) == 0
    assert main(["train", str(project.config(TASK)), "--resume"]) == 2


def test_deep_json_is_no_valid_file(tmp_path: Path) -> None:
    for name in ("manifest.json", "environment.json"):
        (tmp_path / name).write_text("[" * 200_000)
    assert damage(tmp_path) == "manifest.json is missing or damaged"
    with pytest.raises(UserError, match=r"environment.json: not valid JSON \(nested too deeply\): begin anew"):
        Folder(tmp_path).read_object("environment.json", "begin anew")


def test_a_manifest_lists_files_of_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "best"
    publish(folder, lambda target: (target / "a").write_text("content") and None)
    entry = json.loads((folder / "manifest.json").read_text())["a"]
    shutil.copy(folder / "a", tmp_path / "a")
    for name in ("../a", str(tmp_path / "a")):
        (folder / "manifest.json").write_text(json.dumps({name: entry}))
        assert "leads to another place" in str(damage(folder))
    (folder / "manifest.json").write_text(json.dumps({"a": entry["sha256"]}))  # as earlier versions wrote it
    assert damage(folder) is None


WRITES = {
    "": {
        "write_text",
        "write_bytes",
        "unlink",
        "rename",
        "rmdir",
        "mkdir",
        "touch",
        "symlink_to",
        "save_pretrained",
        "save_file",
        "SummaryWriter",
    },
    "os": {
        "replace",
        "rename",
        "remove",
        "unlink",
        "rmdir",
        "mkdir",
        "makedirs",
        "truncate",
        "symlink",
        "link",
        "open",
    },
    "shutil": {"rmtree", "copy", "copy2", "copyfile", "copytree", "move"},
    "tempfile": {"TemporaryDirectory", "NamedTemporaryFile", "mkdtemp", "mkstemp"},
    "torch": {"save"},
}
"""Methods, and functions of modules, that write."""
NEW_FOLDER = {"target", "staging"}
"""Names of the folders that `publish` and `staged` have just made, in which there can be no link."""
ELSEWHERE = {
    "cache_entries.py": {"shutil.rmtree", "self.folder.with_name(f'{self.folder.name}.lock').unlink"},
    "data/hub_files.py": {"note.parent.mkdir"},
    "data/output_file.py": {"path.parent.mkdir"},
    "data/store.py": {"(self._folder / name).open"},
    "export/sentence_transformers.py": {"path.parent.mkdir", "path.write_text"},
    "export/int8.py": {"source.with_name(f'{source.name}.data').unlink"},
    "feature_cache.py": {"self.folder.mkdir", "(self.folder / '.gitignore').write_text", "tempfile.TemporaryDirectory",
                         "tokenizer.save_pretrained"},
    "hub/download.py": {"path.unlink"},
    "hub/fetch.py": {"folder.parent.mkdir", "shutil.rmtree", "partial.mkdir", "(partial / MANIFEST_FILE).write_text",
                     "folder.rmdir", "os.replace"},
    "init_data/pieces.py": {"path.parent.mkdir"},
    "run/log.py": {"SummaryWriter"},
    "sweep/child.py": {"log.open"},
    "train/state_file.py": {"save_file", "path.with_suffix('.json').write_text"},
    "train/sharded_checkpoint.py": {"save_file"},
}  # fmt: skip
"""What writes by itself: caches, models/, data/, an export; and in a run new folders and files, behind a check."""


def writing_calls(source: str) -> Iterator[str]:
    """The functions that a module calls to write, except into a new folder."""
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        function, arguments = call.func, [*call.args, *(keyword.value for keyword in call.keywords)]
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        owner = ast.unparse(function.value) if isinstance(function, ast.Attribute) else ""
        modes = [a.value for a in arguments if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        opens = name == "open" and any(set(mode) & set("wax+") and set(mode) <= set("rwaxbt+") for mode in modes)
        writes = opens or name in WRITES.get(owner, WRITES[""])
        names = {node.id for node in ast.walk(call) if isinstance(node, ast.Name)}
        if writes and not names & NEW_FOLDER:
            yield ast.unparse(function)


def test_one_module_writes_in_runs() -> None:
    found = {
        path.relative_to(SOURCE).as_posix(): {*writing_calls(path.read_text(encoding="utf-8"))}
        for path in SOURCE.rglob("*.py")
        if path != SOURCE / "files.py"
    }
    expected = {module: calls for module, calls in ELSEWHERE.items() if (SOURCE / module).parent.is_dir()}
    assert {module: calls for module, calls in found.items() if calls} == expected


@pytest.mark.parametrize(
    "line",
    ["(run.path / 'a').write_text('')", "open(run.path / 'a', 'w')", "path.open(mode='ab')", "os.replace(a, b)",
     "shutil.rmtree(run.best)", "path.unlink()", "save_file(weights, run.path / 'a')", "torch.save(x, path)"],
)  # fmt: skip
def test_another_module_that_writes_would_be_found(line: str) -> None:
    assert [*writing_calls(line)]
    assert not [*writing_calls("(target / 'a').write_text('')\npath.open('rb')\nopen(path)\nos.path.join('w')")]


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-9])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-9] ^= 16
    file.write_bytes(content)


@needs("export", "monitor", "continual")
@pytest.mark.parametrize("harm", [cut, flip, Path.unlink])
@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "finetune.json"])
def test_a_damaged_model_is_named_or_the_one_before_it_is_used(
    name: str, harm: Callable[[Path], None], project: Project, finished: Callable[[str], None],
    refused: Callable[..., str], capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Flipped bits too, which were scored in silence."""
    finished(TASK)
    project.config(TASK)
    Path("texts.jsonl").write_text('{"text": "a fine day"}\n')
    shutil.copytree(RUN / "best", "intact")
    harm(RUN / "best" / name)
    commands = [
        ["evaluate", str(RUN)],
        ["predict", str(RUN), "--text", "a fine day"],
        ["export", str(RUN), "exported"],
        ["push", str(RUN), "org/name", "--dry-run"],
        ["monitor", str(RUN), "--input", "texts.jsonl", "--once"],
        ["train", "config.yaml", f"continue_from={RUN}", "run.name=further"],
    ]
    for command in commands:
        sentence = refused(*command)
        assert sentence.startswith(f"{RUN / 'best'}: {name} ")
        assert sentence.endswith(": put back an intact copy of the folder, or train the run again")
    shutil.copytree("intact", RUN / "best.old")
    _intact.cache_clear()
    for command in commands:
        _intact.cache_clear()
        assert main(command) == 0
        told = [line for line in capsys.readouterr().err.splitlines() if line.startswith(f"{RUN / 'best'}: {name} ")]
        assert len(told) == 1
        assert told[0].endswith(f": the version before it is used, {RUN / 'best.old'}")


@needs("export", "report")
def test_a_kill_between_two_renames_hides_the_model_from_no_command(
    project: Project, finished: Callable[[str], None]
) -> None:
    finished(TASK)
    (RUN / "best").rename(RUN / "best.old")
    for command in (["evaluate", "latest"], ["predict", "latest", "--text", "a"], ["export", str(RUN), "exported"]):
        assert main(command) == 0
    assert not (RUN / "best").exists(), "only a training, which has the lock, renames it"
    assert main(["train", str(project.config(TASK)), "--resume"]) == 0
    assert (RUN / "best").exists()


def test_checksums_can_be_left_out(
    project: Project, finished: Callable[[str], None], refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a large model; sizes are always compared."""
    finished(TASK)
    monkeypatch.setenv("FINETUNE_NO_CHECKSUMS", "1")
    flip(RUN / "best/model.safetensors")
    assert main(["predict", str(RUN), "--text", "a"]) == 0
    cut(RUN / "best/model.safetensors")
    _intact.cache_clear()
    assert "bytes instead of" in refused("predict", RUN, "--text", "a")


INNER = {
    "write": lambda folder: folder.write("precious", "new"),
    "append": lambda folder: folder.append("precious").close(),
    "truncate": lambda folder: folder.truncate("precious", 0),
    "remove": lambda folder: folder.remove("precious"),
    "remove a folder": lambda folder: folder.remove("step-1"),
    "read": lambda folder: folder.read("precious"),
    "read bytes": lambda folder: folder.read_bytes("precious", 100),
    "remove leftovers": lambda folder: folder.remove_leftovers(),
}
"""What is done with files of a folder of a run."""


@pytest.mark.skipif(not files.HAS_HANDLES, reason="no folder can be opened here")
@pytest.mark.parametrize("after", ["check", "opening"])
@pytest.mark.parametrize("what", INNER)
def test_a_folder_that_becomes_a_link_meanwhile_leads_nowhere_else(
    what: str, after: str, tmp_path: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exchanged between the check and the use, or once it has been opened."""
    (outside / ".x.1073741824.finetune.tmp").write_text("not ours")
    before, inner = contents(outside), tmp_path / "run" / "predictions"
    shutil.copytree(outside, inner)
    (inner / "precious").write_text("own")
    folder, exchanged = Folder(tmp_path / "run").inner("predictions"), []

    def exchange() -> None:
        if not exchanged:
            exchanged.append(inner.rename(tmp_path / "before"))
            inner.symlink_to(outside, target_is_directory=True)

    at, opened = Folder.at, files._open
    if after == "check":
        monkeypatch.setattr(Folder, "at", lambda self, *names: (at(self, *names), exchange())[0])
        monkeypatch.setattr(files, "entries", lambda path: [])
        if what == "remove leftovers":
            exchange()
    else:
        monkeypatch.setattr(files, "_open", lambda *all_: (opened(*all_), exchange())[0])
    found = None
    with contextlib.suppress(UserError, FileNotFoundError):
        found = INNER[what](folder)
    assert exchanged
    assert contents(outside) == before
    assert found in (None, "own", b"own", inner / "precious")


@pytest.mark.skipif(not files.HAS_HANDLES, reason="no folder can be opened here")
def test_folders_are_exchanged_all_the_time(tmp_path: Path, outside: Path) -> None:
    """By another thread: whatever is written, read or removed, is in the run."""
    inner, kept = tmp_path / "run" / "predictions", tmp_path / "kept"
    inner.mkdir(parents=True)
    before, ended = contents(outside), threading.Event()

    def exchange() -> None:
        while not ended.is_set():
            inner.rename(kept)
            inner.symlink_to(outside, target_is_directory=True)
            inner.unlink()
            kept.rename(inner)

    thread = threading.Thread(target=exchange)
    thread.start()
    try:
        for number in range(300):
            with contextlib.suppress(UserError, OSError):
                folder = Folder(tmp_path / "run").inner("predictions")
                for use in ("write", "append", "read", "remove"):
                    assert INNER[use](folder) in (None, "new", "", folder.path / "precious"), number
    finally:
        ended.set()
        thread.join()
    assert contents(outside) == before


@pytest.mark.parametrize("name", ["NUL", "nul.jsonl", "COM1", "lpt9.csv", "con", "Aux.json", "COM\u00b9.txt"])
def test_no_file_of_a_run_has_the_name_of_a_device(name: str, tmp_path: Path, refused: Callable[..., str]) -> None:
    """Windows would write to the device, whatever the folder."""
    for use in (Folder(tmp_path).at, Folder(tmp_path).inner, Folder(tmp_path).read):
        with pytest.raises(UserError, match="is no plain name of a file: choose another one"):
            use(name)
    assert Folder(tmp_path).at(f"evaluation-{name}") == tmp_path / f"evaluation-{name}"


def test_predictions_of_a_file_named_like_a_device_have_another_name(
    project: Project, finished: Callable[[str], None], refused: Callable[..., str]
) -> None:
    finished(TASK)
    Path("nul.jsonl").write_text('{"text": "a fine day"}\n')
    assert "'nul.jsonl' is no plain name of a file" in refused("predict", RUN, "nul.jsonl")
    assert main(["predict", str(RUN), "nul.jsonl", "--output", "out.jsonl"]) == 0
