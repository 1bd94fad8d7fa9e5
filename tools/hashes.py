"""Writes ``template/hashes.txt``: the SHA-256 of every file of each version that constraints.txt pins.

torch is left out: each accelerator has its own build, from an index of its own.

Usage: python -m tools.hashes (with uv on the PATH, after each change of constraints.txt)
"""

import subprocess
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parents[1] / "template"
UNPINNED = ("#", "torch==")


def main() -> None:
    lines = (TEMPLATE / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = "\n".join(line for line in lines if not line.startswith(UNPINNED))
    wanted = ("--generate-hashes", "--universal", "--no-deps", "--python-version=3.11.9")
    options = (*wanted, "--no-annotate", "--no-header")
    command = ["uv", "pip", "compile", *options, "-", "--output-file", str(TEMPLATE / "hashes.txt"), "--quiet"]
    subprocess.run(command, input=pins, encoding="utf-8", check=True)


if __name__ == "__main__":
    main()
