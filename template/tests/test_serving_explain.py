"""`POST /v1/explain`: what `finetune explain` writes, under the limits of the server."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import needs

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from test_serving import Running, serving

from finetune import optional
from finetune.serving.engine import Engine
from finetune.serving.limits import Problem
from finetune.serving.metrics import Metrics

__all__ = ["serving"]
pytestmark = needs("explain")
ROW = {"text": "a fine day and a grim day"}


def test_an_explanation_is_that_of_the_command(serving: Any) -> None:
    from finetune.explain.explain import RunExplainer
    from finetune.explain.targets import Choice

    server: Running = serving("text-classification")
    [answer] = server.ask("/v1/explain", {"rows": [ROW], "method": "both", "label": "good"})["explanations"]
    [expected] = RunExplainer(server.run, Choice("good")).explain_texts([ROW["text"]], None, ["gradients", "occlusion"])
    assert [word["text"] for word in answer["targets"][0]["words"]] == ROW["text"].split()
    for method in ("gradients", "occlusion"):
        found, right = ([word[method] for word in one["targets"][0]["words"]] for one in (answer, expected))
        assert found == pytest.approx(right, abs=1e-5)
    assert server.ask("/info")["explains"]
    assert server.ask("/openapi.json")["paths"]["/v1/explain"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"rows": []}, 400, "empty"),
        ({"rows": [ROW] * 33}, 413, "too-many-inputs"),
        ({"rows": [{"text": " "}]}, 422, "invalid-row"),
        ({"rows": [ROW], "label": "ugly"}, 422, "invalid-row"),
        ({"rows": [ROW], "word": 1}, 422, "invalid-row"),
        ({"rows": [ROW], "method": "magic"}, 422, "invalid-body"),
        ({"rows": [ROW], "words": 1}, 422, "invalid-body"),
    ],
)
def test_requests_that_do_not_fit(body: Any, status: int, code: str, serving: Any) -> None:
    assert serving("text-classification").refused("/v1/explain", body) == (status, code)


def test_a_word_that_there_is_not(serving: Any) -> None:
    body = {"rows": [{"text": "Ada Byron"}], "word": 3}
    assert serving("token-classification").refused("/v1/explain", body) == (422, "invalid-row")


def test_generated_texts_have_no_route(serving: Any) -> None:
    server = serving("text-generation")
    assert not server.ask("/info")["explains"]
    assert server.refused("/v1/explain", {"rows": [{"prompt": "mug"}]}) == (404, "not-found")


def test_without_the_folder_there_is_no_route(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = serving("text-classification").run
    monkeypatch.setattr(optional, "is_there", lambda folder: folder != "explain")
    with Running(run) as server:
        assert not server.ask("/info")["explains"]
        assert server.refused("/v1/explain", {"rows": [ROW]}) == (404, "not-found")


class Idle:
    """A model that computes nothing."""


def test_work_of_many_passes_takes_turns_and_ends_when_nobody_waits() -> None:
    turns: list[str] = []

    def work(name: str, passes: int) -> Iterator[None]:
        for _ in range(passes):
            turns.append(name)
            yield
        if name == "fails":
            raise ValueError(name)
        return name  # type: ignore[return-value]

    async def main() -> None:
        engine = Engine(Idle, Metrics())  # type: ignore[arg-type]
        engine.start()
        await engine.loaded.wait()
        endless = asyncio.create_task(engine.run(work("endless", 10**9)))  # type: ignore[arg-type]
        assert await engine.run(work("short", 3)) == "short"  # type: ignore[arg-type]
        with pytest.raises(Problem):
            await engine.run(work("fails", 1))  # type: ignore[arg-type]
        endless.cancel()
        with pytest.raises(asyncio.CancelledError):
            await endless
        await engine.run(work("after", 2))  # type: ignore[arg-type]
        count = turns.count("endless")
        await engine.run(work("after", 3))  # type: ignore[arg-type]
        assert turns.count("endless") <= count + 1
        engine.close()

    asyncio.run(main())
    assert turns.count("short") == 3
