"""The new project as people see it: its tree, and what they do next."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text
from rich.tree import Tree


def show(console: Console, files: Sequence[str], result: Mapping[str, Any]) -> None:
    """Print the top of the tree, then the next steps."""
    console.print(tree(result["project_dir"], files))
    if result["dry_run"]:
        console.print("\nA dry run: nothing was written.")
        return
    for title, steps in (("In PyCharm", result["next_steps"]), ("In a terminal", result["commands"])):
        if steps:
            console.print(f"\n  {title}", style="bold")
        for step in steps:
            console.print(f"     {step}", markup=False, soft_wrap=True)
    console.print()


def tree(title: str, files: Sequence[str]) -> Tree:
    """Folders with the number of files in them, then the files beside them."""
    folders = Counter(path.partition("/")[0] for path in files if "/" in path)
    branches = Tree(Text(title, style="bold"))
    for name, count in sorted(folders.items()):
        branches.add(Text.assemble((f"{name}/", "blue"), f"  {count} file{'s' if count > 1 else ''}"))
    for path in sorted(path for path in files if "/" not in path):
        branches.add(Text(path))
    return branches
