"""Atomic writes of files and folders: after a kill at any moment the last complete version is there.

What is written gets a temporary name, is flushed to the disk, and then renamed. A folder has a manifest of sizes and
checksums, and is valid only if it matches that. Where a run or a monitor writes, `Folder` keeps to it: by plain names,
through no link. This is the one module that writes there.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TextIO

import psutil

from .console import progress
from .errors import UserError
from .parsing import reason
from .system_errors import names_path

MANIFEST = "manifest.json"
NO_CHECKSUMS = "FINETUNE_NO_CHECKSUMS"
"""Environment variable: with 1, models are loaded without checksums and values being verified."""
_NUMBERED = r"([cC][oO][mM]|[lL][pP][tT])[0-9\u00b9\u00b2\u00b3]"
DEVICES = rf"(?!([cC][oO][nN]|[pP][rR][nN]|[aA][uU][xX]|[nN][uU][lL]|{_NUMBERED})(\.|$))"
"""Not the names of devices, which Windows gives to no file, whatever its ending."""
PLAIN_NAME = rf"^{DEVICES}[^\\/:*?\"<>|\x00-\x1f. ]([^\\/:*?\"<>|\x00-\x1f]*[^\\/:*?\"<>|\x00-\x1f .])?$(?!\n)"
"""A name in a folder, on every system: without separators, not hidden, no `.` or blank at its end (nor `..`)."""
TEMPORARY = re.compile(r"\.(.+)\.(\d+)\.finetune\.tmp")
"""Name of what is not complete: that of the file or folder (its beginning), and the process that writes it."""


def is_plain(name: str) -> bool:
    """Whether a name may be that of a run, on every system."""
    return re.search(PLAIN_NAME, name) is not None


def is_link(path: Path) -> bool:
    """Whether a path is a symbolic link, or on Windows a junction."""
    try:
        found = path.lstat()
    except (OSError, ValueError):  # or what can be no path
        return False
    junction = getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", 0)
    return stat.S_ISLNK(found.st_mode) or (junction != 0 and getattr(found, "st_reparse_tag", 0) == junction)


def is_folder(path: Path) -> bool:
    """Whether a path is a folder, and no link to one."""
    return os.path.isdir(path) and not is_link(path)


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder in which this program writes, and nowhere else: by plain names, and through no link.

    It may have been made by somebody else, with links in it. Its own path is what the person has named, and may hold
    links. Where a name is not plain, or a link lies on the way, the methods raise UserError, and write nothing.
    """

    path: Path

    def at(self, *names: str) -> Path:
        """The path of what lies in the folder."""
        path = self.path
        for name in names:
            if not _is_inside(name):
                raise UserError(f"{path}: '{name}' is no plain name of a file: choose another one")
            path = path / name
            if is_link(path):
                raise UserError(f"{path}: is a link, which is not followed: put what it leads to in its place")
        return path

    def inner(self, *names: str) -> "Folder":
        """The folder in it of that name."""
        return Folder(self.at(*names))

    def read(self, name: str) -> str:
        """The text of a file. Raises OSError if there is none, ValueError if it is not UTF-8."""
        path = self.at(name)
        _require_regular(path)
        return path.read_text(encoding="utf-8")

    def read_bytes(self, name: str, most: int) -> bytes:
        """A file of at most so many bytes. Raises OSError if there is none, ValueError if it is larger."""
        path = self.at(name)
        _require_regular(path)
        with path.open("rb") as file:
            content = file.read(most + 1)
        if len(content) > most:
            raise ValueError(f"has more than {most:,} bytes")
        return content

    def read_object(self, name: str, remedy: str) -> dict[str, Any]:
        """The JSON object in a file that this program wrote. Raises UserError, with the remedy, for anything else."""
        path = self.path / name
        try:
            content = json.loads(self.read(name))
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}): {remedy}") from error
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: not valid JSON ({reason(error)}): {remedy}") from error
        if not isinstance(content, dict):
            raise UserError(f"{path}: must hold a JSON object: {remedy}")
        return content

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file atomically; returns its path."""
        write_atomic(self.at(name), content)
        return self.path / name

    def append(self, name: str) -> TextIO:
        """A file to whose end is written."""
        path = self.at(name)
        if path.exists():
            _require_regular(path)
        return path.open("a", encoding="utf-8", newline="\n")

    def truncate(self, name: str, size: int) -> None:
        """Cut a file to so many bytes."""
        os.truncate(self.at(name), size)

    def publish(self, name: str, write: Callable[[Path], None]) -> None:
        """Write a folder atomically, as the function `publish` does."""
        publish(self.at(name), write)

    def remove(self, name: str) -> None:
        """Remove a file or a folder with all that is in it; what it links to stays."""
        _remove(self.at(name))

    @contextlib.contextmanager
    def staged(self) -> Iterator[Path]:
        """A temporary folder, whose files at the end of the block replace those of the same names here.

        A block that raises, as on a full disk, leaves the files as they were. A page comes after what it shows, so
        that it is the last one that a kill has left as it was.
        """
        make_folders(self.path)
        with self.scratch("files") as temporary:
            yield temporary
            written = sorted(temporary.iterdir(), key=lambda path: (path.suffix == ".html", path.name))
            for path in written:
                _sync(path)
            for target in [self.at(path.name) for path in written]:
                os.replace(temporary / target.name, target)
            _sync(self.path)

    @contextlib.contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """A temporary folder in it, removed at the end of the block; that of a killed process, at the next block."""
        temporary = _temporary(self.at(name))
        temporary.mkdir()
        try:
            yield temporary
        finally:
            _remove(temporary)

    def remove_leftovers(self) -> None:
        """Remove what killed processes have not completed, here and in the folders directly below."""
        folders = [self.path, *filter(is_folder, entries(self.path))]
        for path in [path for folder in folders for path in entries(folder)]:
            if _is_leftover(path):
                _remove(path)


def reads_content() -> bool:
    """Whether what models are loaded from is read before to verify it; sizes always are compared."""
    return os.environ.get(NO_CHECKSUMS, "") in ("", "0")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file, progress(f"checksum of {path}", path.stat().st_size) as advance:
        while block := file.read(2**20):
            digest.update(block)
            advance(len(block))
    return digest.hexdigest()


def make_folders(folder: Path) -> None:
    """Make a folder, and those above it that are missing, and flush their names to the disk."""
    if not folder.is_dir():
        make_folders(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


@names_path
def publish(folder: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary folder, flush it to the disk and rename it to `folder`.

    Files get the permissions that new files have, whoever wrote them.
    An older `folder` is kept until then, and if `write` fails. A kill between the two renames leaves neither version
    under that name: `recover` repairs this.
    """
    make_folders(folder.parent)
    temporary, old = _temporary(folder), before(folder)
    temporary.mkdir()
    try:
        write(temporary)
        files = write_manifest(temporary)
        for path in files:
            shutil.copymode(temporary / MANIFEST, path)  # that of the umask; safetensors lets only the owner read
        folders = [path for path in temporary.rglob("*") if path.is_dir()]
        for path in [*files, temporary / MANIFEST, *folders, temporary]:
            _sync(path)
        if os.path.lexists(folder):
            _remove(old)
        move(folder, old)
        os.replace(temporary, folder)
    except BaseException:
        _remove(temporary)
        raise
    _sync(folder.parent)
    _remove(old)


def write_manifest(folder: Path) -> list[Path]:
    """Write the sizes and checksums of the files in a new folder; returns the files."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    manifest = {
        path.relative_to(folder).as_posix(): {"size": path.stat().st_size, "sha256": sha256_of(path)} for path in files
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    return files


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Folder]:
    """A temporary folder, which is renamed to `path` at the end of the block; removed, if the block raises."""
    make_folders(path.parent)
    temporary = _temporary(path)
    temporary.mkdir()
    try:
        yield Folder(temporary)
        os.replace(temporary, path)
    except BaseException:
        _remove(temporary)
        raise
    _sync(path.parent)


def move(path: Path, to: Path) -> bool:
    """Rename a file, folder or link; returns whether there was one."""
    if not os.path.lexists(path):
        return False
    os.replace(path, to)
    return True


def recover(folder: Path) -> None:
    """Restore the older version of `folder` after a kill between the two renames of `publish`."""
    old = before(folder)
    if old.exists() and not os.path.lexists(folder):
        os.replace(old, folder)


def is_valid(folder: Path) -> bool:
    """Whether every file of the folder is as it was written."""
    return damage(folder) is None


def damage(folder: Path, *, checksums: bool = True) -> str | None:
    """What is wrong with a folder that `publish` has written, such as "model.safetensors is missing"; None if nothing.

    Sizes are compared first, so that a file that was cut is found at once; without `checksums`, only they are.
    Files that the manifest does not list, such as those of a file manager, do not count.
    """
    try:
        manifest = json.loads(Folder(folder).read(MANIFEST))
        files = {name: _expected(entry) for name, entry in manifest.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, UserError):
        return f"{MANIFEST} is missing or damaged"
    if not files:
        return f"{MANIFEST} lists no files"
    for name, (size, _) in files.items():
        if wrong := _wrong_file(folder, name, size):
            return f"{name} {wrong}"
    if checksums:
        for name, (_, checksum) in files.items():
            try:
                if sha256_of(folder / name) != checksum:
                    return f"{name} has changed since it was written"
            except OSError as error:
                return f"{name} cannot be read ({error.strerror})"
    return None


def _expected(entry: Any) -> tuple[int | None, str]:
    """Size and checksum; manifests of earlier versions have no sizes."""
    return (None, entry) if isinstance(entry, str) else (int(entry["size"]), str(entry["sha256"]))


def _wrong_file(folder: Path, name: str, size: int | None) -> str | None:
    parts = PurePosixPath(name).parts
    paths = [folder.joinpath(*parts[:number]) for number in range(1, len(parts) + 1)]
    if ".." in parts or PurePosixPath(name).is_absolute() or any(map(is_link, paths)):
        return "leads to another place"
    try:
        found = (folder / name).stat()
    except (OSError, ValueError):
        return "is missing"
    if not stat.S_ISREG(found.st_mode):
        return "is no file"
    return None if size in (None, found.st_size) else f"has {found.st_size:,} bytes instead of {size:,}"


@names_path
def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file under a temporary name and rename it: a reader sees the old content or the new, never a part.

    A file that is replaced keeps its permissions. A link is replaced, not followed.
    """
    temporary = _temporary(path)
    try:
        with temporary.open("xb") as file:  # a link of that name is an error
            file.write(content.encode() if isinstance(content, str) else content)
        if path.is_file() and not is_link(path):
            shutil.copymode(path, temporary)
        _sync(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def flush(folder: Path) -> None:
    """Flush the files directly in a folder to the disk, and their names."""
    for path in entries(folder):
        if path.is_file() and not is_link(path):
            _sync(path)
    _sync(folder)


def _require_regular(path: Path) -> None:
    """Raise UserError for a folder, a device or a named pipe, the opening of which may wait for ever."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise UserError(f"{path}: is no regular file: remove it")


def _is_inside(name: str) -> bool:
    """Whether a name is that of something directly in a folder; on Windows, `:` would lead into a file."""
    return name not in ("", ".", "..") and Path(name).name == name and not {"\0", *(":" * (os.name == "nt"))} & {*name}


def _temporary(path: Path) -> Path:
    """A new name beside `path`; what killed processes have left of that file or folder is removed."""
    beginning = path.name[:40]  # a longer name might be too long
    for other in entries(path.parent):
        found = TEMPORARY.fullmatch(other.name)
        if found and found[1] == beginning and _is_leftover(other):
            _remove(other)
    return path.with_name(f".{beginning}.{os.getpid()}.finetune.tmp")


def _is_leftover(path: Path) -> bool:
    """Whether a path is a temporary one of a process that has ended. Process numbers repeat, as in containers."""
    found = TEMPORARY.fullmatch(path.name)
    return found is not None and (int(found[2]) == os.getpid() or not psutil.pid_exists(int(found[2])))


def before(folder: Path) -> Path:
    """Where `publish` keeps the version before until the new one has its name; there after a kill between the two."""
    return folder.with_name(f"{folder.name}.old")


def entries(folder: Path) -> list[Path]:
    """What lies in a folder; nothing if it cannot be read."""
    try:
        return [*folder.iterdir()]
    except OSError:
        return []


def _remove(path: Path) -> None:
    """Remove a file, a link, or a folder with all that is in it, if it is there and can be removed."""
    if is_folder(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open a folder; NTFS journals renames itself.
    handle = os.open(path, os.O_RDONLY if path.is_dir() or os.name != "nt" else os.O_RDWR)
    try:
        with contextlib.suppress(PermissionError):  # some network file systems refuse it
            os.fsync(handle)
    finally:
        os.close(handle)
