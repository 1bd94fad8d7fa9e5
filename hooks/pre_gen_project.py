"""Before a file is written: refuse answers that would make a broken project, and mend the link to the template.

Cookiecutter renders this file and runs it alone, so it uses the standard library only. It is also valid Python as it
stands here, so that the tests import it.
"""

import json
import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Mapping
from pathlib import Path

# The length keeps paths inside the project below the 260 characters that Windows allows by default.
SLUG = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
WINDOWS_DEVICES = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?", re.ASCII)
TINY_MODEL = re.compile(r"tiny:[a-z0-9]+")
LOCAL_FOLDER = re.compile(r"(?:[./~\\]|[A-Za-z]:[/\\]).*")
LONGEST_ANSWER = 300
WRITING = frozenset({"text-generation", "chat", "translation", "summarization"})

# Text that looks reversed, or like other text, to whoever reads the file.
BIDIRECTIONAL = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

# A project of the same name would count as the dependency itself, and pip would not install that.
PACKAGES = """
absl-py accelerate annotated-doc annotated-types anyio bitsandbytes click cloudpickle colorama contourpy cycler
defusedxml execnet filelock finetune flatbuffers fonttools fsspec grpcio h11 hf-xet httpcore2 httpx2 huggingface-hub
idna iniconfig jinja2 joblib kiwisolver lxml markdown markdown-it-py markupsafe matplotlib mdurl ml-dtypes mpmath
narwhals networkx nltk numpy onnx onnx-ir onnxruntime onnxscript packaging peft pillow pip pluggy portalocker protobuf
psutil pyarrow pydantic pydantic-core pygments pyparsing pytest pytest-xdist python-dateutil pyyaml regex rich
rouge-score ruff sacrebleu safetensors scikit-learn scipy seqeval setuptools shellingham six sympy tabulate
tensorboard tensorboard-data-server threadpoolctl tokenizers torch tqdm transformers triton truststore typer
typing-extensions typing-inspection tzdata uv werkzeug wheel
"""
TAKEN = frozenset(PACKAGES.split())

# {% raw %} Cookiecutter renders this file: what follows is not meant for it.
JINJA = ("{{", "{%", "{#")
# Defaults that follow from other answers refer to one private variable, and nothing else may hold an expression.
DERIVED_DEFAULT = re.compile(r"\{\{ cookiecutter\.__\w+ \}\}")
LINK = "{{cookiecutter.project_slug}}"
# {% endraw %}


def problem(answers: Mapping[str, object], originals: Mapping[str, object] | None = None) -> str | None:
    """The first thing that is wrong with the answers, as one sentence with its remedy; None if nothing is."""
    return next(iter(faults(answers, originals).values()), None)


def faults(answers: Mapping[str, object], originals: Mapping[str, object] | None = None) -> dict[str, str]:
    """By answer what is wrong with it, each one sentence with its remedy; the causes before what follows from them.

    `originals` are the answers before cookiecutter rendered them: a flag that holds an expression is already evaluated
    in `answers`.
    """
    found = text_faults(answers)
    for name, value in (originals or {}).items():
        if isinstance(value, str) and _has_jinja(value) and not DERIVED_DEFAULT.fullmatch(value):
            found.setdefault(name, _jinja_problem(name))
    if not str(answers["project_name"]).strip():
        found.setdefault("project_name", "project_name is empty: give the project a name.")
    rules = {
        "project_slug": _slug_problem(str(answers["project_slug"])),
        "base_model": _model_problem(str(answers["base_model"])),
        "method": method_problem(str(answers["task"]), str(answers["method"])),
    }
    return found | {name: sentence for name, sentence in rules.items() if sentence and name not in found}


def text_faults(answers: Mapping[str, object]) -> dict[str, str]:
    """What no text may hold, whatever it answers."""
    texts = {name: value for name, value in answers.items() if isinstance(value, str) and not name.startswith("_")}
    in_order = sorted(texts, key=lambda name: name != "project_name")  # the name first, for other answers repeat it
    problems = {name: _text_problem(name, texts[name]) for name in in_order}
    return {name: sentence for name, sentence in problems.items() if sentence}


def _text_problem(name: str, value: str) -> str | None:
    if any(_is_unprintable(character) for character in value):
        return f"{name} holds a line break or another character that cannot be printed: type it on one line."
    if _has_jinja(value):
        return _jinja_problem(name)
    if len(value) > LONGEST_ANSWER:
        return f"{name} is {len(value)} characters long: use at most {LONGEST_ANSWER}."
    return None


def _is_unprintable(character: str) -> bool:
    # Noncharacters such as U+FFFF are not allowed in XML, control characters are not allowed in TOML either.
    noncharacter = ord(character) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(character) <= 0xFDEF
    return unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} or noncharacter or character in BIDIRECTIONAL


def _has_jinja(value: str) -> bool:
    return any(mark in value for mark in JINJA)


def _jinja_problem(name: str) -> str:
    return f"{name} holds a template expression ({', '.join(JINJA)}): answers are plain text, leave it out."


def _slug_problem(slug: str) -> str | None:
    if not SLUG.fullmatch(slug):
        return (
            f"project_slug {slug!r} cannot name a folder and a Python distribution: use at most 64 letters, digits, "
            "hyphens, dots and underscores of ASCII, with a letter or digit first and last."
        )
    if WINDOWS_DEVICES.fullmatch(slug):
        return f"project_slug {slug!r} is the name of a device on Windows: choose another, such as '{slug}-project'."
    if re.sub(r"[-_.]+", "-", slug).lower() in TAKEN:
        return (
            f"project_slug {slug!r} is also the name of a package that the project needs: "
            f"choose another, such as '{slug}-project'."
        )
    return None


def _model_problem(model: str) -> str | None:
    if any(shape.fullmatch(model) for shape in (HUB_NAME, TINY_MODEL, LOCAL_FOLDER)):
        return None
    return (
        f"base_model {model!r} is not the name of a model: use a name as on the Hugging Face Hub "
        "(google-bert/bert-base-cased), a local folder (./my-model) or tiny:bert."
    )


def method_problem(task: str, method: str) -> str | None:
    if method == "head" and task in WRITING:
        return f"method 'head' does not go with {task}: a model that writes has no new head; choose lora or full."
    if method == "prompt" and task == "token-classification":
        return f"method 'prompt' does not go with {task}: the added tokens have no tags; choose prefix or lora."
    return None


def find_repository(answers: Mapping[str, str]) -> Path | None:
    """Where cookiecutter reads the template; None under cruft, which does not say.

    Cookiecutter passes on a relative path as it was typed, so it counts from the folder of the command.
    """
    if "_repo_dir" not in answers:
        return None
    starts = (os.environ.get("PWD", ""), answers["_output_dir"])
    candidates = (Path(start, answers["_repo_dir"]) for start in starts)
    return next((path for path in candidates if (path / "template").is_dir() and os.path.lexists(path / LINK)), None)


def mend_link(repository: Path) -> None:
    """Make the link to `template` anew where a zip archive or git on Windows left a text file in its place.

    A copy stands in where links cannot be made; it is made afresh each time, lest it lag behind.
    """
    link, template = repository / LINK, repository / "template"
    if link.is_symlink():
        return
    if link.is_dir():
        shutil.rmtree(link)
    else:
        link.unlink(missing_ok=True)
    try:
        link.symlink_to(template.name, target_is_directory=True)
    except OSError:
        shutil.copytree(template, link)


def main() -> None:
    """Check and mend; exit with one sentence if that fails."""
    answers = json.loads(r"""{{ cookiecutter | tojson }}""")
    originals = json.loads(r"""{{ _cookiecutter | default({}) | tojson }}""")
    if error := problem(answers, originals):
        sys.exit(error)
    if repository := find_repository(answers):
        mend_link(repository)


if __name__ == "__main__":
    main()
