"""Token classification: a tag for every word; long sentences go through overlapping windows.

The words are given, or those of a plain text with its entities, which are read into tags and predicted as spans. Tags
are those of entities, as IOB2, or plain ones such as parts of speech.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..console import counted, notice
from ..data.cells import list_in_cell
from ..data.features import IGNORE, Encoded, Feature
from ..data.label_values import label_name
from ..data.rows import Row
from ..errors import UserError
from .class_loss import class_weights, cross_entropy, inverse_frequencies
from .entities import Offsets, Spans, bridge, entities_of, read_entities, split_words, tags_of
from .intervals import Array, ratio
from .labels import label_options, require_known
from .ner_tags import chunks, confusion, entity_level, is_plain, read_tags, to_iob2, token_level
from .objective import at_least_fp32
from .probabilities import ProbabilityTask, softmax
from .results import Scores, Summary, WrongPrediction
from .settings import Direction, TokenClassification
from .span_errors import span_errors, word_errors
from .state import Labels, ProbabilityState
from .texts import text_of

SHOWN = 40
"""Characters of a sentence that a message shows."""
WITHHELD = "_"
"""In place of a plain tag that is withheld, as in CoNLL-U."""
O_FLATTERS = "Each word on its own, O included. Most words are O, which flatters these averages: they are not NER F1."


@dataclass(frozen=True, slots=True)
class Example:
    """The words of a sentence, and their IOB2 or plain tags where they are known."""

    tokens: list[str]
    tags: list[str] | None
    text: str | None = None
    """What the words were split from, unless they were given."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """A tag for each word, and its probability."""

    tags: list[str]
    probabilities: list[float]


class Fitted(ProbabilityState):
    """Tags in the order of the model's outputs, and the most frequent tag of each word."""

    labels: Labels
    dictionary: dict[str, str]


class TokenClassificationTask(ProbabilityTask[Example, Prediction]):
    """Cross-entropy at the first sub-word of each word; every word is scored exactly once."""

    settings: TokenClassification
    splits_into_words = True
    fitted = Fitted
    worst_label_counts = True

    def __init__(self, settings: TokenClassification) -> None:
        super().__init__(settings)
        self.labels: list[str] = []
        """The tags: first the one of most words, which is O for entities."""
        self.dictionary: dict[str, str] = {}

    @property
    def plain(self) -> bool:
        """Whether the tags of the training data are plain: a class of its own for each word, and no entities."""
        return is_plain(self.labels)

    @property
    def metrics(self) -> dict[str, Direction]:
        """Plain tags have no entities, and so none of their metrics; their f1_macro is that of the tags."""
        names = ("token_accuracy", "f1_macro", "token_f1_weighted") if self.plain else self.settings.metrics
        return {name: self.settings.metrics[name] for name in names}

    @property
    def main_metric(self) -> str:
        """Token accuracy for plain tags, the F1 of entities for others."""
        return "token_accuracy" if self.plain else self.settings.main_metric

    @property
    def selection_metric(self) -> str:
        """The main metric."""
        return self.main_metric

    def example(self, row: Row) -> Example:
        example = _example_of_text(row) if _is_text(row) else _example_of_words(row)
        if example.tags is None or not self.labels:
            return example
        if not self.plain and is_plain(example.tags):
            to_iob2(example.tags, row.place)  # refuses them
        for _, _, name in chunks(example.tags):
            require_known("tag" if self.plain else "entity type", name, self._types(), row.place)
        return example

    def row_of(self, text: str, text_pair: str | None) -> dict[str, Any]:
        if text_pair is not None:
            raise UserError("--text: the model reads single texts: leave out --text-pair")
        return {"text": text}

    def to_rows(self, example: Example) -> list[dict[str, Any]]:
        if example.text is None:
            return [{"tokens": example.tokens, "tags": example.tags}]
        entities = entities_of(example.tags or [], split_words(example.text))
        return [{"text": example.text, "entities": [entity._asdict() for entity in entities]}]

    def fit(self, examples: Sequence[Example]) -> None:
        counts = Counter(tag for example in examples for tag in example.tags or [])
        if not counts.keys() - {"O"}:
            raise UserError("data.train: every tag is O: tag at least one entity")
        self.labels = [tag for tag, _ in counts.most_common(1)] if is_plain(counts) else ["O"]
        self.weights = None
        if is_plain(counts):
            self.labels += sorted(counts.keys() - self.labels)
            found = counted(len(self.labels), "plain tag")
            notice(f"data.train: no tag begins with B- or the like: {found}, one a word, each scored by itself")
        self.extend(examples)

    def extend(self, examples: Sequence[Example]) -> None:
        names: set[str] = set()
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for example in examples:  # one pass: it may read data files
            self._require_scheme(example)
            names.update(name for _, _, name in chunks(example.tags or []))
            for token, tag in zip(example.tokens, example.tags or [], strict=True):
                counts[token][tag] += 1
        new = sorted(names.difference(self._types()))
        earlier = dict(zip(map(self._type_of, self.labels), self.weights or [], strict=False))
        self.labels += new if self.plain else [f"{prefix}-{name}" for name in new for prefix in "BI"]
        self.dictionary |= _dictionary(counts, self.labels[0])
        words = Counter[str]()
        for tags in counts.values():
            for tag, count in tags.items():
                words[self._type_of(tag)] += count
        types = [self._type_of(label) for label in self.labels]
        self.weights = class_weights(self.settings, types, inverse_frequencies(words), earlier)

    def _type_of(self, tag: str) -> str:
        """The type of entity of a tag, or O; a plain tag is its own."""
        return tag if self.plain or tag == "O" else tag[2:]

    def _require_scheme(self, example: Example) -> None:
        """Refuse plain tags among those of entities, and the reverse."""
        tag = next((tag for tag in example.tags or [] if tag != "O"), None)
        if tag is not None and is_plain([tag]) != self.plain:
            place = f"data.train: '{' '.join(example.tokens)[:SHOWN]}'"
            if self.plain:
                raise UserError(f"{place}: '{tag}' is a tag of an entity, but the model was trained on plain tags")
            to_iob2([tag], place)  # refuses it

    def _types(self) -> list[str]:
        if self.plain:
            return self.labels
        return [label[2:] for label in self.labels if label.startswith("B-")]

    def model_options(self) -> dict[str, Any]:
        return label_options(self.labels)

    def texts(self, examples: Sequence[Example]) -> Iterable[str]:
        return (" ".join(example.tokens) for example in examples)

    def summary(self, example: Example) -> Summary:
        text, words = text_and_words(example)
        entities = entities_of(example.tags or [], words)
        answer = ", ".join(f"{text[start:end]} ({label})" for start, end, label in entities) or "no entity"
        return Summary((text,), answer, tuple(entity.label for entity in entities))

    def windows(self, examples: Sequence[Example], tokenizer: Any, max_length: int) -> Any:
        """The words of the examples in overlapping windows, as the tokenizer gives them."""
        if not tokenizer.is_fast:
            raise UserError(
                "model.name: this model has no fast tokenizer, which token-classification needs to tell words apart: "
                "choose one with a tokenizer.json"
            )
        overlap = min(self.settings.stride, (max_length - tokenizer.num_special_tokens_to_add()) // 2)
        return tokenizer(
            [example.tokens for example in examples],
            is_split_into_words=True,
            truncation=True,
            max_length=max_length,
            stride=overlap,
            return_overflowing_tokens=True,
            return_attention_mask=False,
        )

    def encode(self, examples: Sequence[Example], tokenizer: Any, max_length: int) -> Encoded:
        batch = self.windows(examples, tokenizer, max_length)
        windows: dict[int, list[int]] = defaultdict(list)
        for window, number in enumerate(batch.pop("overflow_to_sample_mapping")):
            windows[number].append(window)
        index = {label: number for number, label in enumerate(self.labels)}
        features: list[Feature] = []
        for number, example in enumerate(examples):
            starts = [_word_starts(batch.word_ids(window)) for window in windows[number]]
            for window, owned in zip(windows[number], _share_out(starts), strict=True):
                inputs = {name: values[window] for name, values in batch.items()}
                labels = [IGNORE] * len(inputs["input_ids"])
                for word, position in owned.items():
                    labels[position] = index[example.tags[word]] if example.tags else 0
                features.append(Feature(number, inputs, labels, len(owned), list(owned)))
        return Encoded(features)

    def batch_labels(self, features: Sequence[Feature], length: int) -> Tensor:
        return torch.tensor([feature.labels + [IGNORE] * (length - feature.length) for feature in features])

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(logits.flatten(0, 1), labels.flatten(), self.weights, self.settings)

    def unit_losses(self, logits: Tensor, labels: Tensor, units: Sequence[Sequence[int]]) -> Tensor:
        """Of the word with the highest loss: one wrong tag would not show in the mean of a long sentence.

        Of several scores of sentences, the one of the worst word finds the most wrong ones (Wang and Mueller 2022).
        """
        words = F.cross_entropy(at_least_fp32(logits).transpose(1, 2), labels, ignore_index=IGNORE, reduction="none")
        return torch.stack([words[list(rows)].max() for rows in units])

    def decode(self, logits: Tensor, labels: Tensor) -> list[Any]:
        scored = labels != IGNORE
        ends = scored.sum(-1).cumsum(0).tolist()
        return np.split(at_least_fp32(logits[scored].detach()).cpu().numpy(), ends[:-1])

    def labelled_logits(
        self, examples: Sequence[Example], features: Sequence[Feature], decoded: Sequence[Any]
    ) -> tuple[Array, NDArray[np.int64]]:
        """Of each word that the tokenizer keeps."""
        true = [label for feature in features for label in feature.labels if label != IGNORE]
        return np.concatenate(decoded), np.array(true)

    def predictions(
        self, examples: Sequence[Example], features: Sequence[Feature], decoded: Sequence[Any]
    ) -> list[Prediction]:
        # A word that the tokenizer drops (a lone control character) has no prediction: it is scored as the first tag.
        tags = [self.labels[:1] * len(example.tokens) for example in examples]
        probabilities = [[1.0] * len(example.tokens) for example in examples]
        for feature, row in zip(features, decoded, strict=True):
            shares = softmax(row, self.temperature).max(-1).tolist()
            for word, tag, probability in zip(feature.words, np.argmax(row, -1), shares, strict=True):
                tags[feature.example][word] = self.labels[tag]
                probabilities[feature.example][word] = probability
        for number, example in enumerate(examples):
            if example.text is not None and not self.plain:
                tags[number] = bridge(tags[number], split_words(example.text))
        return [Prediction(*pair) for pair in zip(tags, probabilities, strict=True)]

    def score(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> Scores:
        true = [example.tags or [] for example in examples]
        predicted = [prediction.tags for prediction in predictions]
        if self.plain:
            table, word = token_level("Tags", "", self.labels, true, predicted)
            metrics = {"token_accuracy": word["accuracy"], "f1_macro": word["f1_macro"]}
            matrix = confusion("Tags", self.labels, true, predicted)
            return Scores({**metrics, "token_f1_weighted": word["f1_weighted"]}, [table], [matrix])
        entity_table, entity = entity_level(true, predicted)
        table, word = token_level("Tokens, O included", O_FLATTERS, self.labels, true, predicted)
        metrics = {**entity, "token_accuracy": word["accuracy"], "token_f1_weighted": word["f1_weighted"]}
        return Scores(
            metrics, [entity_table, table], [confusion("Types, word by word", [*self._types(), "O"], true, predicted)]
        )

    def contributions(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> Array:
        """Of each sentence right, predicted and true entities; of plain tags right words, words, words."""
        rows = []
        for example, prediction in zip(examples, predictions, strict=True):
            true, predicted = example.tags or [], prediction.tags
            if self.plain:
                right = sum(map(str.__eq__, true, predicted))
                rows.append((right, len(true), len(true)))
            else:
                expected, found = set(chunks(true)), set(chunks(read_tags(predicted, "prediction")))
                rows.append((len(expected & found), len(found), len(expected)))
        return np.array(rows, dtype=float)

    def headline(self, sums: Array) -> Array:
        """F1 of entities; of plain tags the accuracy, which this formula is for them."""
        return ratio(2 * sums[..., 0], sums[..., 1] + sums[..., 2])

    def baselines(self, examples: Sequence[Example], features: Sequence[Feature]) -> dict[str, list[Prediction]]:
        usual = self.labels[0]
        return {
            f"always {usual}": [_certain([usual] * len(example.tokens)) for example in examples],
            "each word's most frequent tag": [
                _certain([self.dictionary.get(token, usual) for token in example.tokens]) for example in examples
            ],
        }

    def errors(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> list[WrongPrediction]:
        """Sized by the highest probability of a wrong tag."""
        found = []
        for row, (example, prediction) in enumerate(zip(examples, predictions, strict=True)):
            true, predicted = example.tags or [], read_tags(prediction.tags, "prediction")
            triples = zip(true, predicted, prediction.probabilities, strict=True)
            if wrong := [probability for right, tag, probability in triples if right != tag]:
                truth, told = self.summary(example), self.summary(replace(example, tags=predicted))
                kinds = word_errors(true, predicted) if self.plain else span_errors(chunks(true), chunks(predicted))
                found.append(WrongPrediction(row, truth.texts[0], truth.answer, told.answer, max(wrong), tuple(kinds)))
        return found

    def answers(
        self, examples: Sequence[Example], predictions: Sequence[Prediction]
    ) -> tuple[Array, NDArray[np.bool_]]:
        """The predicted entities, each as probable as the least probable of its tags; of plain tags those of words."""
        shares, right = list[float](), list[bool]()
        for example, prediction in zip(examples, predictions, strict=True):
            true = self._spans(example.tags or [])
            for span in self._spans(prediction.tags):
                shares.append(min(prediction.probabilities[span[0] : span[1] + 1]))
                right.append(span in true)
        return np.array(shares), np.array(right, bool)

    def _spans(self, tags: list[str]) -> list[tuple[int, int, str]]:
        """First word, last word and type of each answer."""
        return [(i, i, tag) for i, tag in enumerate(tags)] if self.plain else chunks(read_tags(tags, "prediction"))

    def withhold(self, predictions: Sequence[Prediction], least: float) -> tuple[list[Prediction], int]:
        """These entities are left out; a plain tag becomes _."""
        kept, withheld = list[Prediction](), 0
        for prediction in predictions:
            tags = read_tags(prediction.tags, "prediction")
            for first, last, _ in self._spans(tags):
                if min(prediction.probabilities[first : last + 1]) < least:
                    tags[first : last + 1] = [WITHHELD if self.plain else "O"] * (last + 1 - first)
                    withheld += 1
            kept.append(replace(prediction, tags=tags))
        return kept, withheld

    def records(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
        return [
            {"prediction": prediction.tags, "probability": prediction.probabilities}
            if example.text is None
            else {"prediction": _predicted_entities(example.text, prediction)}
            for example, prediction in zip(examples, predictions, strict=True)
        ]

    def detailed_records(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
        """The entities, and below them each word with its tag."""
        records = self.records(examples, predictions)
        return [
            {**record, "words": example.tokens, "tags": prediction.tags, "probabilities": prediction.probabilities}
            for record, example, prediction in zip(records, examples, predictions, strict=True)
        ]


def _is_text(row: Row) -> bool:
    """Whether the row is a text with its entities; tokens and tags, where it has them too, come first."""
    has = {name for name, value in row.values.items() if value is not None}
    return "text" in has and not {"tokens", "tags"} <= has and ("entities" in has or "tokens" not in has)


def _example_of_words(row: Row) -> Example:
    tokens = words_of(row, "tokens")
    if row.values.get("tags") is None:
        return Example(tokens, None)
    tags = words_of(row, "tags")
    if len(tags) != len(tokens):
        raise UserError(
            f"{row.place}: {counted(len(tokens), 'token')} but {counted(len(tags), 'tag')}: give each token one tag"
        )
    return Example(tokens, read_tags(tags, row.place))


def _example_of_text(row: Row) -> Example:
    text = text_of(row, "text")
    words = split_words(text)
    if not words:
        raise UserError(f"{row.place}: text has no visible character: fill it in, or take the row out")
    tokens = [text[start:end] for start, end in words]
    entities = row.values.get("entities")
    if entities is None:
        return Example(tokens, None, text)
    return Example(tokens, tags_of(read_entities(entities, text, words, row.place), words), text)


def text_and_words(example: Example) -> tuple[str, list[Offsets]]:
    """The text of an example, given words joined by spaces, and where its words stand."""
    if example.text is not None:
        return example.text, split_words(example.text)
    ends = accumulate(len(token) + 1 for token in example.tokens)
    words = [(end - 1 - len(token), end - 1) for token, end in zip(example.tokens, ends, strict=True)]
    return " ".join(example.tokens), words


def _predicted_entities(text: str, prediction: Prediction) -> Spans:
    """The spans that the tags mean, each as probable as the least probable of its tags."""
    tags, words = read_tags(prediction.tags, "prediction"), split_words(text)
    return Spans(
        {
            **entity._asdict(),
            "text": text[entity.start : entity.end],
            "probability": min(prediction.probabilities[first : last + 1]),
        }
        for entity, (first, last, _) in zip(entities_of(tags, words), chunks(tags), strict=True)
    )


def words_of(row: Row, name: str) -> list[str]:
    """A list of words; in .csv and .tsv they stand in one cell, as a list or apart by spaces.

    Raises UserError where they are no list, or a word is missing.
    """
    words = row.values[name]
    if isinstance(words, str):
        printed = list_in_cell(words)
        words = (
            printed if printed and (name == "tags" or all(isinstance(word, str) for word in printed)) else words.split()
        )
    if (
        name == "tags"
        and isinstance(words, list)
        and words
        and all(str(label_name(word)).isdecimal() for word in words)
    ):
        raise UserError(
            f"{row.place}: the tags are numbers: name them in their order in data.labels, such as [O, B-PER, I-PER]"
        )
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise UserError(f'{row.place}: {name} must be a list of strings, such as ["a", "b"]')
    # A blank in another script's width, as in a text split into its characters, is a word that the tokenizer drops.
    if not all(words) or not any(word.strip() for word in words):
        raise UserError(f"{row.place}: {name} holds no word or an empty one: fill it in, or take the row out")
    return words


def _word_starts(word_ids: list[int | None]) -> dict[int, int]:
    """Position of each word's first token in a window."""
    starts: dict[int, int] = {}
    for position, word in enumerate(word_ids):
        if word is not None:
            starts.setdefault(word, position)
    return starts


def _share_out(windows: list[dict[int, int]]) -> Iterator[dict[int, int]]:
    """Give every word to one window: the one in which it has most context on its poorer side.

    Each window maps its words to the position of their first token; so do the results.

    A later window may open inside a word: it has no context there, so the earlier window keeps the word.
    """
    owner: dict[int, tuple[int, int]] = {}
    for number, starts in enumerate(windows):
        last = len(starts) - 1
        for order, word in enumerate(starts):
            context = min(order, last - order)
            if word not in owner or context > owner[word][0]:
                owner[word] = (context, number)
    for number, starts in enumerate(windows):
        yield {word: position for word, position in starts.items() if owner[word][1] == number}


def _dictionary(counts: Mapping[str, Counter[str]], usual: str) -> dict[str, str]:
    """The most frequent tag of each word, less the words for which it is the usual one."""
    frequent = {token: counter.most_common(1)[0][0] for token, counter in counts.items()}
    return {token: tag for token, tag in frequent.items() if tag != usual}


def _certain(tags: list[str]) -> Prediction:
    return Prediction(tags, [1.0] * len(tags))
