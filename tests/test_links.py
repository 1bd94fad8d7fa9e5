"""Links of the pages lead somewhere, and the two READMEs hold the same commands and links."""

import re
from pathlib import Path

import pytest
from ft_template.create.bake import REPOSITORY
from tutorial import blocks

PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md"), REPOSITORY / "template/README.md"])
LINK = re.compile(r"\]\(([^)\s]+)\)")


def links(page: Path) -> list[str]:
    return LINK.findall(page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if page.parent.name == "template" and path == "README.zh-CN.md":  # its name in the template has a condition
            assert [*page.parent.glob("*README.zh-CN.md*")]
            continue
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_both_readmes_hold_the_same_commands_and_links() -> None:
    english, chinese = (REPOSITORY / name for name in ("README.md", "README.zh-CN.md"))
    commands = [
        [
            line.split("  ")[0]
            for _, content in blocks(page.read_text(encoding="utf-8"))
            for line in content.splitlines()
        ]
        for page in (english, chinese)
    ]
    assert commands[0] == commands[1]
    targets = [{link.replace(".zh-CN", "") for link in links(page)} for page in (english, chinese)]
    assert targets[0] == targets[1]


def test_anchors_are_those_of_github(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A `b`: c, d-e\n\ntext\n\n## 7. 断点、看清\n", encoding="utf-8")
    assert anchors(page) == {"a-b-c-d-e", "7-断点看清"}
