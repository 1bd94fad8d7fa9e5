"""Translation and summarization: encoding, and metrics as in sacreBLEU and rouge-score."""

import random

import pytest
import sacrebleu
from conftest import NOTICES, PHRASES
from rouge_score.rouge_scorer import RougeScorer

from finetune.model.tiny import tiny_tokenizer
from finetune.tasks.generative import Generated
from finetune.tasks.seq2seq import Example
from finetune.tasks.settings import Summarization, Translation
from finetune.tasks.summarization import SummarizationTask, WordTokenizer
from finetune.tasks.translation import TranslationTask

EXAMPLES = [Example(*pair) for pair in PHRASES]
VOCABULARY = ["the", "a", "red", "house", "by", "station", "Haus", "am", "Bahnhof", "rote", "das", "wo", "ist"]


def translation(**options: object) -> TranslationTask:
    return TranslationTask(Translation.model_validate({"type": "translation", **options}))


def test_source_and_target_are_read_by_their_own_stacks() -> None:
    task = translation(prefix="to German : ", max_target_length=4)
    tokenizer = tiny_tokenizer("tiny:t5", task.texts(EXAMPLES))
    encoded = task.encode([*EXAMPLES, Example("the house", None)], tokenizer, 9)
    for example, feature in zip(EXAMPLES, encoded.features, strict=False):
        source = tokenizer(f"to German : {example.source}", truncation=True, max_length=9)
        assert feature.inputs["input_ids"] == source["input_ids"]
        assert feature.labels == tokenizer(text_target=example.target, truncation=True, max_length=4)["input_ids"]
        assert feature.labels[-1] == tokenizer.eos_token_id
        assert feature.scored_labels == feature.target_length == len(feature.labels) <= 4
        assert feature.tokens == feature.length + feature.target_length
    assert encoded.truncated == sum(len(tokenizer(f"to German : {e.source}")["input_ids"]) > 9 for e in EXAMPLES)


def test_metrics_equal_those_of_sacrebleu() -> None:
    draw = random.Random(3)
    truths, written = ([" ".join(draw.choices(VOCABULARY, k=draw.randint(1, 9))) for _ in range(40)] for _ in "tw")
    examples = [Example("x", truth) for truth in truths]
    metrics = translation().score(examples, [Generated(text=text) for text in written]).metrics
    assert metrics == {
        "bleu": sacrebleu.corpus_bleu(written, [truths]).score,
        "chrf": sacrebleu.corpus_chrf(written, [truths]).score,
    }
    chinese = [Example("x", "今天天气很好")]
    assert translation(bleu_tokenizer="zh").score(chinese, [Generated(text="今天天气很好")]).metrics["bleu"] > 99
    assert translation().score(chinese, [Generated(text="今天天气很好")]).metrics["bleu"] < 1


def test_rouge_is_that_of_rouge_score_where_letters_are_english() -> None:
    draw = random.Random(4)
    truths, written = ([" ".join(draw.choices(VOCABULARY, k=draw.randint(1, 9))) for _ in range(40)] for _ in "tw")
    task = SummarizationTask(Summarization(type="summarization"))
    names = ["rougeL", "rouge1", "rouge2"]
    scores = [RougeScorer(names).score(true, text) for true, text in zip(truths, written, strict=True)]
    metrics = task.text_metrics(truths, written)
    assert metrics == pytest.approx({name: sum(score[name].fmeasure for score in scores) / 40 for name in names})
    assert next(iter(metrics)) == task.settings.main_metric


def test_rouge_counts_words_of_other_languages() -> None:
    assert WordTokenizer().tokenize("Müde, Füße: 今天 x") == ["müde", "füße", "今", "天", "x"]
    task = SummarizationTask(Summarization(type="summarization"))
    assert task.text_metrics(["今天天气"], ["今天天气"])["rougeL"] == 1


def test_only_generated_texts_are_scored() -> None:
    answers = [Generated(1.0, 2, 1, "guten Tag"), Generated(3.0, 2, 0, None)]
    scores = translation().score(EXAMPLES[:2], answers)
    assert scores.metrics["chrf"] == pytest.approx(100)
    assert scores.metrics["token_accuracy"] == 0.25
    assert scores.tables[-1].rows == [["good day", "guten Tag", "guten Tag"]]


def test_baselines() -> None:
    [(name, answers)] = translation().baselines(EXAMPLES, []).items()
    assert (name, answers[0].text) == ("the source as it stands", "good day")
    task = SummarizationTask(Summarization(type="summarization"))
    [(name, answers)] = task.baselines([Example(*pair) for pair in NOTICES] + [Example("一。二。", "")], []).items()
    assert (name, answers[0].text) == ("the first sentence", "The library opens at nine today .")
    assert answers[-1].text == "一。"
