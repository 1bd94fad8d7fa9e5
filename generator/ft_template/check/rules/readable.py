"""What the other rules could not read; it is the last rule, as they read the files."""

from collections.abc import Iterator

from ...reading import LIMIT
from ..fault import Place, Violation
from ..project.project import Project
from .rule import rule


@rule("project.readable", f"replace it by a regular file of the project, with at most {LIMIT >> 10} KiB of UTF-8 text")
def files_are_read(project: Project) -> Iterator[Violation]:
    """A checker that followed links, waited for pipes or read without end would be at the project's mercy."""
    for name, reason in project.refused.items():
        yield Place(name), reason
