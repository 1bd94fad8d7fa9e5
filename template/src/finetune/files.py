"""Atomic writes of files and folders: after a kill at any moment the last complete version is there.

What is written gets a temporary name, is flushed to the disk, and then renamed. A folder has a manifest of sizes and
checksums, and is valid only if it matches that. Where a run or a monitor writes, `Folder` keeps to it: by plain names,
through no link. This is the one module that writes there.
"""

import contextlib
import errno
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
HAS_HANDLES = {os.open, os.rename, os.stat, os.unlink} <= os.supports_dir_fd and os.listdir in os.supports_fd
"""Whether a folder can be opened, and names looked up in it, whatever becomes of its path; not on Windows."""
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

    Single files are opened in the opened folder (openat), so that a folder that is exchanged for a link meanwhile leads
    nowhere else. What libraries write, by `publish` and `staged`, has a path: there it is checked before, no more.
    """

    path: Path
    depth: int = 0
    """So many names at the end of the path are those of folders in it, and may be no links either."""

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
        return Folder(self.at(*names), self.depth + len(names))

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int | None]:
        """A handle of the folder, each of whose names is opened in the one before; None where there are no handles."""
        if not HAS_HANDLES:
            yield None
            return
        names = self.path.parts[len(self.path.parts) - self.depth :] if self.depth else ()
        start = self.path.parents[self.depth - 1] if self.depth else self.path
        handle = os.open(start, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for name in names:
                inner = _open(name, os.O_RDONLY | os.O_DIRECTORY, handle, self.path)
                os.close(handle)
                handle = inner
            yield handle
        finally:
            os.close(handle)

    def _open(self, name: str, flags: int) -> int:
        """A handle of a regular file in it."""
        path = self.at(name)
        if os.path.lexists(path):
            _require_regular(path)
        with self._opened() as folder:
            handle = _open(name, flags, folder, path)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise _irregular(path)
        return handle

    def read(self, name: str) -> str:
        """The text of a file. Raises OSError if there is none, ValueError if it is not UTF-8."""
        with os.fdopen(self._open(name, os.O_RDONLY), encoding="utf-8") as file:
            return file.read()

    def read_bytes(self, name: str, most: int) -> bytes:
        """A file of at most so many bytes. Raises OSError if there is none, ValueError if it is larger."""
        with os.fdopen(self._open(name, os.O_RDONLY | getattr(os, "O_BINARY", 0)), "rb") as file:
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
        path = self.at(name)
        with self._opened() as folder:
            write_atomic(path, content, folder)
        return path

    def append(self, name: str) -> TextIO:
        """A file to whose end is written."""
        handle = self._open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        return os.fdopen(handle, "a", encoding="utf-8", newline="\n")

    def truncate(self, name: str, size: int) -> None:
        """Cut a file to so many bytes."""
        handle = self._open(name, os.O_RDWR)
        try:
            os.truncate(handle, size)
        finally:
            os.close(handle)

    def publish(self, name: str, write: Callable[[Path], None]) -> None:
        """Write a folder atomically, as the function `publish` does."""
        publish(self.at(name), write)

    def remove(self, name: str) -> None:
        """Remove a file or a folder with all that is in it; what it links to stays."""
        path = self.at(name)
        with self._opened() as folder:
            _remove(path, folder)

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
        inner = [Folder(path, self.depth + 1) for path in filter(is_folder, entries(self.path))]
        for folder in (self, *inner):
            with (
                contextlib.suppress(OSError, UserError),
                folder._opened() as handle,
            ):  # it has vanished, or is a link now
                for name in os.listdir(folder.path if handle is None else handle):
                    if _is_leftover(folder.path / name):
                        _remove(folder.path / name, handle)


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
def write_atomic(path: Path, content: str | bytes, folder: int | None = None) -> None:
    """Write a file under a temporary name and rename it: a reader sees the old content or the new, never a part.

    A file that is replaced keeps its permissions. A link is replaced, not followed. `folder`: a handle of its folder.
    """
    temporary = _temporary(path, folder)
    name: str | Path = temporary if folder is None else temporary.name
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)  # a link of that name is an error
        with os.fdopen(os.open(name, flags, 0o666, dir_fd=folder), "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        if path.is_file() and not is_link(path):
            shutil.copymode(path, temporary)
        _sync(temporary)
        os.replace(name, path if folder is None else path.name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        _remove(temporary, folder)
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
        raise _irregular(path)


def _irregular(path: Path) -> UserError:
    return UserError(f"{path}: is no regular file: remove it")


def _open(name: str, flags: int, folder: int | None, path: Path) -> int:
    """A handle of what has a name in a folder, or of `path` where there are no handles. Raises UserError for a link."""
    if folder is None:
        return os.open(path, flags | getattr(os, "O_BINARY", 0), 0o666)
    try:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666, dir_fd=folder)  # no wait for a named pipe
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and stat.S_ISLNK(os.lstat(name, dir_fd=folder).st_mode):
            raise UserError(f"{path}: is a link, which is not followed: put what it leads to in its place") from error
        raise


def _is_inside(name: str) -> bool:
    """Whether a name is that of something directly in a folder, on every system.

    Devices of Windows have a name in each folder, and its `:` leads into a file.
    """
    if not re.match(DEVICES, name):
        return False
    return name not in ("", ".", "..") and Path(name).name == name and not {"\0", *(":" * (os.name == "nt"))} & {*name}


def _temporary(path: Path, folder: int | None = None) -> Path:
    """A new name beside `path`; what killed processes have left of that file or folder is removed."""
    beginning = path.name[:40]  # a longer name might be too long
    names = [other.name for other in entries(path.parent)] if folder is None else os.listdir(folder)
    for other in map(path.with_name, names):
        found = TEMPORARY.fullmatch(other.name)
        if found and found[1] == beginning and _is_leftover(other):
            _remove(other, folder)
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


def _remove(path: Path, folder: int | None = None) -> None:
    """Remove a file, a link, or a folder with all that is in it, if it is there and can be removed.

    `folder`: a handle of the folder in which it lies.
    """
    name: str | Path = path if folder is None else path.name
    with contextlib.suppress(OSError):
        is_inner = is_folder(path) if folder is None else stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode)
        if is_inner:
            shutil.rmtree(name, ignore_errors=True, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open a folder; NTFS journals renames itself.
    handle = os.open(path, os.O_RDONLY if path.is_dir() or os.name != "nt" else os.O_RDWR)
    try:
        with contextlib.suppress(PermissionError):  # some network file systems refuse it
            os.fsync(handle)
    finally:
        os.close(handle)
