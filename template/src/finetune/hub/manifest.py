"""The manifest of a downloaded base model: its revision, and the size and checksum of each file.

A model with a manifest is loaded from its local folder instead of the Hub.
"""

from pathlib import Path

from pydantic import ValidationError

from ..config.config import Model
from ..section import Section

MODELS = Path("models")
MANIFEST_FILE = "finetune-fetch.json"


class ManifestFile(Section):
    """A file, as the Hub lists it."""

    name: str
    size: int
    sha256: str | None
    """Of files in large file storage, such as the weights; otherwise None."""
    git_sha1: str | None
    """The checksum of the git blob; of a file in large file storage it belongs to the pointer."""


class Manifest(Section):
    """The files of a model at one commit."""

    name: str
    commit: str
    revision: str
    """The requested revision: a branch, a tag or the commit itself."""
    files: list[ManifestFile]

    @property
    def size(self) -> int:
        """Total size in bytes."""
        return sum(file.size for file in self.files)


def default_folder(name: str) -> Path:
    """The folder to which a model of this name is downloaded by default."""
    return MODELS / name.replace("/", "--")


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest in a folder; None if there is no valid one."""
    try:
        return Manifest.model_validate_json((folder / MANIFEST_FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def find_manifest(model: Model) -> Manifest | None:
    """The manifest of the model in its default folder; None if it is missing or belongs to another revision.

    Code is not downloaded, so a model with remote code is always loaded from the Hub.
    """
    if Path(model.name).is_dir() or model.trust_remote_code:
        return None
    manifest = read_manifest(default_folder(model.name))
    if manifest is None or manifest.name != model.name:
        return None
    return manifest if model.revision in (None, manifest.commit, manifest.revision) else None
