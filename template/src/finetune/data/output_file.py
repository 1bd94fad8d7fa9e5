"""The file to which what was found of the rows of an input is written, in the format of the input."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..files import write_atomic
from .files import files_of
from .opening import suffix_of
from .rows import reader_name
from .writers import WRITERS, compressed


@dataclass(frozen=True, slots=True)
class OutputFile:
    """An output, and the input that it belongs to."""

    source: Path
    path: Path
    suffix: str
    """The format of both; what is no single file, such as a folder of texts, becomes .jsonl."""

    @classmethod
    def of(cls, source: Path, output: Path | None, what: str, default: Callable[[str], Path]) -> "OutputFile":
        """The output for an input: `output`, or the `default` for a name. `what` is written, in the plural.

        Raises UserError for an input that is several files or has no rows, and for an output that is the input or has
        another format.
        """
        path, *others = files_of([source])
        if others:
            raise UserError(f"{source}: names {len(others) + 1} files: take one after the other")
        if reader_name(path) == ".txt":
            raise UserError(f"{path}: a .txt file has no rows to write {what} to: use a .jsonl file, or a text alone")
        is_kept = reader_name(path) in WRITERS
        suffix = suffix_of(path) if is_kept else ".jsonl"
        name = path.name if is_kept else f"{re.sub('[{}]', '', path.name)}{suffix}"
        output = output or default(name)
        if suffix_of(output) != suffix:
            raise UserError(f"{output}: the {what} of this input are {suffix}: let its name end in {suffix}")
        if output.exists() and path.exists() and output.samefile(path):
            raise UserError(f"{output}: is the input itself: choose another --output")
        return cls(path, output, suffix)

    def write(self, content: bytes) -> Path:
        """Write the content, compressed as the name demands. Raises UserError if that is not possible."""
        return write_output(self.path, compressed(self.path, content))


def write_output(path: Path, content: bytes) -> Path:
    """Write a file that --output names, and the folders above it. Raises UserError if that is not possible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, content)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}): name another --output") from error
    return path
