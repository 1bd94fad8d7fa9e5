"""Continual learning: going on from a finished run, with replay, EWC and distillation, each of them exact."""

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TASKS, Project, assert_resumes_to_the_bit, needs, stop_after
from rich.console import Console
from safetensors.torch import load_file
from test_invariance import gradients, set_up

from finetune.cli import main
from finetune.config.config import Config
from finetune.config.continual import Ewc
from finetune.config.continual import Replay as ReplaySettings
from finetune.config.load import load_config
from finetune.continual import stages
from finetune.continual.ewc import EwcPenalty, estimate_fisher, read_fisher
from finetune.continual.forgetting import average, backward_transfer, forgetting
from finetune.continual.previous_run import stored_memory
from finetune.continual.replay import ReplaySampler, Reservoir
from finetune.data.batching import Padding
from finetune.dataset import read_split
from finetune.model.forward import forward
from finetune.run.folder import RunFolder
from finetune.run.saved_model import load_saved_model
from finetune.tasks import make_task
from finetune.tasks.ranking import Example
from finetune.train import loop as training

REMEDIES: dict[str, dict[str, Any]] = {
    "replay": {"type": "replay", "budget": 3, "share": 0.5},
    "ewc": {"type": "ewc", "strength": 50.0, "examples": 4},
    "distillation": {"type": "distillation", "weight": 0.7, "temperature": 2.0},
}
QUIET = Console(quiet=True)
FURTHER = ["run.name=further", "continue_from=runs/config"]
"""The overrides that let a config go on from the run of the same config."""


def further(project: Project, remedy: str, task: str = "text-classification", **sections: Any) -> Path:
    """A config that goes on from the run that the fixture `finished` puts there, with a remedy."""
    train = {"device": "cpu", "epochs": 1, **sections.pop("train", {})}
    path = project.config(task, "further", continual=REMEDIES[remedy], train=train, **sections)
    path.write_text(f"{path.read_text()}continue_from: runs/config\n")
    return path


@pytest.mark.parametrize("task", TASKS)
def test_to_rows_is_the_inverse_of_parse(task: str, project: Project) -> None:
    config = load_config(project.config(task))
    known = make_task(config.task)
    examples = read_split(config, known, config.data.train)
    known.fit(examples)
    Reservoir(examples, 7).write(Path("kept"), known)
    again = Reservoir.read(Path("kept"), known)
    assert again.seen == 7
    assert [known.to_rows(example) for example in again.examples] == [known.to_rows(example) for example in examples]
    assert Path("kept/manifest.json").is_file()


def test_replay_keeps_the_lists_of_two_runs_apart(project: Project) -> None:
    """Lists with the same query, one behind the other in the file, stay lists of their own."""
    task = make_task(load_config(project.config("ranking")).task)
    examples = [Example("q", ["a", "b"], [1, 0]), Example("q", ["c"], [1]), Example("r", ["d"], [0])]
    Reservoir(examples, 3).write(Path("kept"), task)
    read = Reservoir.read(Path("kept"), task).examples
    assert [(e.query, e.documents, e.labels) for e in read] == [(e.query, e.documents, e.labels) for e in examples]


def test_every_example_is_equally_likely_in_a_reservoir() -> None:
    counts: Counter[int] = Counter()
    for seed in range(3000):
        reservoir = Reservoir([], 0)
        for part in (range(6), range(6, 8), range(8, 20)):
            reservoir = reservoir.fill(list(part), 5, seed)
        assert (len({*reservoir.examples}), reservoir.seen) == (5, 20)
        counts.update(reservoir.examples)
    expected = 3000 * 5 / 20  # with a standard deviation of 24
    assert len(counts) == 20
    assert all(abs(count - expected) < 110 for count in counts.values())


def test_a_step_replays_its_share_of_stored_examples() -> None:
    mixture = ReplaySampler.of(new=100, stored=10, share=0.25, batch_size=16, seed=1)
    assert mixture.per_step == 4
    rows = [mixture.stored_rows(step) for step in range(200)]
    assert all(len({*row}) == 4 for row in rows)
    assert {i for row in rows for i in row} == set(range(100, 110))
    assert rows == [mixture.stored_rows(step) for step in range(200)]
    assert ReplaySampler.of(100, 10, share=0.01, batch_size=2, seed=1).per_step == 1
    assert ReplaySampler.of(100, 10, share=0.99, batch_size=2, seed=1).per_step == 1


def exact(config: Config) -> training.Setup:
    """In fp64; the weights are no longer those of the earlier run, so that every remedy has an effect."""
    setup = set_up(config)
    if setup.teacher:
        setup.teacher._model.double()
    return setup


@pytest.mark.parametrize("remedy", REMEDIES)
@pytest.mark.parametrize("task", ["token-classification", "text-generation"])
def test_accumulation_equals_full_batch(
    task: str, remedy: str, project: Project, finished: Callable[[str], None]
) -> None:
    finished(task)
    path = further(project, remedy, task, train={"clip_norm": None})
    whole, cut = (load_config(path, [f"train.micro_batch_tokens={budget}"]) for budget in (10**6, 12))
    setup = exact(whole)
    rows = next(training.step_batches(whole, setup, 0))[1]
    expected = gradients(whole, setup, rows)
    setup.penalty = setup.teacher = None
    plain = gradients(whole, setup, rows)
    differs = any(not torch.allclose(a, b, rtol=1e-3) for a, b in zip(expected, plain, strict=True))
    assert differs == (remedy != "replay")
    for got, want in zip(gradients(cut, exact(cut), rows), expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)


def test_the_teacher_reads_packed_texts_too(project: Project, finished: Callable[[str], None]) -> None:
    finished("token-classification")
    path = further(project, "distillation", "token-classification", train={"clip_norm": None})
    padded, packed = (load_config(path, [f"train.packing={packing}"]) for packing in ("false", "true"))
    rows = [0, 1, 2, 3, 4]
    for got, want in zip(*(gradients(c, exact(c), rows) for c in (packed, padded)), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)


def test_penalty_is_half_the_weighted_square(project: Project) -> None:
    model = torch.nn.Linear(2, 2).double()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    fisher = {"weight": torch.tensor([[1.0, 2.0]]).double(), "bias": torch.tensor([3.0]).double()}  # one row is new
    consolidation = EwcPenalty(model, fisher, strength=10.0)
    assert consolidation.penalty().item() == 0
    with torch.no_grad():
        model.weight += 0.5
        model.bias -= 2
    assert consolidation.penalty().item() == pytest.approx(5 * (0.25 + 0.5 + 3 * 4))
    consolidation.penalty().backward()
    moved = dict(model.named_parameters())["weight"].detach() - before["weight"]
    torch.testing.assert_close(model.weight.grad[:1], 10 * fisher["weight"] * moved[:1])
    assert not model.weight.grad[1].any()


@pytest.mark.parametrize("budget", [1, 10**6])
def test_fisher_is_the_mean_square_of_single_gradients(budget: int, project: Project) -> None:
    config = load_config(project.config("token-classification", train={"device": "cpu"}, model={"max_length": 10}))
    setup = set_up(config)
    found = estimate_fisher(setup.model, setup.task, setup.tokenizer, setup.train, [0, 3, 4], budget)
    squares: dict[str, torch.Tensor] = {}
    count = 0
    for row in (0, 3, 4):
        indices = setup.train.features_of(row)
        batch = Padding(setup.tokenizer, setup.task.batch_labels).make_batch(setup.train.features, indices)
        setup.model.zero_grad()
        setup.task.loss(forward(setup.model, setup.task, batch, precision="fp32"), batch.labels).backward()
        count += int((batch.labels != -100).sum())
        for name, parameter in setup.model.named_parameters():
            squares[name] = squares.get(name, 0) + parameter.grad**2
    assert any(len(indices) > 1 for indices in map(setup.train.features_of, range(len(setup.train))))
    for name, square in squares.items():
        torch.testing.assert_close(found[name], square / count, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("task", TASKS)
def test_nothing_is_nearer_to_the_teacher_than_the_teacher(task: str, project: Project) -> None:
    setup = set_up(load_config(project.config(task, train={"device": "cpu"})))
    batch = Padding(setup.tokenizer, setup.task.batch_labels).make_batch(setup.train.features, [0, 1, 2])
    targets = forward(setup.model, setup.task, batch, precision="fp32").detach()
    logits = targets.clone().requires_grad_()
    setup.task.distillation_loss(logits, targets, batch.labels, 2.0).backward()
    torch.testing.assert_close(logits.grad, torch.zeros_like(targets), rtol=0, atol=1e-12)
    logits = (targets + torch.randn_like(targets)).requires_grad_()
    setup.task.distillation_loss(logits, targets, batch.labels, 2.0).backward()
    assert logits.grad is not None
    _, scored = getattr(setup.task, "aligned", lambda a, b: (a, b))(logits, batch.labels)
    if scored.dtype == torch.long and task != "retrieval":  # a label a position: where there is none, nothing pulls
        assert int(logits.grad.any(-1).sum()) == int((scored != -100).sum())


@pytest.mark.parametrize("remedy", REMEDIES)
def test_resumed_run_equals_uninterrupted_one(
    remedy: str, project: Project, finished: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    finished("text-classification")
    path = further(project, remedy, train={"epochs": 2, "eval_every": 2})
    files = assert_resumes_to_the_bit(project, path, 3, monkeypatch)
    assert len(files) == (4 if remedy == "ewc" else 3)


def test_resume_refuses_another_start(
    project: Project, finished: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
) -> None:
    finished("text-classification")
    path = further(project, "distillation")
    with monkeypatch.context() as patched:
        stop_after(2, patched)
        assert not training.train(load_config(path), console=QUIET)
    project.train(project.config("text-classification", train={"max_steps": 1}))  # moves the earlier run aside
    assert "runs/config/best/manifest.json: the file has changed" in refused("train", path, "--resume")


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_head_grows_behind_the_labels_that_it_has(method: str, project: Project) -> None:
    path = project.config("text-classification", method={"type": method}, train={"epochs": 1, "device": "cpu"})
    project.train(path)
    project.write("new.jsonl", '{"text": "a day", "label": "average"}\n{"text": "so so", "label": "zero"}\n')
    data = ["data.train=new.jsonl", "data.validation=null", "data.test=new.jsonl"]
    config = load_config(path, [*FURTHER, *data, "optim.lr=1e-9"])
    assert training.train(config, console=QUIET)
    before, after = (load_saved_model(Path(f"runs/{name}/best")) for name in ("config", "further"))
    assert after.task.state()["labels"] == ["bad", "good", "average", "zero"]
    old, new = (dict(side.model.state_dict()) for side in (before, after))
    heads = [name for name in new if name.endswith("classifier.weight") or "classifier.modules_to_save" in name]
    assert heads
    for name in heads:
        assert new[name].shape[0] == 4
        torch.testing.assert_close(new[name][:2], old[name], rtol=0, atol=1e-7)  # the rate is not quite 0
    setup = training.build(config)
    fresh = dict(setup.model.state_dict())
    assert all(torch.equal(fresh[name][:2], old[name]) for name in heads)
    assert after.model.config.id2label[3] == "zero"


@pytest.mark.parametrize("task", ["multi-label-classification", "token-classification"])
def test_other_heads_grow_as_well(task: str, project: Project, finished: Callable[[str], None]) -> None:
    finished(task)
    project.write("new.jsonl", '{"text": "more", "labels": ["praise"]}\n')
    project.write("new.conll", "Monday B-DAY\n")
    new = "new.conll" if task == "token-classification" else "new.jsonl"
    project.train(further(project, "replay", task), f"data.train={new}")
    before, after = (
        load_saved_model(Path(f"runs/{name}/best")).task.state()["labels"] for name in ("config", "further")
    )
    assert after[: len(before)] == before
    assert after[len(before) :] == (["B-DAY", "I-DAY"] if task == "token-classification" else ["praise"])


@pytest.mark.parametrize("task", TASKS)
def test_every_task_goes_on(task: str, project: Project, finished: Callable[[str], None]) -> None:
    finished(task)
    project.train(further(project, "replay", task, train={"max_steps": 1}))
    before, after = (load_saved_model(Path(f"runs/{name}/best")) for name in ("config", "further"))
    assert after.tokenizer.get_vocab() == before.tokenizer.get_vocab()
    assert Path("runs/further/replay/manifest.json").is_file()


@pytest.mark.parametrize("method", ["lora", "ia3", "prefix", "adapter"])
def test_added_weights_are_trained_further(method: str, project: Project) -> None:
    project.train(project.config("text-classification", method={"type": method}, train={"max_steps": 1}))
    config = load_config(further(project, "ewc", method={"type": method}, train={"max_steps": 2}))
    start = training.build(config)
    before = load_saved_model(Path("runs/config/best")).model.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in start.model.state_dict().items())
    assert start.penalty
    assert 0 < len(start.penalty._terms) < len(before)
    assert training.train(config, console=QUIET)
    base, kept = (load_file(f"runs/{name}/best/base/model.safetensors") for name in ("config", "further"))
    assert all(torch.equal(value, kept[name]) for name, value in base.items())
    after = load_saved_model(Path("runs/further/best")).model.state_dict()
    assert any(not torch.equal(value, before[name]) for name, value in after.items())


def test_what_is_kept_can_be_made_later_and_grows_over_runs(
    project: Project, finished: Callable[[str], None], refused: Callable[..., str]
) -> None:
    finished("text-classification")
    path = project.config("text-classification", train={"max_steps": 1})
    project.train(path, *FURTHER, "data.where={label: good}")
    project.train(path, "run.name=last", "continue_from=runs/further")
    kept = stored_memory(RunFolder(Path("runs/last")), ReplaySettings(type="replay", budget=12))
    assert json.loads((kept / "seen.json").read_text()) == 10 + 5 + 10
    assert len((kept / "replay.jsonl").read_text().splitlines()) == 12
    wanted = Ewc(type="ewc", examples=4)
    one, two = (fisher_of(RunFolder(Path(f"runs/{name}")), wanted) for name in ("config", "further"))
    assert all((two[name] >= one[name]).all() for name in one)
    project.train(path, "run.name=lost")
    train_file = project.folder / "train.jsonl"
    train_file.write_text(train_file.read_text() + '{"text": "new", "label": "good"}\n')
    message = refused("train", path, "run.name=x", "continue_from=runs/lost", "continual={type: replay}")
    assert "runs/lost has stored nothing for replay, and train.jsonl" in message


def fisher_of(run: RunFolder, wanted: Ewc) -> dict[str, torch.Tensor]:
    """What a run has stored, or stores now."""
    return read_fisher(stored_memory(run, wanted), load_saved_model(run.model).model)


def test_fisher_is_summed_over_runs(project: Project, finished: Callable[[str], None]) -> None:
    """What the second run keeps is that of the first, and its own as it would be had it gone on from nothing."""
    finished("text-classification")
    path = project.config("text-classification", train={"max_steps": 2, "device": "cpu"})
    project.train(path, *FURTHER)
    wanted = Ewc(type="ewc", examples=4)
    first, second = (RunFolder(Path(f"runs/{name}")) for name in ("config", "further"))
    both, one = fisher_of(second, wanted), fisher_of(first, wanted)
    shutil.rmtree(second.path / "ewc")
    values = json.loads((second.path / "config.json").read_text())
    (second.path / "config.json").write_text(json.dumps({**values, "continue_from": None}))
    own = fisher_of(second, wanted)
    for name, tensor in both.items():
        torch.testing.assert_close(tensor, one[name] + own[name])
    assert all(tensor.any() for tensor in (one["classifier.weight"], own["classifier.weight"]))


def test_replay_of_rankings_keeps_the_lists_of_both_runs_apart(
    project: Project, finished: Callable[[str], None]
) -> None:
    """A step over one list of each: the loss is the mean of their two losses."""
    finished("ranking")
    config = load_config(further(project, "replay", "ranking"))
    setup = set_up(config)
    new = setup.replay.new
    examples = [feature.example for feature in setup.train.features]
    assert len({*examples}) == len(setup.train.examples) == new + setup.replay.stored
    pair = [0, new]
    alone = [training.optimizer_step(config, set_up(config), [row]) for row in pair]
    together = training.optimizer_step(config, setup, pair)
    assert together.count == 2
    assert together.loss == pytest.approx(sum(step.loss for step in alone), rel=1e-9)


REFUSED = [
    ("model.max_length=20", "runs/config has model.max_length 32 and this config 20"),
    ("method.type=head", "runs/config has method.type full and this config head"),
    ("run.name=config", "runs/config would be moved aside by this run"),
    ("continue_from=runs/nowhere", "runs/nowhere/config.json: cannot be read"),
    ("method={type: adalora}", "method.type is adalora, which allocates its ranks in one training"),
    ("data.where={label: nothing}", "train.jsonl: no row matches data.where"),
    ("data.where={mood: x}", "train.jsonl:1: no column 'mood', which data.where names"),
    ("data.where={text: '('}", "where.text is not a regular expression"),
]


def test_what_cannot_go_on_is_refused(
    project: Project, finished: Callable[[str], None], refused: Callable[..., str]
) -> None:
    finished("text-classification")
    path = project.config("text-classification")
    for override, said in REFUSED:
        assert said in refused("train", path, *FURTHER, override)
    assert "start from the folder that `finetune export` makes" in refused("train", path, *FURTHER, "method.type=head")
    config = load_config(path, ["method.type=prefix"])
    RunFolder(config.run_folder).create(config, {})  # nothing that could be exported
    assert "start a run of its own" in refused("train", path, *FURTHER, "method.type=head")


STAGES = """
- name: first
  data: {train: train.jsonl, validation: validation.jsonl, where: {text: "^[a-m]"}}
- name: all of it
  data: {train: train.jsonl, test: validation.jsonl}
  train: {epochs: 1}
- name: more labels
  data: {train: more.jsonl, test: more.jsonl}
  optim: {lr: 0.01}
"""


def sequence(project: Project) -> Path:
    project.write("more.jsonl", '{"text": "a day", "label": "average"}\n{"text": "so so", "label": "bad"}\n')
    path = project.config("text-classification", continual=REMEDIES["replay"], train={"device": "cpu"})
    text = path.read_text()
    start = text.index("data:")
    text = text[:start] + text[text.index("train:\n", start) :]
    indented = "".join(f"  {line}\n" for line in STAGES.strip().splitlines())
    return project.write("sequence.yaml", f"{text}stages:\n{indented}")


@needs("report")
@pytest.mark.usefixtures("drawn")
def test_stages_train_score_and_report(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    path = sequence(project)
    assert main(["train", str(path)]) == 0
    written = json.loads(Path("runs/sequence/stages.json").read_text())
    assert [[score is None for score in row] for row in written["matrix"]] == [
        [False, False, True], [False, False, True], [False, False, False]]  # fmt: skip
    assert written["average"] == average(written["matrix"])
    names = sorted(path.name for path in Path("runs/sequence/stages").iterdir() if path.is_dir())
    assert names == ["1-first", "2-all of it", "3-more labels"]
    configs = [RunFolder(Path("runs/sequence/stages") / name).config() for name in names]
    assert [(c.train.epochs, c.optim.lr) for c in configs] == [(2, 1e-3), (1, 1e-3), (2, 1e-2)]
    page = Path("runs/sequence/report/index.html").read_text()
    assert "backward transfer" in page
    cells = re.findall(r'<td style="--share: [\d.]+" title="[^"]+">([^<]+)</td>', page)
    assert cells == ["-" if score is None else f"{score:.4f}" for row in written["matrix"] for score in row]
    capsys.readouterr()
    assert main(["predict", "latest", "--text", "a day"]) == 0
    assert json.loads(capsys.readouterr().out)["probabilities"].keys() == {"bad", "good", "average"}
    assert main(["train", str(path), "--resume"]) == 0
    assert "runs/sequence has already ended" in capsys.readouterr().out


def test_stages_resume_where_they_were_stopped(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    path = sequence(project)
    assert stages.train_stages(load_config(path, ["run.name=whole"]), console=QUIET)
    cut = load_config(path, ["run.name=cut"])
    for stop in (3, 4):  # in the first stage; then, after its other steps, in the second one
        with monkeypatch.context() as patched:
            stop_after(stop, patched)
            assert not stages.train_stages(cut, resume=stop == 4, console=QUIET)
    assert Path("runs/cut/stages/2-all of it").is_dir()
    assert stages.train_stages(cut, resume=True, console=QUIET)
    for file in Path("runs/whole").rglob("best/model.safetensors"):
        assert file.read_bytes() == Path("runs/cut", file.relative_to("runs/whole")).read_bytes()
    assert Path("runs/cut/stages.json").read_text() == Path("runs/whole/stages.json").read_text()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("stages.1.train.epochs=0", "'stages.1.train.epochs' is 0"),
        ("stages.1.trian={}", "unknown key 'stages.1.trian': did you mean 'train'?"),
        ("stages.1.name=first", "stages.1.name is 'first' a second time"),
        ("stages.1.data={train: train.jsonl}", "stages.1.data has no file to score the models on"),
        ("stages.2.data.train=gone.jsonl", "gone.jsonl: there is no such file"),
        ("data={train: train.jsonl}", "data is set beside stages"),
        ("method={type: adalora}", "method.type is adalora"),
    ],
)
def test_faults_of_stages_are_found_at_once(
    override: str, said: str, project: Project, refused: Callable[..., str]
) -> None:
    assert said in refused("train", sequence(project), override)
    assert not Path("runs/sequence").exists()


def test_forgetting_metrics_by_hand() -> None:
    matrix = [[0.9, None, 0.1], [0.7, 0.8, 0.2], [0.6, 0.85, 0.95]]
    assert average(matrix) == pytest.approx((0.6 + 0.85 + 0.95) / 3)
    assert backward_transfer(matrix) == pytest.approx((-0.3 + 0.05) / 2)
    assert forgetting(matrix) == pytest.approx((0.3 - 0.05) / 2)
    assert forgetting([[0.7, 0.2], [0.8, 0.9]]) == pytest.approx(-0.1)
    assert (backward_transfer(matrix[:1]), forgetting(matrix[:1])) == (None, None)


def test_a_head_is_trained_further_alone(project: Project) -> None:
    project.train(project.config("text-classification", method={"type": "head"}, train={"max_steps": 1}))
    config = load_config(further(project, "replay", method={"type": "head"}, train={"max_steps": 2}))
    model = training.build(config).model
    trainable = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trainable == {"classifier"}
