"""Open a data file as a stream: compression by its ending, encoding by a byte order mark, data.encoding or its bytes.

A file is never held as a whole. Before it is read as text, all of it is decoded once, so that every reading of it takes
the same encoding and none fails half-way.
"""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, TextIO, cast

from ..console import notice
from ..errors import UserError
from .encoding import recognise

COMPRESSIONS = (".gz", ".zst")
LONGEST = 2**26
"""Characters of a line, and of a cell; more are taken for a mistake, so that they do not fill the memory."""
CHUNK = 2**20
SAMPLE = 2**16
"""Bytes of lines that are not ASCII, by which an encoding is recognised."""
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark is its beginning
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclass(frozen=True, slots=True)
class FileOptions:
    """How files are read, as the section data of the config says."""

    encoding: str = "auto"
    """Name of a Python codec, or auto."""
    separator: str | None = None
    """Between the cells of .csv and .tsv files; None: find it."""
    sheet: str | None = None
    """Of an .xlsx file; None: the first."""
    path: str | None = None
    """Where the list of examples is in the object of a .json file."""


DEFAULTS = FileOptions()


def compression_of(path: Path) -> str:
    """`.gz` or `.zst`; empty for a file that is not compressed."""
    return path.suffix.lower() if path.suffix.lower() in COMPRESSIONS else ""


def suffix_of(path: Path) -> str:
    """The ending that tells the format, in lower case: .csv of `train.csv` and of `train.csv.gz`."""
    return (path.with_suffix("") if compression_of(path) else path).suffix.lower()


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """The decompressed bytes of a file. Raises UserError where they cannot be read or are no whole archive."""
    try:
        with _stream(path) as stream:
            yield stream
    except OSError as error:
        if error.strerror:
            raise UserError(f"{path}: cannot be read: {error.strerror}") from error
        raise _damaged(path, error) from error
    except (EOFError, zlib.error) as error:
        raise _damaged(path, error) from error


def _stream(path: Path) -> IO[bytes]:
    match compression_of(path):
        case ".gz":
            return cast(IO[bytes], gzip.open(path))
        case ".zst":
            import pyarrow

            return cast(IO[bytes], pyarrow.input_stream(str(path), compression="zstd"))
    return path.open("rb")


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(f"{path}: is no whole {compression_of(path)} file ({error}): compress or download it again")


@contextmanager
def open_text(path: Path, options: FileOptions = DEFAULTS) -> Iterator[TextIO]:
    """The text of a file without a byte order mark, its line ends as they are.

    Raises UserError with file:line for what is not in its encoding, and for binary files.
    """
    encoding = encoding_of(path, options)
    with open_bytes(path) as stream:
        yield io.TextIOWrapper(stream, encoding, newline="")


def lines_of(path: Path, options: FileOptions = DEFAULTS) -> Iterator[str]:
    """The lines of a file with their ends: \\n, \\r\\n or \\r. Raises UserError as `open_text` does."""
    with open_text(path, options) as text:
        yield from limited_lines(path, text)


def limited_lines(path: Path, text: TextIO) -> Iterator[str]:
    """The lines of an open file. Raises UserError for one that would fill the memory."""
    number = 1
    while line := text.readline(LONGEST):
        if len(line) == LONGEST:
            raise UserError(f"{path}:{number}: the line has more than {LONGEST:,} characters: write one example a line")
        yield line
        number += 1


def encoding_of(path: Path, options: FileOptions) -> str:
    """The name of the Python codec that reads all of a file. Raises UserError with file:line if there is none."""
    try:
        status = path.stat()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    return _encoding_of(path, options.encoding, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=1000)
def _encoding_of(path: Path, wanted: str, size: int, changed: int) -> str:
    with open_bytes(path) as stream:
        start = stream.read(1024)
    marked = next((name for mark, name in BYTE_ORDER_MARKS.items() if start.startswith(mark)), None)
    encoding = marked or ("utf-8" if wanted == "auto" else wanted)
    fault = _fault(path, encoding)
    if fault is None:
        return encoding
    if not marked and b"\0" in start:
        fault = _binary(fault.line)
    if marked or wanted != "auto" or fault.binary:
        remedy = "correct data.encoding" if encoding == wanted else "is the file damaged? Write it again"
        raise UserError(f"{path}:{fault.line}: {fault.what}: {fault.remedy or remedy}")
    found, likeliest = recognise(_sample(path))
    if found and _fault(path, found) is None:
        notice(f"{path}: not UTF-8, read as {found}: set data.encoding if that is wrong")
        return found
    maybe = f", perhaps {likeliest}" if likeliest else ""
    raise UserError(
        f"{path}:{fault.line}: {fault.what}{maybe}: save the file in UTF-8 (Excel: CSV UTF-8), or name its encoding "
        f"in data.encoding, such as cp1252 or gb18030"
    )


@dataclass(frozen=True, slots=True)
class _Fault:
    """Where a file is no text of an encoding, and why."""

    line: int
    what: str
    binary: bool = False
    remedy: str = ""


def _fault(path: Path, encoding: str) -> _Fault | None:
    """The first fault of a file; None if all of it is text of this encoding."""
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=True)
    line = 1
    with open_bytes(path) as stream:
        while True:
            chunk = stream.read(CHUNK)
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                line += _line_breaks(error.object[: error.start].decode(encoding, errors="replace"))
                name = "UTF-8" if encoding == "utf-8" else encoding
                return _Fault(line, f"byte 0x{error.object[error.start]:02x} is not {name}")
            except UnicodeError as error:  # such as a mark of the byte order that is missing
                return _Fault(line, f"not {encoding} ({error})")
            if "\0" in text:
                line += text.count("\n", 0, text.index("\0"))
                return _binary(line)
            line += text.count("\n")
            if not chunk:
                return None


def _binary(line: int) -> _Fault:
    remedy = "give a text file; one in UTF-16 without a byte order mark needs data.encoding: utf-16-le"
    return _Fault(line, "a NUL character, which only binary files have", True, remedy)


def _line_breaks(text: str) -> int:
    return text.replace("\r\n", "\n").replace("\r", "\n").count("\n")


def _sample(path: Path) -> bytes:
    """Lines that are not ASCII."""
    found, size = [], 0
    with open_bytes(path) as stream:
        while size < SAMPLE and (line := stream.readline(SAMPLE)):
            if not line.isascii():
                found.append(line.rstrip(b"\r\n"))
                size += len(line)
    return b"\n".join(found)
