"""Upload an exported model with its model card to the Hugging Face Hub, in one commit."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, ModelCard, constants, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError, RepositoryNotFoundError
from huggingface_hub.utils import validate_repo_id
from rich.console import Console
from rich.markup import escape

from ..console import print_line, print_table
from ..errors import UserError
from ..files import MANIFEST
from ..hub_client import endpoint, first_line
from ..run.folder import RunFolder
from .card import CARD
from .export import Options, export

STALE = (
    *("*.safetensors", "*.safetensors.index.json", "*.onnx", "*.onnx.data", "adapter_config.json"),
    *("generation_config.json", "chat_template.jinja", "Modelfile", "predict.py", "overflow.py", "finetune.json"),
)
"""Files of an earlier push that would be loaded in place of, or beside, those of this one."""


def push(run: RunFolder, name: str, options: Options, console: Console, *, private: bool, dry_run: bool) -> None:
    """Export a run and upload it as the model `name` (ORG/NAME), which is created if it does not exist.

    `dry_run` shows the files and the card, and asks nothing of the Hub. Raises UserError if the export is refused, or
    the Hub refuses the name, the card or the upload; an upload that fails leaves the files of the model as
    they were.
    """
    _require_name(name)
    if not dry_run:
        _require_access()
    with ExitStack() as stack:
        folder = _scratch(run, stack) / name.replace("/", "--")
        card = replace(options.card, name=name)
        notes = export(run, folder, replace(options, card=card))
        files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
        for note in notes:
            print_line(console, note)
        rows = [[path.relative_to(folder).as_posix(), f"{path.stat().st_size:,}"] for path in files]
        print_table(console, ["file", "bytes"], rows)
        if dry_run:
            print_line(console, escape((folder / CARD).read_text(encoding="utf-8")))
            print_line(console, f"dry run: nothing was uploaded to {name}")
            return
        with _errors(name):
            url = _upload(folder, files, name, private)
    print_line(console, f"uploaded: {url}")


def _scratch(run: RunFolder, stack: ExitStack) -> Path:
    """A folder in the run, where there is room for a model; that of the system may be a part of the memory."""
    try:
        return stack.enter_context(run.scratch("push"))
    except OSError as error:
        raise UserError(
            f"{run.path}: push writes the export there, and cannot ({first_line(error)}): copy the run to another place"
        ) from error


def _require_name(name: str) -> None:
    try:
        validate_repo_id(name)
        if "/" not in name:
            raise HFValidationError("no organization or user")
    except HFValidationError as error:
        raise UserError(f"push: '{name}' is not a name on the Hub: write ORG/NAME, such as my-team/my-model") from error


def _require_access() -> None:
    """Raise UserError before the export for what cannot be uploaded anyway."""
    if constants.HF_HUB_OFFLINE:
        raise UserError("push: HF_HUB_OFFLINE is set: unset it, or add --dry-run")
    if get_token() is None:
        raise UserError("push: you are not logged in to the Hub: run `hf auth login`, set HF_TOKEN, or add --dry-run")


def _upload(folder: Path, files: list[Path], name: str, private: bool) -> str:
    """Returns the address of the model."""
    api = HfApi()
    _require_valid(ModelCard.load(folder / CARD))
    try:
        found = api.model_info(name)
    except RepositoryNotFoundError:
        api.create_repo(name, private=private or None)  # None: as the organization has set it
        there: list[str] = []
    else:
        if private and not found.private:
            raise UserError(
                f"push: '{name}' is public already: make it private on the Hub first, or leave out --private"
            )
        there = [sibling.rfilename for sibling in found.siblings or []]
    names = {path.relative_to(folder).as_posix(): path for path in files}
    stale = [old for old in there if old not in names and any(fnmatch(old, pattern) for pattern in STALE)]
    api.create_commit(
        name,
        [
            *(CommitOperationAdd(path_in_repo, path) for path_in_repo, path in names.items()),
            *(CommitOperationDelete(old) for old in stale),
        ],
        commit_message="Upload the model with finetune push",
    )
    return f"{endpoint()}/{name}"


def _require_valid(card: ModelCard) -> None:
    try:
        card.validate()
    except ValueError as error:
        raise UserError(
            f"push: the Hub refuses the model card ({first_line(error)}): correct --license or --language"
        ) from error


@contextmanager
def _errors(name: str) -> Iterator[None]:
    """Turn errors of the Hub and of the connection into a UserError."""
    try:
        yield
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status in (401, 403):
            raise UserError(
                f"push: the Hub does not let you write to '{name}' (status {status}): log in with a token that may, or "
                f"choose another organization"
            ) from error
        raise UserError(f"push: the Hub refused '{name}' ({first_line(error)}): try again later") from error
    except (HTTPError, OSError) as error:
        raise UserError(
            f"push: {endpoint()} cannot be reached ({first_line(error)}): check the network, and push again"
        ) from error
    except UserError:
        raise
    except Exception as error:  # where weights are uploaded, of any kind
        reason = first_line(error.__cause__ if isinstance(error.__cause__, Exception) else error)
        raise UserError(f"push: the upload to '{name}' failed ({reason}): push again, nothing has changed") from error
