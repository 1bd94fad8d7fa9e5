"""Exact search in a million vectors, as `finetune search` does it, beside what a user would write or install.

python dev.py bench search [--rows N] [--width N] [--rounds N] [--libraries PYTHON] [--graph-rows N]

Writes random vectors of norm 1 around 2,000 centres, as embeddings of texts are, in float16 as an index holds them.
Each contender runs in a process of its own, with the file in the page cache, and answers single queries and batches of
32: wall clock (the least and the median of the rounds) and processor seconds of a call, memory at the end (all that is
resident; of it, what is no mapped file), and the share of the 10 nearest rows by the vectors before rounding (recall).
`--libraries`: the interpreter of an environment with faiss-cpu and usearch. usearch builds a graph (HNSW) of the first
`--graph-rows` rows, which takes minutes.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parents[1] / "template" / "src"
sys.path.insert(0, str(SOURCE))

import numpy as np  # noqa: E402

TOP, BATCH = 10, 32
CENTRES, PART = 2_000, 50_000
Find = Callable[[Any], Any]
"""(queries, width) to the (queries, TOP) numbers of the rows."""


def make(folder: Path, rows: int, width: int) -> None:
    """The matrix as a safetensors file, queries near its rows, and the rows nearest to them before rounding."""
    import torch
    from safetensors.torch import save_file

    random = np.random.default_rng(0)
    centres = random.standard_normal((CENTRES, width), dtype=np.float32)
    matrix = np.empty((rows, width), np.float16)
    of_queries = random.integers(0, min(rows, PART), BATCH)
    queries = np.empty((0, width), np.float32)
    best = [(np.zeros(0, np.float32), np.zeros(0, np.int64))] * BATCH
    for start in range(0, rows, PART):
        size = min(PART, rows - start)
        part = centres[random.integers(0, CENTRES, size)] + 0.7 * random.standard_normal(
            (size, width), dtype=np.float32
        )
        part /= np.linalg.norm(part, axis=1, keepdims=True)
        if not start:
            queries = part[of_queries] + 0.02 * random.standard_normal((BATCH, width), dtype=np.float32)
            queries /= np.linalg.norm(queries, axis=1, keepdims=True)
        matrix[start : start + size] = part
        best = [nearer(*known, scores, start) for known, scores in zip(best, queries @ part.T, strict=True)]
    np.save(folder / "queries.npy", queries)
    np.save(folder / "nearest.npy", np.stack([numbers for _, numbers in best]))
    save_file({"vectors": torch.from_numpy(matrix)}, folder / "vectors.safetensors")


def nearer(scores: Any, numbers: Any, more: Any, start: int) -> tuple[Any, Any]:
    both, rows = np.concatenate([scores, more]), np.concatenate([numbers, np.arange(start, start + len(more))])
    order = np.argsort(-both)[:TOP]
    return both[order], rows[order]


def mapped(folder: Path) -> Any:
    """The matrix, without safetensors, which the environment of the libraries may lack."""
    path = folder / "vectors.safetensors"
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        shape = json.loads(file.read(length))["vectors"]["shape"]
    return np.memmap(path, np.float16, "r", 8 + length, tuple(shape))


def ours(folder: Path, rows: int) -> Find:
    from finetune.search.top import top_rows
    from safetensors.torch import load_file

    matrix = load_file(folder / "vectors.safetensors")["vectors"]
    return lambda queries: top_rows(matrix, queries, TOP)[1]


def numpy_fp32(folder: Path, rows: int) -> Find:
    matrix = mapped(folder).astype(np.float32)
    return lambda queries: np.argpartition(queries @ matrix.T, -TOP, axis=1)[:, -TOP:]


def torch_matrix(dtype: str) -> Callable[[Path, int], Find]:
    def load(folder: Path, rows: int) -> Find:
        import torch
        from safetensors.torch import load_file

        matrix = load_file(folder / "vectors.safetensors")["vectors"].to(getattr(torch, dtype))
        return lambda queries: (torch.from_numpy(queries).to(matrix.dtype) @ matrix.T).topk(TOP).indices.numpy()

    return load


def int8_rescored(folder: Path, rows: int) -> Find:
    """A first pass in int8, and the products of its best 100 in fp32."""
    import torch

    stored = mapped(folder)
    rounded = torch.from_numpy(np.rint(np.asarray(stored) * np.float16(127 * 3)).clip(-127, 127).astype(np.int8))

    def find(queries: Any) -> Any:
        small = torch.from_numpy(np.rint(queries * 127 * 3).clip(-127, 127).astype(np.int8))
        chosen = torch._int_mm(rounded, small.T.contiguous()).T.contiguous().float().topk(100).indices.numpy()
        exact = [query @ stored[numbers].astype(np.float32).T for query, numbers in zip(queries, chosen, strict=True)]
        return np.stack([one[np.argsort(-scores)[:TOP]] for one, scores in zip(chosen, exact, strict=True)])

    return find


def faiss_flat(folder: Path, rows: int) -> Find:
    import faiss

    matrix = mapped(folder)
    index = faiss.IndexFlatIP(matrix.shape[1])
    for start in range(0, len(matrix), PART):
        index.add(matrix[start : start + PART].astype(np.float32))
    return lambda queries: index.search(queries, TOP)[1]


def usearch_graph(folder: Path, rows: int) -> Find:
    from usearch.index import Index

    matrix = mapped(folder)[:rows]
    index = Index(ndim=matrix.shape[1], metric="ip", dtype="f16")
    index.add(np.arange(len(matrix)), np.asarray(matrix))
    return lambda queries: np.atleast_2d(index.search(queries, TOP).keys)


CONTENDERS: dict[str, Callable[[Path, int], Find]] = {
    "finetune search": ours,
    "numpy fp32, argpartition": numpy_fp32,
    "torch fp16 matmul": torch_matrix("float16"),
    "torch bf16 matmul": torch_matrix("bfloat16"),
    "torch int8, 100 rescored": int8_rescored,
}
LIBRARIES: dict[str, Callable[[Path, int], Find]] = {
    "faiss IndexFlatIP": faiss_flat,
    "usearch HNSW": usearch_graph,
}


def contend(name: str, folder: Path, rows: int, rounds: int) -> dict[str, Any]:
    """The figures of one contender, in this process."""
    started = time.process_time()
    find = {**CONTENDERS, **LIBRARIES}[name](folder, rows)
    built = time.process_time() - started
    queries, nearest = np.load(folder / "queries.npy"), np.load(folder / "nearest.npy")
    found = find(queries)
    known = nearest < rows
    recall = sum(len({*ids} & {*best[is_in]}) for ids, best, is_in in zip(found, nearest, known, strict=True))
    result: dict[str, Any] = {"built": built, "recall": recall / known.sum()}
    for size, batches in ((1, [queries[i % BATCH, None] for i in range(rounds)]), (BATCH, [queries] * rounds)):
        wall, processor = [], []
        for batch in batches:
            clock, ticks = time.perf_counter(), time.process_time()
            find(batch)
            wall.append(time.perf_counter() - clock)
            processor.append(time.process_time() - ticks)
        result[str(size)] = [*(of(wall) for of in (min, statistics.median)), statistics.median(processor)]
    return {**result, **memory()}


def memory() -> dict[str, float]:
    """Resident memory in GB: all, and without mapped files."""
    import psutil

    found = psutil.Process().memory_info()
    return {"resident": found.rss / 1e9, "own": (found.rss - getattr(found, "shared", 0)) / 1e9}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--graph-rows", type=int, default=200_000)
    parser.add_argument("--libraries", default="")
    parser.add_argument("--only", nargs="*", default=[*CONTENDERS, *LIBRARIES])
    parser.add_argument("--contend", nargs=3, metavar=("NAME", "FOLDER", "ROWS"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.contend:
        name, folder, rows = chosen.contend
        print(json.dumps(contend(name, Path(folder), int(rows), chosen.rounds)))
        return
    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()}")
    print(f"torch {version('torch')}, numpy {version('numpy')}; {chosen.rows:,} vectors of {chosen.width}")
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), chosen.rows, chosen.width)
        for name in chosen.only:
            python = chosen.libraries if name in LIBRARIES else sys.executable
            if not python:
                continue
            rows = min(chosen.rows, chosen.graph_rows) if name == "usearch HNSW" else chosen.rows
            call = [python, __file__, "--rounds", str(chosen.rounds), "--contend", name, folder, str(rows)]
            done = subprocess.run(call, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{name:26} {(done.stderr.strip().splitlines() or ['failed'])[-1]}", flush=True)
                continue
            said = json.loads(done.stdout)
            one, many = said["1"], said[str(BATCH)]
            print(
                f"{name:26} {rows:>10,} rows; query {one[0]:.4f} s min, {one[1]:.4f} median, processor {one[2]:.4f}; "
                f"batch {many[0]:.3f} min, {many[1]:.3f}, {many[2]:.3f}; recall {said['recall']:.4f}; "
                f"resident {said['resident']:.2f} GB, own {said['own']:.2f}; built in {said['built']:.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
