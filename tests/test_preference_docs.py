"""The example of preference tuning in docs/methods.md runs, with a tiny model in place of Qwen."""

import json
import re
from pathlib import Path

import pytest
from finetune.cli import main

PAGE = Path(__file__).parents[1] / "docs" / "methods.md"


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = PAGE.read_text(encoding="utf-8").split("## Preference tuning")[1].split("\n## ")[0]
    [rows] = re.findall(r"```json\n(.*?)```", section, re.DOTALL)
    [config] = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    pairs = [json.loads(line) for line in rows.splitlines()]
    assert len(pairs) == 6
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    data.mkdir()
    for name in ("preferences.jsonl", "preferences-validation.jsonl"):
        (data / name).write_text(rows)
    dialogues = [
        {
            "messages": [
                {"role": "user", "content": str(pair["prompt"])},
                {"role": "assistant", "content": pair["chosen"]},
            ]
        }
        for pair in pairs
    ]
    (data / "dialogues.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in dialogues))
    Path("dpo.yaml").write_text(config)
    Path("sft.yaml").write_text(
        "task: {type: chat}\nmethod: {type: lora}\ndata: {train: data/dialogues.jsonl}\nrun: {name: sft}\n"
    )
    tiny = ["model.name=tiny:gpt2", "model.max_length=256", "train.max_steps=2", "train.device=cpu"]
    assert main(["train", "sft.yaml", *tiny]) == 0
    assert main(["train", "dpo.yaml", *tiny]) == 0
    told = json.loads(Path("runs/dpo/evaluation-validation.json").read_text())
    assert told["headline"] == "preference_accuracy"
    assert main(["predict", "runs/dpo", "--text", "Are you open?"]) == 0
