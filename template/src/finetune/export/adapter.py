"""The adapter alone, as a folder of peft: what was learnt, without the base model."""

import json
import shutil
from pathlib import Path

from ..config.methods import AnyMethod
from ..errors import UserError
from ..files import Folder
from ..model.methods import WEIGHTS_FILE
from ..run.saved_model import BASE, DAMAGED, TASK_FILE

CONFIG_FILE = "adapter_config.json"


def require_peft(method: AnyMethod) -> None:
    """Raise UserError if the method trains no adapter of peft."""
    if method.type in ("full", "head"):
        raise UserError(f"--adapter: method.type is {method.type}, which has no adapter: export the model without it")
    if method.type == "adapter":
        raise UserError("--adapter: peft has no bottleneck adapters (method.type: adapter): export with --format onnx")


def write_adapter(target: Path, best: Path, folder: Path) -> bool:
    """Copy the adapter of the saved model `best`, and name its base model and the commit.

    A tiny base model exists nowhere else: it is copied, too, and looked for in `folder`, the place of the export.
    Returns whether the numbers of a regression are in the unit of the data.
    """
    description = Folder(best).read_object(TASK_FILE, DAMAGED)
    for name in (WEIGHTS_FILE, "config.json"):
        shutil.copyfile(best / name, target / name)
    is_tiny = (best / BASE).is_dir()
    if is_tiny:
        shutil.copytree(best / BASE, target / BASE)
    config = Folder(best).read_object(CONFIG_FILE, DAMAGED)
    config |= {
        "base_model_name_or_path": (folder / BASE).as_posix() if is_tiny else description["base"]["name"],
        "revision": description["base"]["revision"],
        "inference_mode": True,
        # Heads by each name that peft knows, some twice; vLLM refuses any where there is none.
        "modules_to_save": sorted({*description["head"]}) or None,
    }
    (target / CONFIG_FILE).write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")
    return bool(description.get("data_units"))
