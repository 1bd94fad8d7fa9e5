"""The commands `search` and `mine`."""

from pathlib import Path

import click

from ..arguments import run_argument, trust_option
from ..console import make_console, quiet_libraries
from ..errors import UserError

FILE = click.Path(path_type=Path)


@click.command()
@run_argument
@click.argument("corpus", type=FILE)
@click.option("--query", "queries", multiple=True, help="What to look for; may be repeated.")
@click.option("--input", "path", type=FILE, help="A file of queries; with a column document, metrics are shown.")
@click.option("--output", type=FILE, help="Write a row for each document that is found, in the format of the input.")
@click.option("--top", type=click.IntRange(1, 10_000), default=10, show_default=True, help="Documents of a query.")
@click.option("--rerank", metavar="RUN", help="A run of ranking, which puts the first documents into its order.")
@click.option(
    "--candidates", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Documents that it scores."
)
@click.option("--min-score", type=click.FloatRange(-1, 1), help="Leave out documents with a lower similarity.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
@trust_option
def search(
    run_name: str,
    corpus: Path,
    queries: tuple[str, ...],
    path: Path | None,
    output: Path | None,
    top: int,
    rerank: str | None,
    candidates: int,
    min_score: float | None,
    as_json: bool,
    trust_remote_code: bool,
) -> None:
    """Find the documents of CORPUS that answer a query, by a RUN of retrieval. Without a query: index CORPUS."""
    if queries and path:
        raise UserError("search: take --query or --input, one of the two")
    quiet_libraries()
    from ..run.find import find_run
    from .search import Request, show_search

    console = make_console(stderr=as_json)
    run = find_run(run_name, console)
    second = find_run(rerank, console) if rerank else None
    request = Request(queries, path, output, top, candidates, min_score, as_json, trust_remote_code)
    show_search(run, corpus, second, request, console)


@click.command()
@run_argument
@click.argument("path", metavar="FILE", type=FILE)
@click.option("--output", type=FILE, help="Default: mined/ in the folder of the run.")
@click.option("--corpus", type=FILE, help="Where negatives are looked for; by default among the documents of FILE.")
@click.option("--count", type=click.IntRange(1, 1_000), default=4, show_default=True, help="Negatives of a row.")
@click.option("--first", type=click.IntRange(1, 10_000), default=10, show_default=True, help="First rank to take.")
@click.option("--last", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Last rank to take.")
@click.option("--margin", type=click.FloatRange(0, 2), help="Least difference to the similarity of the answer.")
@click.option("--relative-margin", type=click.FloatRange(0, 1), help="The same, as a share of that similarity.")
@click.option(
    "--as", "form", type=click.Choice(["retrieval", "ranking"]), default="retrieval", show_default=True,
    help="Task that is trained on the rows.",
)  # fmt: skip
@trust_option
def mine(
    run_name: str,
    path: Path,
    output: Path | None,
    corpus: Path | None,
    count: int,
    first: int,
    last: int,
    margin: float | None,
    relative_margin: float | None,
    form: str,
    trust_remote_code: bool,
) -> None:
    """Write the rows of FILE with hard negatives: documents near the query, by a RUN of retrieval, but no answers."""
    quiet_libraries()
    from ..run.find import find_run
    from .mining import Request, mine_negatives

    console = make_console()
    run = find_run(run_name, console)
    chosen = "ranking" if form == "ranking" else "retrieval"
    request = Request(
        output, corpus, count, first, last, margin, relative_margin, chosen, trust_remote_code  # type: ignore[arg-type]
    )  # fmt: skip
    mine_negatives(run, path, request, console)
