"""`finetune fetch`: a base model in a folder, whole or not at all, so that trainings need no network.

The files come into a hidden folder beside the target, which gets the target's name when all of them are there. What an
interruption leaves there is continued by the next call.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from huggingface_hub import HfApi, constants
from rich.console import Console
from rich.filesize import decimal
from rich.table import Column, Table

from ..config.load import load_config
from ..console import counted
from ..errors import UserError
from .client import HUB_NAME, TIMEOUT, hub_errors
from .download import bytes_there, disk_errors, download
from .manifest import DESCRIPTION, Manifest, ManifestFile, default_folder, read_manifest
from .pin import pin_revision

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
BESIDE_WEIGHTS = re.compile(
    r"config\.json|generation_config\.json|tokenizer\.json|tokenizer_config\.json|special_tokens_map\.json"
    r"|added_tokens\.json|(target_)?vocab\.(json|txt)|merges\.txt|chat_template\.(json|jinja)|[\w.-]+\.(model|spm|tiktoken)"
)
"""What transformers reads beside the weights: neither code nor pickles, and no path that leads out of the folder."""


def fetch_for_config(path: Path, name: str | None, revision: str | None, console: Console) -> None:
    """Bring the model that a config names, and write its commit into the config."""
    model = load_config(path).model
    if name not in (None, model.name):
        raise UserError(f"{path}: model.name is '{model.name}', not '{name}': change it there, or leave MODEL out")
    if model.trust_remote_code:
        raise UserError(f"{path}: model.trust_remote_code: code is not fetched: set it to false, or train online")
    fetched = fetch(model.name, revision or model.revision, None, console, place=f"{path}: model.name")
    if model.revision != fetched.commit:
        pin_revision(path, fetched.commit)
        console.print(f"{path}: model.revision is now {fetched.commit}", highlight=False, soft_wrap=True)
    console.print(f"next: python -m finetune train {path}", highlight=False, soft_wrap=True)


def fetch(name: str, revision: str | None, to: Path | None, console: Console, place: str = "MODEL") -> Manifest:
    """Bring the model `name` at `revision` into the folder `to`, or into its default one; says so if it is there.

    Raises UserError if there is no such model, no room, no network, or something else in the folder; the sentence
    begins with `place`, where the name was given.
    """
    _require_hub_name(name, place)
    folder = to or default_folder(name)
    there = read_manifest(folder)
    # A commit never changes, so the Hub need not be asked about it twice.
    model = there if there and (there.name, there.commit) == (name, revision) else describe(name, revision, place)
    with disk_errors(folder), _claimed(folder):
        if _is_there(model, folder):
            console.print(f"{folder}: is there already, at commit {model.commit}", highlight=False, soft_wrap=True)
        else:
            _bring(model, folder, place, console)
    return model


def describe(name: str, revision: str | None, place: str) -> Manifest:
    """Ask the Hub for the commit of a revision, and for the files of it that a training needs."""
    if constants.HF_HUB_OFFLINE:
        raise UserError(f"{place}: '{name}' is to come from the Hub, and HF_HUB_OFFLINE forbids to fetch it: unset it")
    with hub_errors(place, name, revision, remedy="check the network and HF_ENDPOINT"):
        info = HfApi().model_info(name, revision=revision, files_metadata=True, timeout=TIMEOUT)
    siblings = {sibling.rfilename: sibling for sibling in info.siblings or []}
    files = []
    for file in _needed(set(siblings), name, place):
        about = siblings[file]
        if about.size is None or info.sha is None:
            raise UserError(f"{place}: {constants.ENDPOINT} gives no commit or no sizes for '{name}': mend HF_ENDPOINT")
        sha256 = about.lfs.sha256 if about.lfs else None
        files.append(ManifestFile(name=file, size=about.size, sha256=sha256, git_sha1=about.blob_id))
    return Manifest(name=name, commit=str(info.sha), revision=revision or "main", files=files)


def _require_hub_name(name: str, place: str) -> None:
    if name.startswith("tiny:"):
        raise UserError(f"{place}: '{name}' is built on the spot: there is nothing to fetch")
    if Path(name).is_dir():
        raise UserError(f"{place}: '{name}' is a folder here already: there is nothing to fetch")
    if not HUB_NAME.fullmatch(name):
        raise UserError(f"{place}: '{name}' is no name on the Hub: write one such as google-bert/bert-base-cased")


def _needed(names: set[str], model: str, place: str) -> list[str]:
    """The weights, in one file or in shards, and what belongs to them."""
    shards = {name for name in names if SHARD.fullmatch(name)} | {INDEX}
    weights = {WEIGHTS} if WEIGHTS in names else shards
    if not weights <= names:
        raise UserError(f"{place}: '{model}' has no model.safetensors: choose a model with safetensors weights")
    if "config.json" not in names:
        raise UserError(f"{place}: '{model}' has no config.json, so transformers cannot load it: choose another model")
    return sorted(weights | {name for name in names if BESIDE_WEIGHTS.fullmatch(name)})


@contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """Keep other processes from fetching into this folder meanwhile."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder.with_name(f".{folder.name}.lock"), timeout=0):
            yield
    except Timeout as error:
        raise UserError(f"{folder}: another fetch is writing here: wait for it") from error


def _is_there(model: Manifest, folder: Path) -> bool:
    """Whether the folder holds the model, whole. Raises UserError if it holds something else."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    there = read_manifest(folder)
    if there is None:
        raise UserError(f"{folder}: exists, and was not fetched: choose another folder with --to, or move it away")
    if (there.name, there.commit) != (model.name, model.commit):
        raise UserError(
            f"{folder}: holds {there.name} at commit {there.commit}, but {model.name} at commit {model.commit} is "
            f"wanted: choose another folder with --to, or delete it"
        )
    for file in there.files:
        path = folder / file.name
        if not path.is_file() or path.stat().st_size != file.size:
            raise UserError(f"{path}: is missing or has changed: delete {folder} and fetch the model again")
    return True


def _bring(model: Manifest, folder: Path, place: str, console: Console) -> None:
    partial = folder.with_name(f".{folder.name}.part")
    before = read_manifest(partial)
    if before and (before.name, before.commit) != (model.name, model.commit):
        shutil.rmtree(partial)  # parts of another commit cannot be continued
    free = shutil.disk_usage(folder.parent).free
    missing = model.size - bytes_there(model, partial)
    _show(model, folder, missing, free, console)
    if missing > free:
        raise UserError(
            f"{folder}: needs {decimal(missing)}, and {decimal(free)} are free on this disk: make room, or choose a "
            f"folder on another one with --to"
        )
    partial.mkdir(exist_ok=True)
    (partial / DESCRIPTION).write_text(model.model_dump_json(indent=1) + "\n", encoding="utf-8")
    try:
        download(model, partial, place, console)
    except KeyboardInterrupt:
        console.print(f"{partial} keeps what has come: the same command goes on from there", soft_wrap=True)
        raise
    _require_shards(partial, model, place)
    if folder.exists():
        folder.rmdir()  # empty, see above; Windows renames only to free names
    os.replace(partial, folder)
    console.print(f"written: {folder}", highlight=False, soft_wrap=True)


def _show(model: Manifest, folder: Path, missing: int, free: int, console: Console) -> None:
    table = Table(
        "file", Column("size", justify="right"), title=f"{model.name}, {model.revision}", title_justify="left"
    )
    for file in model.files:
        table.add_row(file.name, decimal(file.size))
    console.print(table)
    console.print(
        f"  commit {model.commit}\n"
        f"  {decimal(model.size)} in {counted(len(model.files), 'file')}, of which {decimal(missing)} are to come\n"
        f"  to {folder}, where {decimal(free)} are free",
        highlight=False,
        soft_wrap=True,
    )


def _require_shards(folder: Path, model: Manifest, place: str) -> None:
    """Each shard that the index names must be one of the files."""
    if not (folder / INDEX).exists():
        return
    named = set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values())
    if missing := named - {file.name for file in model.files}:
        raise UserError(f"{place}: '{model.name}' lacks {min(missing)}, which its index names: choose another model")
