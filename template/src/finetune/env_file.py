"""The file .env: environment variables of this machine, such as HF_TOKEN, for every way to start the program."""

import io
from pathlib import Path

from dotenv import load_dotenv
from dotenv.parser import parse_stream

from .data.readers.text import read_text
from .errors import UserError


def load_env_file(path: Path = Path(".env")) -> None:
    """Set the variables of the file, if there is one; those that are set already stay as they are.

    Raises UserError with file:line for a line that is not NAME=value; its text may be a secret and is not shown.
    """
    if not path.is_file():
        return
    text = read_text(path)
    for binding in parse_stream(io.StringIO(text)):
        if binding.error or (binding.key and binding.value is None):
            written = binding.original.string
            blank_lines = written[: len(written) - len(written.lstrip())].count("\n")
            raise UserError(
                f"{path}:{binding.original.line + blank_lines}: this is no variable: write NAME=value, "
                f"or begin a comment with #"
            )
    load_dotenv(stream=io.StringIO(text), override=False)
