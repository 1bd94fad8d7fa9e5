"""Open a data file as a stream: compression by its ending, encoding by a byte order mark, data.encoding or its bytes.

A file is never held as a whole. Before it is read as text, all of it is decoded once, so that every reading of it takes
the same encoding and none fails half-way.
"""

import codecs
import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, TextIO

from ..console import notice
from ..errors import UserError
from ..parsing import LONGEST, SURROGATE, most_bytes, parsing, reason, require_regular
from .encoding import recognise

COMPRESSIONS = (".gz", ".zst")
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
UNICODE = ("utf-8", *BYTE_ORDER_MARKS.values())
"""Codecs that read whole characters only; others may read half of a surrogate pair, such as utf-7."""


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
    size = require_regular(path).st_size
    try:
        with path.open("rb") if not compression_of(path) else io.BufferedReader(_Decompressed(path, size)) as stream:
            yield stream
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({reason(error)}): check the file") from error


class _Decompressed(io.RawIOBase):
    """The bytes of a compressed file, as long as these are not too many for its size."""

    def __init__(self, path: Path, size: int) -> None:
        self._path, self._most, self._read = path, most_bytes(size), 0
        self._damaged = (f"{path}: is no whole {compression_of(path)} file", "compress or download it again")
        with parsing(*self._damaged):
            self._stream = self._open()

    def _open(self) -> Any:
        if compression_of(self._path) == ".gz":
            return gzip.open(self._path)
        import pyarrow

        return pyarrow.input_stream(str(self._path), compression="zstd")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with parsing(*self._damaged):
            found = self._stream.read(len(buffer))
        self._read += len(found)
        if self._read > self._most:
            raise UserError(
                f"{self._path}: has more than {self._most:,} bytes when it is decompressed: decompress it yourself "
                f"if it is the right file"
            )
        buffer[: len(found)] = found
        return len(found)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


@contextmanager
def open_text(path: Path, options: FileOptions = DEFAULTS) -> Iterator[TextIO]:
    """The text of a file without a byte order mark, its line ends as they are.

    Raises UserError with file:line for what is not in its encoding, and for binary files.
    """
    encoding = encoding_of(path, options)
    with open_bytes(path) as stream:
        try:
            yield io.TextIOWrapper(stream, encoding, newline="")
        except UnicodeDecodeError as error:  # all of it was text of this encoding before
            raise UserError(f"{path}: has changed while it was read: start again when it is complete") from error


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
    status = require_regular(path)
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
            if encoding not in UNICODE and (half := SURROGATE.search(text)):
                line += text.count("\n", 0, half.start())
                return _Fault(line, f"half of a surrogate pair, as {encoding} reads it")
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
