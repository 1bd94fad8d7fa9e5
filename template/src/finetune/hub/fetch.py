"""`finetune fetch`: download a base model into a local folder, so that training needs no network.

The files are downloaded into a hidden folder beside the target, which is renamed when it is complete. An interrupted
download is resumed by the next call.
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
from ..hub_client import HUB_NAME, TIMEOUT, endpoint, hub_errors
from .download import disk_errors, download, downloaded_bytes
from .manifest import MANIFEST_FILE, Manifest, ManifestFile, default_folder, read_manifest
from .pin import pin_revision

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
CONFIG_AND_TOKENIZER = re.compile(
    r"config\.json|generation_config\.json|tokenizer\.json|tokenizer_config\.json|special_tokens_map\.json"
    r"|added_tokens\.json|(target_)?vocab\.(json|txt)|merges\.txt|chat_template\.(json|jinja)|[\w.-]+\.(model|spm|tiktoken)"
)
"""Config and tokenizer files. No code, no pickles, no path outside of the folder."""


def fetch_for_config(path: Path, name: str | None, revision: str | None, console: Console) -> None:
    """Download the model of a config, and pin its commit there as model.revision."""
    model = load_config(path).model
    if name not in (None, model.name):
        raise UserError(f"{path}: model.name is '{model.name}', not '{name}': change it there, or leave MODEL out")
    if model.trust_remote_code:
        raise UserError(f"{path}: model.trust_remote_code: code is not downloaded: set it to false, or train online")
    fetched = fetch(model.name, revision or model.revision, None, console, place=f"{path}: model.name")
    if model.revision != fetched.commit:
        pin_revision(path, fetched.commit)
        console.print(f"{path}: model.revision is now {fetched.commit}", highlight=False, soft_wrap=True)
    console.print(f"next: python -m finetune train {path}", highlight=False, soft_wrap=True)


def fetch(name: str, revision: str | None, to: Path | None, console: Console, place: str = "MODEL") -> Manifest:
    """Download the model `name` at `revision` into the folder `to` or its default folder, unless it is there already.

    Raises UserError for an unknown model, a full disk, no network, or other files in the folder; `place` says where the
    name was given.
    """
    _require_hub_name(name, place)
    folder = to or default_folder(name)
    model = read_manifest(folder)
    if model is None or (model.name, model.commit) != (name, revision):  # a commit never changes: no second request
        model = request_manifest(name, revision, place)
    with disk_errors(folder), _locked(folder):
        if _is_complete(model, folder):
            console.print(f"{folder}: is downloaded already, at commit {model.commit}", highlight=False, soft_wrap=True)
        else:
            _download_model(model, folder, place, console)
    return model


def request_manifest(name: str, revision: str | None, place: str) -> Manifest:
    """Request the commit of a revision from the Hub, and its files that training needs."""
    if constants.HF_HUB_OFFLINE:
        raise UserError(f"{place}: '{name}' cannot be downloaded while HF_HUB_OFFLINE is set: unset it")
    with hub_errors(place, name, revision, remedy="check the network, or set HF_ENDPOINT to a mirror"):
        info = HfApi().model_info(name, revision=revision, files_metadata=True, timeout=TIMEOUT)
    siblings = {sibling.rfilename: sibling for sibling in info.siblings or []}
    files = []
    for file in _needed(set(siblings), name, place):
        about = siblings[file]
        if about.size is None or info.sha is None:
            raise UserError(f"{place}: {endpoint()} has no commit or no sizes of '{name}': check HF_ENDPOINT")
        sha256 = about.lfs.sha256 if about.lfs else None
        files.append(ManifestFile(name=file, size=about.size, sha256=sha256, git_sha1=about.blob_id))
    return Manifest(name=name, commit=str(info.sha), revision=revision or "main", files=files)


def _require_hub_name(name: str, place: str) -> None:
    if name.startswith("tiny:"):
        raise UserError(f"{place}: '{name}' is created locally: there is nothing to fetch")
    if Path(name).is_dir():
        raise UserError(f"{place}: '{name}' is a local folder: there is nothing to fetch")
    if not HUB_NAME.fullmatch(name):
        raise UserError(f"{place}: '{name}' is not a model name of the Hub: use one like google-bert/bert-base-cased")


def _needed(names: set[str], model: str, place: str) -> list[str]:
    """The weights, in one file or as a sharded checkpoint with its index, and the config and tokenizer files."""
    shards = {name for name in names if SHARD.fullmatch(name)} | {INDEX}
    weights = {WEIGHTS} if WEIGHTS in names else shards
    if not weights <= names:
        raise UserError(f"{place}: '{model}' has no model.safetensors: choose a model with safetensors weights")
    if "config.json" not in names:
        raise UserError(f"{place}: '{model}' has no config.json, so transformers cannot load it: choose another model")
    return sorted(weights | {name for name in names if CONFIG_AND_TOKENIZER.fullmatch(name)})


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a lock against other processes that fetch into this folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder.with_name(f".{folder.name}.lock"), timeout=0):
            yield
    except Timeout as error:
        raise UserError(f"{folder}: another fetch is writing here: wait for it") from error


def _is_complete(model: Manifest, folder: Path) -> bool:
    """Whether the folder has all files of the model. Raises UserError if it has other files."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    existing = read_manifest(folder)
    if existing is None:
        raise UserError(f"{folder}: exists, but was not fetched: choose another folder with --to, or move it away")
    if (existing.name, existing.commit) != (model.name, model.commit):
        raise UserError(
            f"{folder}: holds {existing.name} at commit {existing.commit}, not {model.name} at commit {model.commit}: "
            f"choose another folder with --to, or delete it"
        )
    for file in existing.files:
        path = folder / file.name
        if not path.is_file() or path.stat().st_size != file.size:
            raise UserError(f"{path}: is missing or has changed: delete {folder} and fetch the model again")
    return True


def _download_model(model: Manifest, folder: Path, place: str, console: Console) -> None:
    partial = folder.with_name(f".{folder.name}.part")
    before = read_manifest(partial)
    if before and (before.name, before.commit) != (model.name, model.commit):
        shutil.rmtree(partial)  # partial files of another commit cannot be resumed
    free = shutil.disk_usage(folder.parent).free
    missing = model.size - downloaded_bytes(model, partial)
    _show(model, folder, missing, free, console)
    if missing > free:
        raise UserError(
            f"{folder}: needs {decimal(missing)}, and {decimal(free)} are free on this disk: make room, or choose a "
            f"folder on another one with --to"
        )
    partial.mkdir(exist_ok=True)
    (partial / MANIFEST_FILE).write_text(model.model_dump_json(indent=1) + "\n", encoding="utf-8")
    try:
        download(model, partial, place, console)
    except KeyboardInterrupt:
        console.print(f"{partial} keeps the partial download: run the same command to resume it", soft_wrap=True)
        raise
    _require_shards(partial, model, place)
    if folder.exists():
        folder.rmdir()  # empty, as checked before; Windows cannot rename onto an existing folder
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
        f"  {decimal(model.size)} in {counted(len(model.files), 'file')}, of which {decimal(missing)} to download\n"
        f"  to {folder}, where {decimal(free)} are free",
        highlight=False,
        soft_wrap=True,
    )


def _require_shards(folder: Path, model: Manifest, place: str) -> None:
    """Raise UserError if the index lists a shard that is not among the files."""
    if not (folder / INDEX).exists():
        return
    listed = set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values())
    if missing := listed - {file.name for file in model.files}:
        raise UserError(f"{place}: '{model.name}' lacks {min(missing)}, which {INDEX} lists: choose another model")
