"""Regenerate ``.idea-sample``, the IDE files of the default project.

Usage: PYTHONPATH=generator python -m tools.idea_sample
"""

import shutil
import tempfile
from pathlib import Path

from ft_template.create.bake import REPOSITORY, bake

SAMPLE = REPOSITORY / ".idea-sample"


def main() -> None:
    """Replace the sample with the .idea folder of a project with the default answers."""
    with tempfile.TemporaryDirectory(prefix="ft-template-") as folder:
        project = bake(Path(folder), {"environment": "none"})
        shutil.rmtree(SAMPLE, ignore_errors=True)
        shutil.copytree(project / ".idea", SAMPLE)


if __name__ == "__main__":
    main()
