"""A module file (.iml): content roots, source roots, excluded folders and patterns."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..fault import Place
from .document import Node
from .macros import expand


@dataclass(frozen=True)
class Root:
    """A folder listed in the module file."""

    path: Path
    place: Place
    is_test: bool = False


@dataclass(frozen=True)
class Module:
    """One `.iml` file."""

    name: str
    node: Node
    project_dir: Path
    directory: Path
    """`$MODULE_DIR$`: the folder of the file, or the parent of `.idea` if it is in there."""

    @cached_property
    def content_roots(self) -> list[Root]:
        return self._folders("content")

    @cached_property
    def source_roots(self) -> list[Root]:
        return self._folders("sourceFolder")

    @cached_property
    def excluded(self) -> list[Root]:
        return self._folders("excludeFolder")

    @cached_property
    def patterns(self) -> list[str]:
        """Names of files and folders that are excluded everywhere."""
        return [node.get("pattern") for node in self.node.walk("excludePattern")]

    def excludes(self, path: Path) -> bool:
        """Whether a file or folder, or one of its parents, is excluded."""
        return any(self.excludes_itself(part) for part in (path, *path.parents) if part.is_relative_to(self.directory))

    def excludes_itself(self, path: Path) -> bool:
        """Whether it is excluded itself, whatever its parents are."""
        return path in self._excluded_paths or any(fnmatch.fnmatchcase(path.name, name) for name in self.patterns)

    @cached_property
    def _excluded_paths(self) -> set[Path]:
        return {root.path for root in self.excluded}

    def _folders(self, tag: str) -> list[Root]:
        return [
            Root(self._path(node.get("url")), node.place, node.get("isTestSource") == "true")
            for node in self.node.walk(tag)
        ]

    def _path(self, url: str) -> Path:
        return Path(expand(url, self.project_dir, self.directory).removeprefix("file://"))
