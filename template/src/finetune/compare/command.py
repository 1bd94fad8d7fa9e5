"""The command `compare`."""

from pathlib import Path

import click

from ..arguments import trust_option
from ..console import make_console, print_json, print_line, quiet_libraries


@click.command()
@click.argument("run_names", nargs=-1, metavar="[RUN ...]")
@click.option("--split", help="train, validation or test; by default test where all configs name one, or validation.")
@click.option("--data", type=click.Path(path_type=Path), help="Another labelled file to evaluate all runs on.")
@click.option("--output", type=click.Path(path_type=Path), help="The picture; by default comparison.svg beside RUN.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@trust_option
def compare(
    run_names: tuple[str, ...],
    split: str | None,
    data: Path | None,
    output: Path | None,
    as_json: bool,
    trust_remote_code: bool,
) -> None:
    """Compare RUNs (folders) with the first one on the same rows; without names, the two newest.

    Evaluations that are missing are made. Settings that differ, metrics with intervals, differences with p-values, and
    the training curves in one picture.
    """
    quiet_libraries()
    from .compare import chosen_runs, compare_runs
    from .plot import draw_curves
    from .show import show_comparison

    console = make_console(stderr=as_json)
    runs = chosen_runs(run_names, console)
    found = compare_runs(runs, split, data, console, trust_remote_code=trust_remote_code)
    picture = draw_curves(runs, found["names"], output)
    if as_json:
        print_json({**found, "picture": str(picture)}, indent=1)
    else:
        show_comparison(found, console)
        print_line(console, f"curves: {picture}")
