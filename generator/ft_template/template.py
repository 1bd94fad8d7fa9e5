"""A template and its questions: the bundled one, or another that cookiecutter can open."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from .errors import FAILED, UserError

HERE = Path(__file__).resolve().parent
BUNDLE = HERE / "bundle" if (HERE / "bundle").is_dir() else HERE.parents[1]
"""The template as the wheel carries it, or the checkout that this file lies in."""

LINK = "{{cookiecutter.project_slug}}"
ENVIRONMENTS = {"empty", "install", "none"}


@dataclass(frozen=True)
class Question:
    """One entry of cookiecutter.json that is asked."""

    name: str
    default: object
    """As it is written there: it may follow from other answers."""
    prompt: str
    choices: tuple[str, ...] = ()
    explained: Mapping[str, str] = field(default_factory=dict)
    """By choice, what it means."""


@dataclass(frozen=True)
class Template:
    """A folder with a cookiecutter.json."""

    name: str
    folder: Path
    bundled: bool
    document: Mapping[str, Any]
    """cookiecutter.json as it is."""

    @classmethod
    def read(cls, name: str, folder: Path) -> "Template":
        """Read cookiecutter.json, which must describe one template."""
        source = folder / "cookiecutter.json"
        try:
            document = json.loads(source.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{source} cannot be read ({error}): choose another template.", FAILED) from error
        if not isinstance(document, dict) or {"template", "templates"} & set(document):
            sentence = f"{source} does not describe one template: give the path of one that it leads to."
            raise UserError(sentence, FAILED)
        return cls(name, folder, folder == BUNDLE, document)

    @cached_property
    def questions(self) -> dict[str, Question]:
        """By name, in the order in which they are asked."""
        prompts = self.document.get("__prompts__", {})
        return {
            name: _question(name, default, prompts.get(name))
            for name, default in self.document.items()
            if not name.startswith("_")
        }

    @property
    def version(self) -> str | None:
        version = self.document.get("__template_version")
        return version if isinstance(version, str) else None

    @property
    def leaves_environment_to_us(self) -> bool:
        """Whether the question `environment` is the one that we know: then the .venv is made where it will stay."""
        question = self.questions.get("environment")
        return question is not None and set(question.choices) == ENVIRONMENTS


def _question(name: str, default: object, prompt: object) -> Question:
    explained = prompt if isinstance(prompt, dict) else {}
    text = explained.get("__prompt__", name) if explained else prompt or name
    choices = tuple(str(choice) for choice in default) if isinstance(default, list) else ()
    meanings = {choice: str(explained.get(choice, choice)).removeprefix(f"{choice}: ") for choice in choices}
    return Question(name, default, str(text), choices, meanings)


def bundled() -> Template:
    """The template that this version of the command belongs to."""
    return Template.read("ft-template", BUNDLE)


def open_template(name: str | None, fetch: Callable[[str], Path]) -> Template:
    """The template of that name, path or URL; `fetch` brings what is not on this machine."""
    if name is None:
        return bundled()
    folder = Path(name).expanduser()
    if not (folder / "cookiecutter.json").is_file():
        folder = fetch(name)
    return Template.read(name, folder.resolve())


def stage(template: Template, scratch: Path) -> Path:
    """What cookiecutter renders. A wheel holds no links and may be read-only, so the link is made in `scratch`."""
    if not template.bundled:
        return template.folder
    folder = scratch / "ft-template"
    folder.mkdir()
    shutil.copyfile(template.folder / "cookiecutter.json", folder / "cookiecutter.json")
    try:
        (folder / LINK).symlink_to(template.folder / "template", target_is_directory=True)
    except OSError:  # Windows, without the right to make links
        shutil.copytree(template.folder / "template", folder / LINK)
    return folder
