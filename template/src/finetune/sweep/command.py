"""The command `sweep`."""

import shlex
from pathlib import Path

import click
from rich.markup import escape

from ..arguments import overrides_argument
from ..console import counted, make_console, print_line
from ..errors import INTERRUPTED


def print_schema(context: click.Context, parameter: click.Parameter, is_wanted: bool) -> None:
    """Print the JSON Schema, and end."""
    if is_wanted:
        from .json_schema import json_schema

        click.echo(json_schema(), nl=False)
        context.exit()


@click.command("sweep")
@click.argument("file", metavar="SWEEP", type=click.Path(path_type=Path))
@overrides_argument
@click.option("--schema", is_flag=True, is_eager=True, expose_value=False, callback=print_schema,
              help="Print the JSON Schema of sweep files, and end.")  # fmt: skip
def sweep(file: Path, overrides: tuple[str, ...]) -> int:
    """Search the best settings of a config, as the file SWEEP says, such as sweeps/demo.yaml.

    Each trial is a run in the folder of the sweep. Stopped or killed, the same command goes on.
    """
    from .settings import read_sweep

    plan = read_sweep(file, list(overrides))
    from ..train.interrupt import stop_signal
    from .outcome import conclude
    from .show import Display
    from .space import wanted_trials
    from .state import load_state
    from .sweep import Runner, claimed

    console = make_console()
    with claimed(plan) as folder, stop_signal() as stopped:
        state = load_state(plan, folder)
        wanted = wanted_trials(plan.sweep)
        display = Display(console, plan, state, wanted)
        runner = Runner(plan, state, folder, display.update)
        done = sum(trial.ending != "waiting" for trial in state.trials)
        size = f"{counted(wanted, 'trial')} of {counted(plan.sweep.seeds, 'seed')}"
        before = f", {done} of them done before" if done else ""
        print_line(console, escape(f"{folder.path}: {plan.sweep.search} search, {size}{before}"))
        display.start()
        try:
            runner.run(stopped)
        finally:
            display.stop()
        code = INTERRUPTED if stopped.is_set() else conclude(plan, state, folder, console, stopped)
    if code == INTERRUPTED:
        print_line(console, f"to continue: python -m finetune sweep {escape(shlex.join([str(file), *overrides]))}")
    return code
