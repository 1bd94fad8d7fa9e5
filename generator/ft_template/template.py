"""A template and its questions: the bundled template, or any other that cookiecutter can open."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from .errors import FAILED, UserError
from .parsing import parse_json
from .reading import RefusedError, read_text

HERE = Path(__file__).resolve().parent
BUNDLE = HERE / "bundle" if (HERE / "bundle").is_dir() else HERE.parents[1]
"""The copy of the template inside the wheel, or the checkout that contains this file."""

ENVIRONMENTS = {"empty", "install", "none"}


@dataclass(frozen=True)
class Question:
    """One public entry of cookiecutter.json."""

    name: str
    default: object
    """As written there: it may be an expression over other answers."""
    prompt: str
    choices: tuple[str, ...] = ()
    descriptions: Mapping[str, str] = field(default_factory=dict)
    """The description of each choice."""


@dataclass(frozen=True)
class Template:
    """A folder with a cookiecutter.json."""

    name: str
    folder: Path
    bundled: bool
    document: Mapping[str, Any]
    """The contents of cookiecutter.json."""

    @classmethod
    def read(cls, name: str, folder: Path) -> "Template":
        """Read cookiecutter.json, which must describe one template."""
        source = folder / "cookiecutter.json"
        try:
            document = parse_json(read_text(source, folder.resolve()))
        except (OSError, RefusedError, ValueError) as error:
            raise UserError(f"{source} cannot be read ({error}): choose another template.", FAILED) from error
        if not isinstance(document, dict) or {"template", "templates"} & set(document):
            message = f"{source} does not describe one template: give the path of one of the templates that it lists."
            raise UserError(message, FAILED)
        return cls(name, folder, folder == BUNDLE, document)

    @cached_property
    def questions(self) -> dict[str, Question]:
        """All questions by name, in the order in which they are asked."""
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
    def supports_environment(self) -> bool:
        """Whether the question `environment` has the known choices, so that `new` can create the .venv itself."""
        question = self.questions.get("environment")
        return question is not None and set(question.choices) == ENVIRONMENTS


def _question(name: str, default: object, prompt: object) -> Question:
    prompts = prompt if isinstance(prompt, dict) else {}
    text = prompts.get("__prompt__", name) if prompts else prompt or name
    choices = tuple(str(choice) for choice in default) if isinstance(default, list) else ()
    descriptions = {choice: str(prompts.get(choice, choice)).removeprefix(f"{choice}: ") for choice in choices}
    return Question(name, default, str(text), choices, descriptions)


def bundled() -> Template:
    """The template that is installed with this version of the command."""
    return Template.read("ft-template", BUNDLE)


def open_template(name: str | None, fetch: Callable[[str], Path]) -> Template:
    """The template with this path or URL, or the bundled one; `fetch` downloads a template that is not local."""
    if name is None:
        return bundled()
    folder = Path(name).expanduser()
    if not (folder / "cookiecutter.json").is_file():
        folder = fetch(name)
    return Template.read(name, folder.resolve())
