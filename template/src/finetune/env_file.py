"""The file .env: environment variables of this machine, such as HF_TOKEN, for every way to start the program."""

import io
from pathlib import Path

from dotenv import load_dotenv
from dotenv.parser import parse_stream

from .data.opening import BYTE_ORDER_MARKS
from .errors import UserError


def load_env_file(path: Path = Path(".env")) -> None:
    """Set the variables of the file, if there is one; those that are set already stay as they are.

    Raises UserError for a file that cannot be read, and with file:line for a line that is not NAME=value; its text may
    be a secret and is not shown.
    """
    text = _text_of(path)
    for binding in parse_stream(io.StringIO(text)):
        if binding.error or (binding.key and binding.value is None):
            written = binding.original.string
            blank_lines = written[: len(written) - len(written.lstrip())].count("\n")
            raise UserError(
                f"{path}:{binding.original.line + blank_lines}: this is no variable: write NAME=value, "
                f"or begin a comment with #"
            )
    load_dotenv(stream=io.StringIO(text), override=False)


def _text_of(path: Path) -> str:
    """The text of the file; empty if there is none, or a virtual environment of that name. Raises UserError."""
    try:
        if not path.exists() or (path / "pyvenv.cfg").is_file():
            return ""
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "is no regular file"
            raise UserError(f"{path}: {what}: rename it; {path.name} is the file of environment variables")
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}): allow reading it, or remove it") from error
    encoding = next((name for mark, name in BYTE_ORDER_MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}: is no text in UTF-8: save the file in that encoding") from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise UserError(f"{path}:{line}: has a NUL character, as binary files do: save the file as text in UTF-8")
    return text
