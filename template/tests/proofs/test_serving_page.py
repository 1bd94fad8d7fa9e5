"""The page of `finetune serve` in a real browser: Debian's Chromium, driven by Playwright."""

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from conftest import needs
from test_serving import Running, serving

from finetune.run.folder import RunFolder
from finetune.serving import search
from finetune.serving.model import Source
from finetune.serving.search import Corpus

__all__ = ["serving"]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
PHONE = {"width": 320, "height": 640}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that must load nothing from elsewhere, and write no error to its console."""
    context = browser.new_context(locale="en-US")
    page, wrong = context.new_page(), list[str]()
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda sent: None if "127.0.0.1" in sent.url or sent.url == "data:," else wrong.append(sent.url))
    page.set_default_timeout(10_000)
    yield page
    context.close()
    assert wrong == []


def asked(page: Any, server: Running, *texts: str) -> Any:
    """Open the page, fill its fields in and send with the keyboard; the element of the answer."""
    page.goto(f"{server.url}/ui")
    areas = page.locator("textarea")
    areas.first.wait_for()
    for number, text in enumerate(texts):
        areas.nth(number).fill(text)
    areas.first.press("Control+Enter")
    page.locator("#calls").wait_for()
    return page.locator("#answer")


def test_labels_are_bars(page: Any, serving: Any) -> None:
    server = serving("text-classification")
    answer = asked(page, server, "a <b>fine</b> day")
    expected = server.predicted(["a <b>fine</b> day"])[0]
    bars = answer.locator(".bar")
    assert bars.count() == 2
    assert bars.first.locator("> span").first.inner_text() == expected["prediction"]
    assert bars.first.locator("> span").last.inner_text() == f"{expected['probability']:.4f}"
    widths = [
        bar.evaluate("one => one.offsetWidth / one.parentElement.offsetWidth")
        for bar in bars.locator("div > span").all()
    ]
    assert widths == pytest.approx(sorted(expected["probabilities"].values(), reverse=True), abs=0.01)
    assert page.locator("#history button").inner_text() == "a <b>fine</b> day"
    assert page.locator("#history small").inner_text() == f"→ {expected['prediction']}"
    assert "/v1/predict" in page.locator("#curl").inner_text()


def test_the_python_code_gives_the_answer(page: Any, serving: Any) -> None:
    server, text = serving("text-classification"), 'quotes " and \\ and \U0001f600 in a fine day'
    asked(page, server, text)
    code = page.locator("#python").inner_text()
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert ast.literal_eval(answer) == {"predictions": server.predicted([text])}


def test_entities_are_highlighted_by_code_points(page: Any, serving: Any) -> None:
    server, text = serving("token-classification"), "\U0001f600 Ada Byron lives in Turin."
    answer = asked(page, server, text)
    entities = server.predicted([text])[0]["prediction"]
    marks = answer.locator("mark")
    assert [mark.evaluate("mark => mark.firstChild.textContent") for mark in marks.all()] == [
        entity["text"] for entity in entities
    ]


@needs("explain")
@pytest.mark.parametrize("task", ["text-classification", "token-classification", "ranking"])
def test_words_are_highlighted(task: str, page: Any, serving: Any) -> None:
    server, text = serving(task), "\U0001f600 Ada <b>lives</b> in Turin"
    texts = [text, "a bar\na farm"] if task == "ranking" else [text]
    answer = asked(page, server, *texts)
    page.locator("#explain").click()
    answer.locator("p").first.wait_for()
    rows = [{"query": text, "document": one} for one in ("a bar", "a farm")] if task == "ranking" else [{"text": text}]
    explanations = server.ask("/v1/explain", {"rows": rows})["explanations"]
    words = [word for one in explanations for target in one["targets"] for word in target["words"]]
    marks = [mark for mark in answer.locator("mark").all() if "it" not in mark.inner_text().split()[1:]]
    assert [mark.inner_text() for mark in marks] == [word["text"] for word in words]
    kinds = [mark.get_attribute("class") for mark in marks]
    assert kinds == ["lowers" if word["gradients"] < 0 else "raises" for word in words]
    if words:
        assert answer.locator("p").first.inner_text() == text
    assert "/v1/explain" in page.locator("#curl").inner_text()


def test_texts_that_are_generated_have_no_button(page: Any, serving: Any) -> None:
    asked(page, serving("translation"), "the red house")
    assert not page.locator("#explain").is_visible()


def test_documents_are_ranked(page: Any, serving: Any) -> None:
    documents = ["a bar", "a farm with horses", "riding"]
    server = serving("ranking")
    answer = asked(page, server, "something with horses", "\n".join(documents))
    rows = [{"query": "something with horses", "document": document} for document in documents]
    ranks = [record["rank"] for record in server.ask("/v1/predict", {"rows": rows})["predictions"]]
    shown = [item.split(" ")[:-1] for item in answer.locator("li").all_inner_texts()]
    assert shown == [documents[ranks.index(rank)].split(" ") for rank in (1, 2, 3)]


def test_similarities_are_bars(page: Any, serving: Any) -> None:
    documents = ["a loud bar", "a farm with <b>horses</b>", "green tea"]
    server = serving("retrieval")
    answer = asked(page, server, "something with horses", "\n".join(documents))
    body = {"inputs": {"source_sentence": "something with horses", "sentences": documents}}
    similarities = dict(zip(documents, server.ask("/similarity", body), strict=True))
    ordered = sorted(documents, key=lambda text: -similarities[text])
    assert answer.locator(".bar > span:first-child").all_inner_texts() == ordered
    shown = answer.locator(".bar > span:last-child").all_inner_texts()
    assert shown == [f"{similarities[text]:.4f}" for text in ordered]
    assert answer.locator(".chosen > span").first.inner_text() == ordered[0]
    assert "/similarity" in page.locator("#curl").inner_text()
    if page.locator("#explain").is_visible():
        page.locator("#explain").click()
        answer.locator("p").first.wait_for()
        assert answer.locator("strong").count() == 3


@needs("search")
def test_a_query_finds_passages_and_an_answer_that_quotes_them(
    page: Any,
    serving: Any,
    _finished_projects: Any,  # noqa: PT019
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    documents = ["a loud bar", "a farm with <b>horses</b>", "green tea"]
    corpus = tmp_path / "shop.jsonl"
    corpus.write_text("".join(f"{json.dumps({'document': text})}\n" for text in documents))
    chat = RunFolder(_finished_projects("chat") / "runs" / "config")
    monkeypatch.setattr(search, "cited", lambda text, passages: [2])
    original = search.Search.answer

    async def answer(self: Any, *arguments: Any) -> Any:
        return {**await original(self, *arguments), "text": "There is a <b>farm</b> [2, 9]."}

    monkeypatch.setattr(search.Search, "answer", answer)
    with Running(serving("retrieval").run, corpus=Corpus(corpus, answer=Source(chat, chat.config()))) as server:
        shown = asked(page, server, "something with horses")
        results = server.ask("/v1/search", {"query": "something with horses"})["results"]
        texts = [item.evaluate("one => one.firstChild.textContent.trim()") for item in shown.locator("li").all()]
        assert texts == [one["document"] for one in results]
        assert shown.locator(".quoted").inner_text() == "There is a <b>farm</b> [2, 9]."
        assert shown.locator(".quoted a").get_attribute("href") == "#passage-2"
        assert shown.locator("li.chosen").get_attribute("id") == "passage-2"
        assert f"shop.jsonl: {len(documents)}" in page.locator("#facts").inner_text()
        assert '"answer":true' in page.locator("#curl").inner_text()
        assert not page.locator("#explain").is_visible()


@pytest.mark.parametrize("task", ["translation", "text-generation", "regression", "multi-label-classification"])
def test_what_other_tasks_answer(task: str, page: Any, serving: Any) -> None:
    server = serving(task)
    answer = asked(page, server, "the red house")
    (record,) = server.predicted(["the red house"])
    if task == "multi-label-classification":
        assert answer.locator(".bar").count() == len(record["probabilities"])
    elif task == "regression":
        assert float(answer.inner_text()) == pytest.approx(record["prediction"], rel=1e-5)
    else:
        assert answer.inner_text() == record["prediction"].strip()


def test_a_chat_streams_and_goes_on(page: Any, serving: Any) -> None:
    server = serving("chat")
    asked(page, server, "Hello")
    page.locator("#send:enabled").wait_for()
    (expected,) = (record["prediction"] for record in server.predicted(["Hello"]))
    assert page.locator(".assistant").evaluate("one => one.textContent") == expected
    page.locator("textarea").fill("Thank you")
    page.locator("textarea").press("Enter")
    page.locator(".assistant").nth(1).wait_for(state="attached")
    page.locator("#send:enabled").wait_for()
    assert page.locator(".user").count() == 2
    page.locator("#restart").click()
    assert page.locator(".user").count() == 0


@pytest.mark.parametrize("task", ["text-classification", "chat"])
def test_it_fits_a_phone_and_needs_no_mouse(task: str, page: Any, serving: Any) -> None:
    page.set_viewport_size(PHONE)
    asked(page, serving(task), "a very-long-word-" * 20)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.evaluate("document.activeElement.tagName") == "TEXTAREA"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "send"


def test_it_speaks_chinese_to_a_chinese_browser(browser: Any, serving: Any) -> None:
    page = browser.new_page(locale="zh-CN")
    page.goto(f"{serving('ranking').url}/ui")
    assert page.locator("#send").inner_text() == "发送"
    assert page.locator("label[for=field-documents]").inner_text() == "文档，每行一个"
    assert page.evaluate("document.documentElement.lang") == "zh"


def test_the_key_is_asked_for(browser: Any, serving: Any) -> None:
    with Running(serving("text-classification").run, key="secret") as server:
        page = browser.new_page()
        page.goto(f"{server.url}/ui")
        page.locator("#key").fill("secret")
        page.locator("#send").click()
        page.locator("textarea").fill("a fine day")
        page.locator("#send").click()
        assert page.locator("#answer .bar").first.inner_text()
        assert "secret" not in page.locator("#curl").inner_text()
