"""Runs before generation: reject answers that would give a broken project, and repair the link to the template.

Cookiecutter renders this file and runs it alone, so it uses the standard library only. Unrendered it is valid Python,
too: `ft-template` and the tests import it.
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
MODEL_FORMS = (HUB_NAME, TINY_MODEL, LOCAL_FOLDER)
MAX_LENGTH = 300
GENERATIVE = frozenset({"text-generation", "chat", "translation", "summarization"})

# Bidirectional controls display text in another order than it is stored.
BIDIRECTIONAL = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

# Dependencies of a project: pip would take a project of the same name for the dependency and not install that.
PACKAGES = """
absl-py accelerate alembic annotated-doc annotated-types anyio appnope argon2-cffi argon2-cffi-bindings arrow asttokens
async-lru attrs babel beautifulsoup4 bitsandbytes bleach cachetools certifi cffi charset-normalizer click cloudpickle
colorama colorlog comm contourpy cryptography cwevals cycler databricks-sdk debugpy defusedxml distro et-xmlfile execnet
executing fastapi fastjsonschema filelock finetune flatbuffers fonttools fqdn fsspec gitdb gitpython google-auth
googleapis-common-protos grpcio h11 hf-xet httpcore httpcore2 httpx httpx2 huggingface-hub hypothesis idna
importlib-metadata iniconfig ipykernel ipython ipython-pygments-lexers isoduration jedi jinja2 joblib json5 jsonpointer
jsonschema jsonschema-specifications jupyter-builder jupyter-client jupyter-core jupyter-events jupyter-lsp
jupyter-server jupyter-server-terminals jupyterlab jupyterlab-pygments jupyterlab-server kiwisolver lark lxml mako
markdown markdown-it-py markupsafe matplotlib matplotlib-inline mdurl mistune ml-dtypes mlflow-skinny mpmath narwhals
nbclient nbconvert nbformat nest-asyncio2 networkx nltk notebook notebook-shim numpy onnx onnx-ir onnxruntime onnxscript
openpyxl opentelemetry-api opentelemetry-exporter-http-transport opentelemetry-exporter-otlp-common
opentelemetry-exporter-otlp-proto-common opentelemetry-exporter-otlp-proto-http opentelemetry-proto opentelemetry-sdk
opentelemetry-semantic-conventions optuna overrides packaging pandocfilters parso peft pexpect pillow pip platformdirs
pluggy portalocker prometheus-client prompt-toolkit protobuf psutil ptyprocess pure-eval pyarrow pyasn1 pyasn1-modules
pycparser pydantic pydantic-core pygments pyparsing pytest pytest-xdist python-dateutil python-dotenv python-json-logger
pywinpty pyyaml pyzmq referencing regex requests rfc3339-validator rfc3986-validator rfc3987-syntax rich rouge-score
rpds-py ruff sacrebleu safetensors scikit-learn scipy send2trash sentencepiece seqeval setuptools shellingham six smmap
sniffio sortedcontainers soupsieve sqlalchemy sqlparse stack-data starlette sympy tabulate tensorboard
tensorboard-data-server terminado threadpoolctl tiktoken tinycss2 tokenizers torch tornado tqdm traitlets transformers
triton truststore typer typing-extensions typing-inspection tzdata uri-template urllib3 uv uvicorn wandb wcwidth
webcolors webencodings websocket-client werkzeug wheel xxhash zipp
"""
RESERVED_NAMES = frozenset(PACKAGES.split())

# {% raw %} Cookiecutter must not render the following lines.
JINJA = ("{{", "{%", "{#")
# The only Jinja that an answer may hold: a default derived from other answers refers to one private variable.
DERIVED_DEFAULT = re.compile(r"\{\{ cookiecutter\.__\w+ \}\}")
LINK = "{{cookiecutter.project_slug}}"
# {% endraw %}


def first_error(answers: Mapping[str, object], originals: Mapping[str, object] | None = None) -> str | None:
    """The first error message; None if all answers are valid."""
    return next(iter(answer_errors(answers, originals).values()), None)


def answer_errors(answers: Mapping[str, object], originals: Mapping[str, object] | None = None) -> dict[str, str]:
    """Error messages of the invalid answers, by question, each one sentence with its remedy; causes come first.

    `originals` are the answers before cookiecutter rendered them: in `answers`, Jinja in a boolean or a choice has
    been evaluated already.
    """
    errors = text_errors(answers)
    for name, value in (originals or {}).items():
        if isinstance(value, str) and _has_jinja(value) and not DERIVED_DEFAULT.fullmatch(value):
            errors.setdefault(name, _jinja_error(name))
    if not str(answers["project_name"]).strip():
        errors.setdefault("project_name", "project_name is empty: give the project a name.")
    rules = {
        "project_slug": _slug_error(str(answers["project_slug"])),
        "base_model": _model_error(str(answers["base_model"])),
        "method": method_error(str(answers["task"]), str(answers["method"])),
    }
    return errors | {name: message for name, message in rules.items() if message and name not in errors}


def text_errors(answers: Mapping[str, object]) -> dict[str, str]:
    """Errors of the rules for every text: no control characters, no Jinja, a maximum length."""
    texts = {name: value for name, value in answers.items() if isinstance(value, str) and not name.startswith("_")}
    in_order = sorted(texts, key=lambda name: name != "project_name")  # first, as other answers are derived from it
    errors = {name: _text_error(name, texts[name]) for name in in_order}
    return {name: message for name, message in errors.items() if message}


def _text_error(name: str, value: str) -> str | None:
    if any(_is_unprintable(character) for character in value):
        return f"{name} holds a line break or another unprintable character: write it on one line."
    if _has_jinja(value):
        return _jinja_error(name)
    if len(value) > MAX_LENGTH:
        return f"{name} is {len(value)} characters long: use at most {MAX_LENGTH}."
    return None


def _is_unprintable(character: str) -> bool:
    # XML allows no noncharacters such as U+FFFF; TOML and XML allow no control characters.
    noncharacter = ord(character) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(character) <= 0xFDEF
    return unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} or noncharacter or character in BIDIRECTIONAL


def _has_jinja(value: str) -> bool:
    return any(mark in value for mark in JINJA)


def _jinja_error(name: str) -> str:
    return f"{name} holds a template expression ({', '.join(JINJA)}): answers are plain text, remove it."


def _slug_error(slug: str) -> str | None:
    if not SLUG.fullmatch(slug):
        return (
            f"project_slug {slug!r} cannot name a folder and a Python distribution: use at most 64 letters, digits, "
            "hyphens, dots and underscores (ASCII), with a letter or digit first and last."
        )
    if WINDOWS_DEVICES.fullmatch(slug):
        return f"project_slug {slug!r} is a device name on Windows: choose another, such as '{slug}-project'."
    if re.sub(r"[-_.]+", "-", slug).lower() in RESERVED_NAMES:
        return (
            f"project_slug {slug!r} is the name of a package that the project depends on: "
            f"choose another, such as '{slug}-project'."
        )
    return None


def _model_error(model: str) -> str | None:
    if any(form.fullmatch(model) for form in MODEL_FORMS):
        return None
    return (
        f"base_model {model!r} is not the name of a model: use a name on the Hugging Face Hub "
        "(google-bert/bert-base-cased), a local folder (./my-model) or tiny:bert."
    )


def method_error(task: str, method: str) -> str | None:
    """The error message for a task that the method does not support."""
    if method == "head" and task in GENERATIVE:
        return f"method 'head' does not support {task}: a generative model has no new head; choose lora or full."
    if method == "head" and task == "retrieval":
        return (
            f"method 'head' does not support {task}: its vectors come from the body of the model; choose lora or full."
        )
    if method == "prompt" and task == "retrieval":
        return f"method 'prompt' does not support {task}: the added tokens would be pooled; choose prefix or lora."
    if method == "prompt" and task == "token-classification":
        return f"method 'prompt' does not support {task}: the added tokens have no tags; choose prefix or lora."
    return None


def find_repository(answers: Mapping[str, str]) -> Path | None:
    """The folder from which cookiecutter reads the template; None under cruft, which does not pass it.

    Cookiecutter passes a relative path as typed: it is relative to the folder in which the command was started.
    """
    if "_repo_dir" not in answers:
        return None
    starts = (os.environ.get("PWD", ""), answers["_output_dir"])
    candidates = (Path(start, answers["_repo_dir"]) for start in starts)
    return next((path for path in candidates if (path / "template").is_dir() and os.path.lexists(path / LINK)), None)


def repair_link(repository: Path) -> None:
    """Recreate the link to `template` where a zip archive or git on Windows has left a text file in its place.

    Where links cannot be created, a copy replaces it; the copy is renewed each time, so that it is never outdated.
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
    """Validate the answers and repair the link; exit with the first error."""
    answers = json.loads(r"""{{ cookiecutter | tojson }}""")
    originals = json.loads(r"""{{ _cookiecutter | default({}) | tojson }}""")
    if error := first_error(answers, originals):
        sys.exit(error)
    if repository := find_repository(answers):
        repair_link(repository)


if __name__ == "__main__":
    main()
