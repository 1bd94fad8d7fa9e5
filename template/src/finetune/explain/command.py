"""The command `explain`."""

from pathlib import Path

import click

from ..arguments import run_argument, trust_option
from ..console import make_console, print_json, quiet_libraries
from ..errors import UserError

COUNT = 5


@click.command()
@run_argument
@click.option("--text", multiple=True, help="A text; may be repeated.")
@click.option("--text-pair", help="The second text of a pair; the document of a query.")
@click.option("--input", "path", type=click.Path(path_type=Path), help="The first rows of a data file.")
@click.option("--split", type=click.Choice(["train", "validation", "test"]),
              help="Its most confident mistakes and some right predictions, also for the report.")  # fmt: skip
@click.option("--count", type=click.IntRange(1), default=COUNT, show_default=True, help="Rows of --input or --split.")
@click.option("--label", help="Explain this label instead of the predicted one.")
@click.option("--word", type=int, help="Of token classification: explain the tag of this word, from 1.")
@click.option("--method", type=click.Choice(["gradients", "occlusion", "both"]), default="gradients",
              show_default=True, help="Integrated gradients, or leaving out each word.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each text.")
@trust_option
def explain(
    run_name: str,
    text: tuple[str, ...],
    text_pair: str | None,
    path: Path | None,
    split: str | None,
    count: int,
    label: str | None,
    word: int | None,
    method: str,
    as_json: bool,
    trust_remote_code: bool,
) -> None:
    """Show how much each word contributes to a prediction of the best model of RUN (a folder, or latest)."""
    if sum(map(bool, (text, path, split))) != 1:
        raise UserError("explain: give a --text, an --input file or a --split, one of the three")
    if text_pair is not None and not text:
        raise UserError("explain: --text-pair goes with --text")
    quiet_libraries()
    from ..run.find import find_run
    from .explain import Method, RunExplainer
    from .show import show_explanation
    from .targets import Choice

    console = make_console()
    with (errors := make_console(stderr=True)).capture() as chosen:  # shown with the result: an error is one line
        run = find_run(run_name, errors)
    explainer = RunExplainer(run, Choice(label, word), trust_remote_code=trust_remote_code)
    methods: list[Method] = ["gradients", "occlusion"] if method == "both" else [method]  # type: ignore[list-item]
    if text:
        records = explainer.explain_texts(text, text_pair, methods)
    elif path:
        records = explainer.explain_file(path, count, methods)
    else:
        records = explainer.explain_split(split or "", count, methods)
    click.echo(chosen.get(), nl=False, err=True)
    for record in records:
        if as_json:
            print_json(record)
        else:
            show_explanation(console, record)
    if split:
        from ..cli import write_report

        write_report(run, errors if as_json else console)
