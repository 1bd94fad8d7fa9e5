"""A project's files as PyCharm finds them: modules.xml, its module files, the run configurations."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from ...parsing import parse_toml
from ...reading import RefusedError, read_bytes, read_text
from ..fault import Violation
from .configuration import COMPOUND, Configuration
from .document import Node, UnreadableError, parse
from .macros import expand
from .module import Module

SHARED = (
    "*.iml",
    "modules.xml",
    "jsonSchemas.xml",
    "pyProjectModel.xml",
    "dictionaries/*.xml",
    "runConfigurations/*.xml",
)
PERSONAL = ("vcs.xml", "encodings.xml")
"""Files in .idea that are checked, of the team and of one user; all others are settings of PyCharm and its plugins."""

MOST_FILES = 20_000
"""Files of the content that are looked at: PyCharm indexes them all, too."""

NEVER_CONTENT = {".git", ".idea", ".venv"}
RUN_CONFIGURATIONS = "ProjectRunConfigurationManager"


Content = TypeVar("Content", bytes, str)


class Project:
    """Reads lazily, each file once, and only files of the project itself.

    `unreadable` collects the errors of files that cannot be parsed, `refused` the reasons why others are not read.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.unreadable: list[Violation] = []
        self.refused: dict[str, str] = {}
        self._texts: dict[Path, str | None] = {}

    def name(self, path: Path) -> str:
        """A path relative to the root, with forward slashes."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.as_posix()

    @cached_property
    def idea_documents(self) -> dict[str, Node]:
        """The root elements of the files in .idea that are checked and of module files, by path."""
        inside = [path for pattern in (*SHARED, *PERSONAL) for path in (self.root / ".idea").glob(pattern)]
        return self._read([*inside, *self.root.glob("*.iml")])

    @cached_property
    def run_documents(self) -> dict[str, Node]:
        """The root elements of the *.run.xml files in the project's content, by path."""
        return self._read(path for path in self._content() if path.name.endswith(".run.xml"))

    @property
    def documents(self) -> dict[str, Node]:
        return self.idea_documents | self.run_documents

    def _read(self, paths: Iterable[Path]) -> dict[str, Node]:
        documents: dict[str, Node] = {}
        for path in sorted(set(paths)):
            content = self._read_by(read_bytes, path)
            try:
                if content is not None:
                    documents[self.name(path)] = parse(content, self.name(path))
            except UnreadableError as error:
                self.unreadable.append((error.place, str(error)))
        return documents

    def text(self, path: Path) -> str | None:
        """The text of a file; None if it is missing or refused."""
        if path not in self._texts:
            self._texts[path] = self._read_by(read_text, path)
        return self._texts[path]

    def is_refused(self, path: Path) -> bool:
        """Whether a file exists that is not read."""
        return self.text(path) is None and self.name(path) in self.refused

    def _read_by(self, read: Callable[[Path, Path], Content], path: Path) -> Content | None:
        try:
            return read(path, self.root)
        except FileNotFoundError:
            return None
        except RefusedError as error:
            self.refused[self.name(path)] = str(error)
            return None

    def _content(self) -> Iterator[Path]:
        """Every file that no module excludes, without .idea, .git and .venv."""

        def kept(folder: str, names: Iterable[str]) -> list[Path]:
            paths = [Path(folder, name) for name in sorted(names)]
            return [path for path in paths if not any(module.excludes_itself(path) for module in self.modules)]

        waiting, found = [self.root], 0
        while waiting and found < MOST_FILES:
            folder, folders, names = next(os.walk(waiting.pop()), ("", [], []))
            inside = kept(folder, set(folders) - NEVER_CONTENT)
            waiting += [path for path in reversed(inside) if not path.is_symlink()]
            files = kept(folder, names)[: MOST_FILES - found]
            found += 1 + len(files)
            yield from files
        if waiting or found >= MOST_FILES:
            self.refused["."] = f"it has more than {MOST_FILES:,} files and folders that are not excluded"

    @cached_property
    def pyproject(self) -> dict[str, Any]:
        """pyproject.toml; empty if it cannot be read, which a rule reports."""
        try:
            return parse_toml(self.text(self.root / "pyproject.toml") or "")
        except ValueError:
            return {}

    def setting(self, *keys: str) -> Any:
        """A value of pyproject.toml; None if it is missing."""
        value: Any = self.pyproject
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def settings(self, *keys: str) -> list[str]:
        """The strings in a list of pyproject.toml."""
        values = self.setting(*keys)
        return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []

    @property
    def distribution(self) -> str:
        """`[project].name`."""
        return str(self.setting("project", "name") or "")

    @cached_property
    def dependencies(self) -> set[str]:
        """The names of its dependencies, extras included, in lower case with underscores."""
        extras = self.setting("project", "optional-dependencies")
        names = extras if isinstance(extras, dict) else ()
        lists = [self.settings("project", "optional-dependencies", name) for name in names]
        requirements = sum(lists, self.settings("project", "dependencies"))
        found = [re.match(r"[\w.-]+", requirement) for requirement in requirements]
        return {re.sub(r"[-.]", "_", name[0].lower()) for name in found if name}

    @cached_property
    def module_entries(self) -> list[Node]:
        """The `<module>` elements of modules.xml."""
        document = self.idea_documents.get(".idea/modules.xml")
        components = document.named("component") if document else []
        managers = [node for node in components if node.get("name") == "ProjectModuleManager"]
        return [module for manager in managers for module in manager.walk("module")]

    @cached_property
    def modules(self) -> list[Module]:
        """The modules in modules.xml whose files can be read."""
        modules = []
        for entry in self.module_entries:
            path = Path(self.expand(entry.get("filepath")))
            node = self.idea_documents.get(self.name(path))
            if node:
                directory = path.parent.parent if path.parent.name == ".idea" else path.parent
                modules.append(Module(path.stem, node, self.root, directory))
        return modules

    def excludes(self, path: Path) -> bool:
        return any(module.excludes(path) for module in self.modules)

    @property
    def content_roots(self) -> list[Path]:
        return [root.path for module in self.modules for root in module.content_roots]

    @property
    def source_roots(self) -> list[Path]:
        """Source and test roots: PyCharm adds both to PYTHONPATH."""
        return [root.path for module in self.modules for root in module.source_roots]

    def expand(self, text: str) -> str:
        """Expand the path macros; `$MODULE_DIR$` is that of the first module."""
        module_dir = self.modules[0].directory if "MODULE_DIR" in text and self.modules else self.root
        return expand(text, self.root, module_dir)

    @cached_property
    def files(self) -> list[str]:
        """The paths of all content files."""
        return [self.name(path) for path in self._content()]

    @property
    def configuration_files(self) -> dict[str, Node]:
        """The root elements of the files in which PyCharm looks for run configurations, by path."""
        folder = ".idea/runConfigurations/"
        return {name: node for name, node in self.documents.items() if name.startswith(folder)} | self.run_documents

    @cached_property
    def configurations(self) -> list[Configuration]:
        """All configurations; PyCharm reads only the first one of a file in .idea, and all of a *.run.xml."""
        configurations: list[Configuration] = []
        for name, node in self.configuration_files.items():
            if (node.tag, node.get("name")) != ("component", RUN_CONFIGURATIONS):
                continue
            in_idea = name.startswith(".idea/")
            elements = node.named("configuration")
            configurations += [Configuration(element, in_idea) for element in (elements[:1] if in_idea else elements)]
        return configurations

    @property
    def known_configurations(self) -> list[Configuration]:
        """The configurations of the types that are checked in detail."""
        return [one for one in self.configurations if one.is_known]

    @cached_property
    def by_key(self) -> dict[tuple[str, str], Configuration]:
        """Run configurations by (type, name), as compounds and before-launch tasks refer to them."""
        return {(one.type, one.name): one for one in self.configurations if not one.is_template}

    @property
    def python_configurations(self) -> list[Configuration]:
        return [one for one in self.configurations if one.is_python]

    @property
    def test_configurations(self) -> list[Configuration]:
        return [one for one in self.configurations if one.is_test]

    @property
    def compounds(self) -> list[Configuration]:
        return [one for one in self.configurations if one.type == COMPOUND]
