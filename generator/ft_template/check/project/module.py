"""A module file: the roots of the project, and what is left out of it."""

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
    """A folder that the module file names."""

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
    """`$MODULE_DIR$`: the folder of the file, or the parent of `.idea` where it lies in that."""

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
        """Names of files and folders that are left out wherever they are."""
        return [node.get("pattern") for node in self.node.walk("excludePattern")]

    def excludes(self, path: Path) -> bool:
        """Whether a file or folder is left out, by itself or by a folder above it."""
        return any(self.leaves_out(part) for part in (path, *path.parents) if part.is_relative_to(self.directory))

    def leaves_out(self, path: Path) -> bool:
        """Whether it is left out by itself."""
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
