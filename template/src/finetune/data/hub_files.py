"""Data files on the Hugging Face Hub, `hf://datasets/ORG/NAME/PATH`: downloaded once, pinned, then used offline.

The first use of a dataset notes the commit of its revision and the names of its files. All later uses take this commit
and the files that are there, without a request; whoever wants a later version deletes the note.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

from filelock import FileLock
from huggingface_hub import HfApi, constants, hf_hub_download
from pydantic import ValidationError

from ..console import notice
from ..errors import UserError
from ..files import write_atomic
from ..hub_client import TIMEOUT, hub_errors
from ..section import Section

FOLDER = Path("data/hub")
"""Where downloaded data files are kept, by dataset and commit."""
SOURCE = re.compile(
    r"hf:/+datasets/(?P<name>[\w.-]+/[\w.-]+)(?:@(?P<revision>refs/(?:convert|pr)/[^/@]+|[^/@]+))?/(?P<path>[^@]+)"
)


class Listing(Section):
    """The files of a dataset at the commit that its revision had."""

    name: str
    revision: str
    commit: str
    files: list[str]

    @property
    def folder(self) -> Path:
        """Where its files are downloaded."""
        return FOLDER / self.name.replace("/", "--") / self.commit


def hub_files(source: str) -> list[Path]:
    """The local copies of a file, or of those that a pattern matches, by name; downloaded where they are missing.

    Raises UserError for an unknown dataset or file, and where the Hub cannot be reached.
    """
    match = SOURCE.fullmatch(source)
    if not match:
        raise UserError(f"{source}: is no address of a data file: write hf://datasets/ORG/NAME/PATH, where PATH is "
                        f"a file or a pattern such as data/*.parquet; a revision goes behind NAME: @main")  # fmt: skip
    name, revision, path = match["name"], match["revision"] or "main", match["path"]
    listing = _listing(source, name, revision)
    files = sorted(file for file in listing.files if _is_safe(file) and _matches(file, path))
    if not files:
        known = ", ".join(file for file in listing.files if not Path(file).name.startswith("."))
        shown = known if len(known) < 200 else f"{known[:200]}..."
        raise UserError(f"{source}: '{name}' has no such file at {revision} (found: {shown}): correct the path")
    return [_downloaded(source, listing, file) for file in files]


def _listing(source: str, name: str, revision: str) -> Listing:
    note = FOLDER / name.replace("/", "--") / f"{revision.replace('/', '--')}.json"
    if known := _read(note):
        return known
    with _connected(source, name, revision):
        info = HfApi().dataset_info(name, revision=revision, timeout=TIMEOUT)
    files = [sibling.rfilename for sibling in info.siblings or []]
    note.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{note}.lock"):  # of several processes the first one pins the commit
        if known := _read(note):
            return known
        listing = Listing(name=name, revision=revision, commit=str(info.sha), files=files)
        write_atomic(note, listing.model_dump_json(indent=1) + "\n")
    notice(f"{source}: pinned to commit {listing.commit}: delete {note.as_posix()} for a later version")
    return listing


def _read(note: Path) -> Listing | None:
    try:
        return Listing.model_validate_json(note.read_bytes())
    except (OSError, ValidationError):
        return None


def _downloaded(source: str, listing: Listing, file: str) -> Path:
    path = listing.folder / file
    if not path.is_file():
        with _connected(source, listing.name, listing.revision):
            hf_hub_download(listing.name, file, repo_type="dataset", revision=listing.commit, local_dir=listing.folder)
    return path


@contextmanager
def _connected(source: str, name: str, revision: str) -> Iterator[None]:
    """Errors of the Hub as UserError about the source."""
    if constants.HF_HUB_OFFLINE:
        raise UserError(
            f"{source}: has not been downloaded yet, and HF_HUB_OFFLINE is set: unset it, or name a local file"
        )
    remedy = "check the network, set HF_ENDPOINT to a mirror, or name a local file"
    with hub_errors(source, name, revision, remedy, kind="dataset"):
        yield


def _is_safe(file: str) -> bool:
    """Whether a name from the Hub stays in the folder, on every system."""
    parts = file.split("/")
    return not any(part in ("", ".", "..") or set(part) & set('\\:*?"<>|') for part in parts)


def _matches(file: str, pattern: str) -> bool:
    """Whether a file has the path, or matches the pattern; `*` matches within a folder and `**` across folders."""
    if file == pattern:
        return True
    if Path(file).name.startswith("."):
        return False
    if "**" in pattern:
        return fnmatchcase(file, pattern.replace("**/", "*"))
    parts, patterns = file.split("/"), pattern.split("/")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))
