"""Two processes that train together are one that trains alone: the same steps, figures and files, and the same end.

They are forked and talk through gloo. In fp64, with texts of uneven lengths, weights that matter, steps that are cut
into micro-batches, and a last batch with fewer examples than there are ranks.
"""

import itertools
import json
import multiprocessing
import os
import re
import shutil
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import Project, needs, save_base_model, with_prices
from ranks import (
    QUIET,
    SHORT,
    Found,
    assert_close_files,
    assert_same,
    assert_same_file,
    both,
    config_of,
    exact,  # noqa: F401  a fixture
    in_two_processes,
    named,
    steps,
    told,
    trained,
    without_dropout,
)
from torch import distributed as dist

from finetune.cli import main
from finetune.config.config import Config
from finetune.config.load import load_config
from finetune.distributed.parallel import shard
from finetune.distributed.world import SINGLE_PROCESS, OtherRankFailed, World, process_group
from finetune.errors import UserError
from finetune.feature_cache import FeatureCache
from finetune.inference import Inference, infer
from finetune.model import output_layer
from finetune.train import checkpoint
from finetune.train import loop as training
from finetune.train.start import FreshStart
from finetune.train.throughput import StepStats

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its processes; this system has no fork")

SOME = ["text-classification", "token-classification", "text-generation"]
JOINED = "data.features={price: number, brand: category}"
RECOMPUTED = "train.activation_checkpointing=true"
WINDOWS = ["model.overflow=windows", "model.max_length=8"]


def all_steps(world: World, configs: list[Config]) -> list[Found]:
    return [steps(world, config) for config in configs]


def assert_equals_single(*configs: Config, rtol: float = 1e-10) -> None:
    """One pair of processes does them all, for starting it takes longer than some steps."""
    expected = all_steps(SINGLE_PROCESS, [*configs])
    for found in both(all_steps, [*configs]):
        for got, want in zip(found, expected, strict=True):
            assert_same(got, want, rtol)


@pytest.mark.usefixtures("exact")
def test_ddp_equals_single(project: Project) -> None:
    """The penalty of AdaLoRA counts once, not once a rank."""
    with_prices(project, "regression")
    assert_equals_single(
        *(config_of(project, task) for task in (*SOME, "ranking", "retrieval")),
        *(config_of(project, task, *WINDOWS) for task in ("text-classification", "regression")),
        config_of(project, "regression", JOINED),
        config_of(project, "text-classification", "method={type: adalora}"),
        config_of(project, "text-classification", "method={type: prompt, tokens: 2}"),
        config_of(project, "token-classification", "train.packing=true", "optim.name=sgd"),
        config_of(project, "text-classification", "method={type: prefix, tokens: 2}", RECOMPUTED),
    )


@pytest.mark.usefixtures("exact")
def test_fsdp2_equals_single(project: Project) -> None:
    """Where others need the cores too, each of its many exchanges waits for them: so most take two steps only."""
    with_prices(project, "regression")
    fsdp, few = "train.parallel=fsdp", ["train.max_steps=2", "train.micro_batch_tokens=30"]
    assert_equals_single(
        config_of(project, "text-classification", fsdp),
        config_of(project, "text-classification", fsdp, *WINDOWS, *few),
        config_of(project, "regression", fsdp, JOINED, *few),
        config_of(project, "token-classification", fsdp, *few),
        config_of(project, "retrieval", fsdp, *few),
        config_of(project, "text-generation", fsdp, "train.packing=true", "optim.name=sgd", *few),
        config_of(project, "text-generation", fsdp, "method={type: lora}", *few),
        config_of(project, "text-classification", fsdp, "method={type: adapter, width: 4}", *few),
        config_of(project, "text-classification", fsdp, RECOMPUTED, *few),
        config_of(project, "text-generation", fsdp, "method={type: lora}", "train.packing=true", RECOMPUTED, *few),
    )
    t5 = config_of(project, "translation", fsdp, "method={type: lora}", RECOMPUTED, *few)
    assert_equals_single(t5, rtol=1e-5)  # T5 computes a part in fp32 whatever its weights are


@pytest.mark.usefixtures("exact")
def test_both_go_with_a_chunked_output_layer(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tied to the embeddings in the decoder, and not tied; one rank has nothing that is scored in some steps."""
    monkeypatch.setattr(output_layer, "LARGE", 0)
    monkeypatch.setattr(output_layer, "CHUNK", 3)
    chunked = []
    monkeypatch.setattr(output_layer, "_score", lambda *a, score=output_layer._score: chunked.append(1) or score(*a))
    few = ["train.max_steps=3", "train.micro_batch_tokens=30", "optim.name=sgd"]  # AdamW enlarges rounding
    for how in ("ddp", "fsdp"):
        parallel = f"train.parallel={how}"
        assert_equals_single(
            config_of(project, "text-generation", parallel, *few),
            config_of(project, "text-generation", parallel, "train.packing=true", *few),
            config_of(project, "text-generation", parallel, "method={type: lora}", *few),
            config_of(project, "translation", parallel, *few),
        )
    assert chunked


@pytest.mark.usefixtures("exact")
def test_both_go_with_compiled_layers(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced, and run as they are: a compiler would take most of the time."""
    compile_module = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda *a, **kw: compile_module(*a, **kw, backend="eager"))
    monkeypatch.setattr("finetune.model.compile.require_compiler", lambda _: None)
    # Batches of several rows only: what is traced for a single one is another program.
    whole = ["train.compile=true", "train.micro_batch_tokens=1000", "train.batch_size=10"]
    configs = [config_of(project, "text-classification", *whole, f"train.parallel={how}") for how in ("ddp", "fsdp")]
    assert_equals_single(*configs)


def test_frozen_weights_in_half_precision_change_nothing(project: Project) -> None:
    """Sharded too, where trained weights in fp32 and frozen ones in bf16 are gathered together."""
    lora = ["method={type: lora}", "train.precision=bf16", "train.max_steps=2", "train.micro_batch_tokens=30"]
    for how in ("ddp", "fsdp"):
        fp32, bf16 = (
            config_of(project, "text-classification", *lora, f"train.parallel={how}", f"model.dtype={dtype}")
            for dtype in ("fp32", "bf16")
        )
        for whole, half in both(trained_weights, [fp32, bf16]):
            assert_same(half, whole)


def trained_weights(world: World, configs: list[Config]) -> list[Found]:
    """Without frozen matrices, of which one training has rounded copies."""
    trained = ("lora_", "modules_to_save")
    return [
        (told, {name: weight for name, weight in weights.items() if any(part in name for part in trained)})
        for told, weights in all_steps(world, configs)
    ]


def overflowing(world: World, configs: list[Config]) -> list[list[int]]:
    """Which steps are skipped where the loss is scaled too much at first."""
    scaler = torch.amp.GradScaler
    torch.amp.GradScaler = lambda device, enabled: scaler(device, init_scale=2.0**20, enabled=enabled)  # type: ignore
    try:
        return [[step.skipped for step in told] for told, _ in all_steps(world, configs)]
    finally:
        torch.amp.GradScaler = scaler


def test_all_ranks_skip_a_step_together(project: Project) -> None:
    """In fp16, where the gradients of one rank overflow."""
    configs = [
        config_of(project, "text-classification", "train.precision=fp16", f"train.parallel={how}")
        for how in ("ddp", "fsdp")
    ]
    first, second = both(overflowing, configs)
    assert first == second
    assert all(0 < sum(skipped) < len(skipped) for skipped in first)


@needs("continual")
def test_methods_against_forgetting_are_exact(
    project: Project, finished: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In fp32, for the teacher of a distillation is."""
    from finetune.continual.previous_run import PreviousRun

    finished("text-classification")
    load = PreviousRun.load_model
    monkeypatch.setattr(
        PreviousRun, "load_model", lambda *arguments: (without_dropout((m := load(*arguments))[0]), m[1])
    )
    going_on = partial(config_of, project, "text-classification", "run.name=more", "continue_from=runs/config")
    remedies = (going_on(f"continual.type={remedy}") for remedy in ("replay", "ewc", "distillation"))
    assert_equals_single(*remedies, rtol=1e-4)


def test_weights_that_no_text_reaches_stay_as_they_are(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    load_model = FreshStart.load_model

    def with_more(*arguments: Any) -> Any:
        model, base = load_model(*arguments)
        model.unreached = torch.nn.Linear(2, 2)
        return model, base

    monkeypatch.setattr(FreshStart, "load_model", with_more)
    config = config_of(project, "text-classification")
    start = training.build(config).model.unreached.weight
    for _, weights in both(steps, config):
        assert torch.equal(torch.tensor(weights["unreached.weight"]), start)


def drawn(world: World, config: Config) -> list[float]:
    """The loss of one and the same text, with dropout, as each rank sees it."""
    training.set_seed(config.train.seed)
    setup = training.build(config, world)
    training.separate_random_numbers(config.train.seed, world)
    batch = setup.batching.make_batch(setup.train.features, [0])
    logits = (training.forward(setup.model, setup.task, batch, setup.precision) for _ in range(2))
    return [float(setup.task.loss(each, batch.labels).detach()) for each in logits]


def test_each_rank_draws_its_own_dropout(project: Project) -> None:
    config = config_of(project, "text-classification")
    alone, (first, second) = drawn(SINGLE_PROCESS, config), both(drawn, config)
    assert first == alone
    assert not set(first) & set(second)


def counting(decode: Callable[..., Any], counted: list[int], logits: torch.Tensor, labels: torch.Tensor) -> Any:
    counted.append(len(labels))
    return decode(logits, labels)


def looked_through(world: World, configs: list[Config]) -> list[tuple[Inference, list[int]]]:
    """Seven examples, evaluated; and the sizes of the batches that were counted here."""
    results = []
    for config in configs:
        training.set_seed(config.train.seed)
        setup = training.build(config, world)
        counted: list[int] = []
        setup.task.decode = partial(counting, setup.task.decode, counted)  # type: ignore[method-assign]
        features = setup.train.features[:7]
        parts = (setup.model, setup.task, setup.tokenizer, features)
        result = infer(*parts, "evaluation", budget=30, precision="fp32", world=world)
        results.append((result, counted))
    return results


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("how", ["ddp", "fsdp"])
def test_every_example_is_scored_once(how: str, project: Project) -> None:
    """Seven of them, which two processes cannot share evenly; what is written is as long as it happens to be."""
    tasks = ["text-classification", "token-classification", "text-generation"]
    configs = [config_of(project, task, f"train.parallel={how}") for task in tasks]
    configs.append(config_of(project, "text-generation", f"train.parallel={how}", "method={type: lora}"))
    expected = looked_through(SINGLE_PROCESS, configs)
    first, second = both(looked_through, configs)
    for number, (result, counted) in enumerate(expected):
        shares = [found[number][1] for found in (first, second)]
        assert sorted(shares[0] + shares[1]) == sorted(counted)
        assert all(shares)
        for found in (first[number][0], second[number][0]):
            assert found.loss == pytest.approx(result.loss, rel=1e-10)
            assert str(found.decoded) == str(result.decoded)


def written(run: str) -> set[str]:
    folder = Path("runs", run)
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {re.sub(r"events\.out.*", "events", name) for name in names}


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize(("task", "how"), [("text-classification", "ddp"), ("translation", "fsdp")])
def test_two_ranks_write_what_one_writes(task: str, how: str, project: Project) -> None:
    """T5 computes a part in fp32 whatever its weights are."""
    rtol = 1e-5 if task == "translation" else 1e-9
    config = config_of(project, task, f"train.parallel={how}", *SHORT)
    assert trained(SINGLE_PROCESS, named(config, "one"))
    assert both(trained, named(config, "two")) == [True, True]
    assert written("two") == written("one")
    one, two = told(project, "one"), told(project, "two")
    assert len(one) == len(two) > 4
    for want, got in zip(one, two, strict=True):
        assert got.pop("kind") == want.pop("kind")
        assert got == pytest.approx(want, rel=rtol)
    assert_close_files("one", "two", rtol)
    config_file = Path("runs/two/best/config.json")
    assert config_file.read_text() == Path("runs/one/best/config.json").read_text()


def resumed(world: World, config: Config) -> list[bool]:
    """Once in one go, and once stopped and resumed."""
    whole, cut = named(config, "whole"), named(config, "cut")
    return [trained(world, whole), trained(world, cut, stop=2), trained(world, cut, resume=True)]


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("how", ["ddp", "fsdp", "fsdp train.checkpoint_format=sharded"])
def test_resume_bit_exact_with_as_many_ranks(how: str, method: str, project: Project) -> None:
    """Dropout on; the signal reaches only one of the two, and both stop in the same step.

    The checkpoints of LoRA lack the frozen weights, which come from the base model.
    """
    model = [f"model={save_base_model(project, 'text-classification')}"] if method == "lora" else []
    config = config_of(
        project,
        "text-classification",
        f"method={{type: {method}}}",
        *model,
        *f"train.parallel={how}".split(),
        "train.log_every=3",
        *SHORT,
        "train.keep_checkpoints=9",
    )
    assert both(resumed, config) == [[True, False, True]] * 2
    assert Path("runs/cut/checkpoints/step-2").is_dir()
    assert any(Path("runs/whole/checkpoints").rglob("shard-*")) == ("sharded" in how)
    assert Path("runs/cut/checkpoints/step-2/base.json").is_file() == (method == "lora")
    for path in Path("runs/whole").rglob("*.safetensors"):
        assert_same_file(path, Path("runs/cut", path.relative_to("runs/whole")))
    assert told(project, "whole") == told(project, "cut")


def test_a_checkpoint_that_cannot_be_written_stops_all_ranks(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them writes, in a thread; the others are at work on the next steps when it fails."""

    def no_space(*_: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoint, "publish", no_space)
    first, second = in_two_processes(trained, config_of(project, "text-classification", *SHORT))
    assert (type(first), type(second)) == (OSError, OtherRankFailed)
    assert str(first) == str(second) == "No space left on device"


def fewer_and_more(world: World, config: Config) -> list[bool]:
    return [trained(world, named(config, "fewer"), stop=2), trained(world, named(config, "more"), resume=True)]


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("written", ["whole", "sharded"])
def test_resume_with_another_number_of_ranks(written: str, project: Project) -> None:
    config = config_of(project, "text-classification", *SHORT)
    assert trained(SINGLE_PROCESS, named(config, "whole"))
    assert not trained(SINGLE_PROCESS, named(config, "more"), stop=2)
    changes = {"parallel": "fsdp", "checkpoint_format": written}
    sharded = config.model_copy(update={"train": config.train.model_copy(update=changes)})
    assert both(fewer_and_more, sharded) == [[False, True]] * 2
    assert trained(SINGLE_PROCESS, named(config, "fewer"), resume=True)
    assert_close_files("whole", "fewer", rtol=1e-9)
    assert_close_files("whole", "more", rtol=1e-9, number=2 if written == "whole" else 1)


def in_stages(world: World, config: Config) -> bool:
    from finetune.continual.stages import train_stages

    return train_stages(config, console=QUIET, world=world)


@needs("continual")
def test_stages_follow_each_other_on_all(project: Project) -> None:
    data = {name: config_of(project, "text-classification").data.train[0] for name in ("train", "test")}
    stages = [{"name": name, "data": data, "train": {"max_steps": 2}} for name in ("a", "b")]
    path = project.config("text-classification", train={"device": "cpu"}, continual={"type": "replay"})
    config = {**yaml.safe_load(path.read_text()), "stages": stages}
    del config["data"]
    path.write_text(yaml.safe_dump(config))
    assert both(in_stages, load_config(path)) == [True, True]
    matrix = json.loads(Path("runs/config/stages.json").read_text())["matrix"]
    assert [len(row) for row in matrix] == [2, 2]
    assert Path("runs/config/best/model.safetensors").is_file()


def test_an_error_on_one_rank_is_raised_on_all() -> None:
    def users(world: World) -> None:
        with world.raise_together():
            if world.rank == 1:
                raise UserError("the file is missing here")

    def ours(world: World) -> None:
        world.on_main(lambda: {}["missing"])

    first, second = in_two_processes(users)
    assert isinstance(first, UserError)
    assert str(first) == str(second) == "the file is missing here"
    first, second = in_two_processes(ours)
    assert isinstance(first, KeyError)
    assert isinstance(second, OtherRankFailed)


def in_a_group_that_exists(world: World, config: Path) -> tuple[World, int, bool]:
    with process_group() as joined:
        pass
    code = main(["train", str(config), "train.max_steps=2", "train.device=cpu"])
    return joined, code, dist.is_initialized()


def test_a_process_group_that_exists_is_used_and_left_to_its_owner(project: Project) -> None:
    """As Ray Train makes one before it calls the training."""
    found = both(in_a_group_that_exists, project.config("text-classification"))
    assert found == [(World(rank, 2), 0, True) for rank in range(2)]
    assert Path("runs/config/best/model.safetensors").is_file()


def test_results_of_rank_0_reach_all_ranks() -> None:
    def work(world: World) -> Any:
        return world.on_main(lambda: os.getpid()), world.reduce(1, world.rank), world.gather("x")

    first, second = both(work)
    assert first == second
    assert first[1:] == ([2, 1], ["x", "x"])


@pytest.mark.parametrize("rank", [0, 1])
def test_work_is_dealt_evenly_and_counted_once(rank: int) -> None:
    world = World(rank, 2)
    assert world.shard(world.split("abc")) == ([("a", True), ("c", True)], [("b", True), ("c", False)])[rank]
    assert world.shard([[], ["a"]]) == ([("a", False)], [("a", True)])[rank]
    assert world.shard(world.split("")) == []


def spoken(rank: int, port: int, arguments: list[str]) -> int:
    """The command line as torchrun starts it; what it says goes to a file."""
    variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in variables.items()})
    said = Path(f"said-{rank}").open("w")  # noqa: SIM115
    sys.stdout = sys.stderr = said
    try:
        code = main(arguments)
    except SystemExit as end:
        code = int(str(end.code))
    except Exception:
        traceback.print_exc()
        code = 1
    said.close()
    os._exit(code)


def commanded(*arguments: str) -> tuple[list[int | None], str]:
    """The exit codes of both processes, and all that they say."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=spoken, args=(rank, port, [*arguments])) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    codes = [process.exitcode for process in processes]
    return codes, Path("said-0").read_text() + Path("said-1").read_text()


def test_seeds_are_trained_one_after_the_other(project: Project) -> None:
    """On two ranks, stopped in between and resumed: the bytes of a training of that seed alone."""
    config = str(project.config("text-classification", train={"device": "cpu"}))
    assert commanded("train", config, "train.seeds=[1, 2]")[0] == [0, 0]
    found = Path("runs/config-seeds.json")
    table = json.loads(found.read_text())
    shutil.rmtree("runs/config-seed2")
    found.unlink()
    codes, said = commanded("train", config, "train.seeds=[1, 2]", "--resume")
    assert codes == [0, 0]
    assert json.loads(found.read_text()) == table
    assert said.count("validation: 2 seeds of config") == 1
    assert "runs/config-seed1 has already ended" in said
    assert commanded("train", config, "train.seed=2", "run.name=alone")[0] == [0, 0]
    weights = (Path(f"runs/{name}/best/model.safetensors").read_bytes() for name in ("config-seed2", "alone"))
    assert next(weights) == next(weights)


@pytest.mark.parametrize("change", ["train.epochs=none", "data.validation=nowhere.jsonl"])
def test_a_mistake_is_one_sentence(change: str, project: Project) -> None:
    codes, said = commanded("train", str(project.config("text-classification", train={"device": "cpu"})), change)
    assert codes[0] == 2
    assert codes[1] in (1, 2)
    assert said.count("error: ") == 1
    assert "Traceback" not in said
    assert not Path("runs/config").exists()


def test_a_failure_in_the_midst_of_a_step_is_told_once(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    forward, taken = training.forward, itertools.count(1)

    def fails(*arguments: Any, **options: Any) -> torch.Tensor:
        if os.environ["RANK"] == "1" and next(taken) == 3:
            raise RuntimeError("as a kernel may fail")
        return forward(*arguments, **options)

    monkeypatch.setattr(training, "forward", fails)
    codes, said = commanded("train", str(project.config("text-classification", train={"device": "cpu"})))
    assert codes == [1, 1]
    assert said.count("Traceback") == 1
    assert said.rstrip().endswith("RuntimeError: as a kernel may fail")


def test_a_rank_without_memory_says_it_in_one_sentence(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others wait for it, so it cannot repeat the step alone."""
    forward, taken = training.forward, itertools.count(1)

    def fails(*arguments: Any, **options: Any) -> torch.Tensor:
        if os.environ["RANK"] == "1" and next(taken) == 3:
            raise MemoryError
        return forward(*arguments, **options)

    monkeypatch.setattr(training, "forward", fails)
    codes, said = commanded("train", str(project.config("text-classification", train={"device": "cpu"})))
    assert sorted(codes) == [1, 2]
    assert said.count("error: ") == 1
    assert "rank 1 is out of memory in a step over train.jsonl:" in said
    assert "Traceback" not in said


def test_a_killed_process_is_not_waited_for(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    take, taken = training.optimizer_step, itertools.count(1)

    def optimizer_step(*arguments: Any) -> StepStats:
        if os.environ["RANK"] == "1" and next(taken) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return take(*arguments)

    monkeypatch.setattr(training, "optimizer_step", optimizer_step)
    codes, said = commanded("train", str(project.config("text-classification", train={"device": "cpu"})))
    assert codes == [1, -signal.SIGKILL]
    assert said.count("Traceback") == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (["method={type: adalora}"], "method.type is adalora, which needs unsharded weights: set it to ddp"),
        (["method={type: prefix}"], "method.type is prefix, which needs unsharded weights"),
        (["continual={type: ewc}"], "continual.type is ewc, whose penalty needs unsharded weights"),
    ],
)
def test_what_cannot_be_sharded_is_refused(
    changes: list[str], reason: str, project: Project, refused: Callable[..., str]
) -> None:
    said = refused("train", project.config("text-classification"), "train.parallel=fsdp", *changes)
    assert f"train.parallel is fsdp, but {reason}" in said


def test_layers_that_are_left_out_at_random_are_refused(project: Project) -> None:
    from transformers import BartConfig, BartForSequenceClassification

    model = BartForSequenceClassification(
        BartConfig(vocab_size=9, d_model=8, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=8, decoder_ffn_dim=8,
                   encoder_attention_heads=1, decoder_attention_heads=1, decoder_layerdrop=0.1)
    )  # fmt: skip
    with pytest.raises(UserError, match="leaves some out at random"):
        shard(model, SINGLE_PROCESS, torch.device("cpu"))


def started(world: World, config: Config) -> tuple[list[Any], dict[str, Any]]:
    """The features and the state of the task of a rank."""
    setup = training.build(config, world)
    return [*setup.train.features], setup.task.state()


@pytest.mark.parametrize("machines", [1, 2])
def test_one_process_of_a_machine_tokenizes(machines: int, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others map what it has written. Of two machines with the same folder the second one finds it written."""
    if machines == 2:
        monkeypatch.setenv("LOCAL_RANK", "0")
    calls = project.folder / "calls"

    def noted(name: str) -> Callable[..., Any]:
        work = getattr(FeatureCache, name)

        def call(*arguments: Any) -> Any:
            with calls.open("a") as file:
                file.write(f"{name} ")
            return work(*arguments)

        return call

    for name in ("make", "_write"):
        monkeypatch.setattr(FeatureCache, name, noted(name))
    config = config_of(project, "text-generation")
    first, second = both(started, config)
    assert sorted(calls.read_text().split()) == ["_write", *["make"] * machines]
    assert first == second == started(SINGLE_PROCESS, config)


def test_an_error_in_the_data_is_raised_by_all(project: Project) -> None:
    project.write("train.jsonl", '{"text": "a", "label": "b"}\n{"text": "c"}\n')
    config = config_of(project, "text-classification")
    found = in_two_processes(lambda world: training.build(config, world))
    assert [type(error) for error in found] == [UserError, UserError]
    assert {str(error).split(":")[0] for error in found} == {"train.jsonl"}
