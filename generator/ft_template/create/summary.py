"""The summary of a new project in a terminal: its file tree and the next steps."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text
from rich.tree import Tree


def print_summary(console: Console, files: Sequence[str], result: Mapping[str, Any]) -> None:
    """Print the top level of the file tree, then the next steps."""
    console.print(file_tree(result["project_dir"], files))
    if result["dry_run"]:
        console.print("\nDry run: nothing was written.")
        return
    for title, steps in (("In PyCharm", result["next_steps"]), ("In a terminal", result["commands"])):
        if steps:
            console.print(f"\n  {title}", style="bold")
        for step in steps:
            console.print(f"     {step}", markup=False, soft_wrap=True)
    console.print()


def file_tree(title: str, files: Sequence[str]) -> Tree:
    """The top-level folders, each with its number of files, then the top-level files."""
    folders = Counter(path.partition("/")[0] for path in files if "/" in path)
    branches = Tree(Text(title, style="bold"))
    for name, count in sorted(folders.items()):
        branches.add(Text.assemble((f"{name}/", "blue"), f"  {count} file{'s' if count > 1 else ''}"))
    for path in sorted(path for path in files if "/" not in path):
        branches.add(Text(path))
    return branches
