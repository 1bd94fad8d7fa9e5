"""The command `init-data`."""

from glob import has_magic
from pathlib import Path

import click

from ..console import make_console

SHARE = click.FloatRange(0, 1, max_open=True)


@click.command("init-data")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--task", help="Task, such as regression; by default that of the config if it fits, else recognised.")
@click.option("--config", type=click.Path(path_type=Path), default=Path("configs/train.yaml"), show_default=True)
@click.option("--text", "texts", multiple=True, help="Column of the text; given twice, of both texts of a pair.")
@click.option("--label", help="Column of the label, or of the text to generate.")
@click.option("--group", help="Column whose equal values stay in one split, such as an author.")
@click.option("--validation", type=SHARE, default=0.1, show_default=True, help="Share of the rows; 0: no such file.")
@click.option("--test", type=SHARE, default=0.1, show_default=True, help="Share of the rows; 0: no such file.")
@click.option("--seed", type=int, default=42, show_default=True, help="Random seed of the split.")
@click.option("--output", type=click.Path(path_type=Path), help="Folder of the files; by default data/<name of FILE>.")
def init_data(
    file: Path,
    task: str | None,
    config: Path,
    texts: tuple[str, ...],
    label: str | None,
    group: str | None,
    validation: float,
    test: float,
    seed: int,
    output: Path | None,
) -> None:
    """Make a dataset of FILE: recognise task, columns and labels, split the rows, and set them in the config."""
    if validation + test >= 1:
        raise click.UsageError("--validation and --test leave no rows for training: their sum must be below 1")
    from ..data.files import files_of
    from .dataset import make_dataset
    from .request import Request
    from .show import show_changes, show_dataset

    shares = {"train": 1 - validation - test, "validation": validation, "test": test}
    shares = {name: share for name, share in shares.items() if share}
    files = tuple(files_of([file]))
    if len(files) == 1 and files[0].is_file():
        file = files[0]
    folder = output or default_folder(file)
    dataset = make_dataset(Request(file, config, task, texts, label, group, shares, seed, folder, files))
    console = make_console()
    show_dataset(dataset, console)
    show_changes(dataset.write(), console)


def default_folder(source: Path) -> Path:
    """data/<name of the file>; the files of a folder or a pattern get another one than their own."""
    from ..data.opening import compression_of

    if source.is_dir():
        return Path("data") / f"{source.resolve().name}-split"
    if has_magic(source.stem):
        return Path("data") / f"{source.resolve().parent.name}-split"
    return Path("data") / (source.with_suffix("") if compression_of(source) else source).stem
