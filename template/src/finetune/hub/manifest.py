"""A base model in a folder of the project: what it was fetched as, and where the loader finds it instead of the Hub."""

from pathlib import Path

from pydantic import ValidationError

from ..config.config import Model
from ..section import Section

MODELS = Path("models")
DESCRIPTION = "finetune-fetch.json"


class ManifestFile(Section):
    """A file as the Hub describes it."""

    name: str
    size: int
    sha256: str | None
    """Known of large files."""
    git_sha1: str | None
    """Git's checksum; of a large file it is that of a pointer to it."""


class Manifest(Section):
    """A model at one commit."""

    name: str
    commit: str
    revision: str
    """What was asked for: the commit itself, or the branch or tag that stood there."""
    files: list[ManifestFile]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def default_folder(name: str) -> Path:
    """Where a model of this name is put, and looked for."""
    return MODELS / name.replace("/", "--")


def read_manifest(folder: Path) -> Manifest | None:
    """What a folder was fetched as; None if it was not fetched."""
    try:
        return Manifest.model_validate_json((folder / DESCRIPTION).read_bytes())
    except (OSError, ValidationError):
        return None


def find_manifest(model: Model) -> Manifest | None:
    """The model as it lies in its default folder; None if that is not there or holds another revision.

    Code is not fetched, so a model that needs its own is left to the Hub.
    """
    if Path(model.name).is_dir() or model.trust_remote_code:
        return None
    fetched = read_manifest(default_folder(model.name))
    if fetched is None or fetched.name != model.name:
        return None
    return fetched if model.revision in (None, fetched.commit, fetched.revision) else None
