"""The sections of the config that belong to tasks, and what each task declares about itself.

Nothing here imports torch: a config is checked, and its JSON Schema written, in a fraction of a second.
"""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from ..section import Section

Overflow = Literal["cut", "head_tail", "windows"]
"""How a text is read that is longer than the model reads: its beginning, both ends, or all of it in windows."""
FeatureKind = Literal["number", "category"]
"""How a column of `data.features` is read."""
Direction = Literal["max", "min"]
"""Whether a metric rises or falls as the model improves."""


class Settings(Section):
    """A task's section of the config.

    Its fields are keys of the config. Its class attributes are no keys: they declare what holds for every run of the
    task, so that a config is checked before the task, and with it torch, is imported.
    """

    type: str
    """Name of the task."""

    input_columns: ClassVar[tuple[str, ...]]
    """Columns that every example must have."""
    target_columns: ClassVar[tuple[str, ...]]
    """Columns that training and evaluation need as well; they may be absent in prediction."""
    optional_columns: ClassVar[tuple[str, ...]] = ()
    """Columns that an example may have."""
    text_column: ClassVar[str | None] = None
    """A column that may stand in place of all input and target columns."""
    text_targets: ClassVar[tuple[str, ...]] = ()
    """Columns that training and evaluation need as well where a row has `text_column` instead."""
    label_column: ClassVar[str] = ""
    """The column whose values `data.labels` names, for tasks that classify."""
    grouped_by: ClassVar[str] = ""
    """A column by which rows of one word each make sentences, for tasks on words."""
    metrics: ClassVar[dict[str, Direction]]
    """The metrics of an evaluation: any of them, or the loss, can be `train.metric`."""
    main_metric: ClassVar[str]
    """The metric that is reported first."""
    text_metrics: ClassVar[tuple[str, ...]] = ()
    """The metrics that are computed from generated texts."""
    auto_model: ClassVar[str]
    """Name of the transformers class that loads a model with the task's head."""
    new_head: ClassVar[bool] = True
    """Whether the head starts from random weights, so that every method has to train it."""
    reads_long_texts: ClassVar[bool] = False
    """Whether `model.overflow` can be head_tail or windows."""
    joins_features: ClassVar[bool] = False
    """Whether other columns can be joined to the text (`data.features`)."""
    compares_examples: ClassVar[bool] = False
    """Whether the loss of an example depends on the others of the optimizer step."""
    refused_methods: ClassVar[dict[str, str]] = {}
    """Methods that cannot train the task, each with the reason and the remedy."""

    @property
    def lower_is_better(self) -> bool:
        """Whether the main metric falls as the model improves."""
        return self.metrics[self.main_metric] == "min"

    @property
    def selection_metric(self) -> str:
        """The metric that chooses the best step, unless `train.metric` is set."""
        return self.main_metric

    @property
    def compares_texts(self) -> bool:
        """Whether the loss compares whole texts, so that they are neither packed nor distilled token by token."""
        return False

    def require_fit(self, max_length: int) -> None:
        """Raise ValueError, beginning with the key, where the section and `model.max_length` contradict each other."""


class TextSettings(Settings):
    """What tasks with one target for a text or a pair of texts have in common."""

    input_columns: ClassVar[tuple[str, ...]] = ("text",)
    target_columns: ClassVar[tuple[str, ...]] = ("label",)
    optional_columns: ClassVar[tuple[str, ...]] = ("text_pair",)
    reads_long_texts = True
    joins_features = True
    auto_model = "AutoModelForSequenceClassification"


class ProbabilitySettings(Settings):
    """What tasks whose predictions have probabilities have in common."""

    calibration: Literal["temperature", "none"] = "temperature"
    """Calibration: temperature scaling divides the logits by one number, chosen at each validation, so that of the
    predictions with a probability of 0.8 about 80 % are right. The predicted labels stay the same. none: the
    probabilities as trained, which are often too high.
    """


# With the discriminator, an error is reported in the terms of the form that was meant.
ClassWeights = Annotated[
    Annotated[Literal["none", "balanced"], Tag("word")]
    | Annotated[dict[str, Annotated[float, Field(gt=0, le=1e6)]], Tag("table")],
    Discriminator(lambda value: "table" if isinstance(value, dict) else "word"),
]


class ClassLossSettings(ProbabilitySettings):
    """How the loss of a classifier counts examples."""

    class_weights: ClassWeights = "none"
    """Class weights: how much an example counts in the loss, by its label: {spam: 3} (others: 1), or balanced.

    The weighted sum is divided by the number of examples, not by the sum of their weights: so the weight of an example
    does not depend on the other labels in its batch. For tags, the names are types of entities, and O. With several
    labels, a weight counts where an example has the label. balanced helps where rare labels matter as much as others.
    """
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Label smoothing: share of the target that is spread over all labels, in training; 0.1 is usual.

    Helps where labels are noisy, and against overconfidence (Müller et al. 2019).
    """
    focal_gamma: float = Field(default=0.0, ge=0, le=10)
    """Focal loss (Lin et al. 2017): examples that the model has right with probability p count (1 - p)^gamma.

    2 is usual; it helps where most examples are easy, such as words that are no entity. 0 is cross-entropy.
    """

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.label_smoothing and self.focal_gamma:
            raise ValueError("label_smoothing and focal_gamma are both set: one demands sure answers, remove the other")
        return self


class TextClassification(TextSettings, ClassLossSettings):
    """Text classification: one label for a text or a pair of texts. Columns: text, (text_pair), label."""

    label_column = "label"
    metrics: ClassVar = {"accuracy": "max", "f1_macro": "max", "f1_micro": "max", "f1_weighted": "max", "mcc": "max"}
    main_metric = "accuracy"

    type: Literal["text-classification"]
    """Text classification: one label for a text or a pair of texts."""

    @property
    def selection_metric(self) -> str:
        """Macro F1: with rare labels, the highest accuracy may be that of a model which never predicts them."""
        return "f1_macro"


class MultiLabelClassification(TextSettings, ClassLossSettings):
    """Multi-label classification: any number of labels for a text. Columns: text, (text_pair), labels."""

    target_columns = ("labels",)
    label_column = "labels"
    metrics: ClassVar = {
        **{"f1_micro": "max", "f1_macro": "max", "f1_weighted": "max", "f1_samples": "max"},
        **{"exact_match": "max", "hamming_loss": "min"},
    }
    main_metric = "f1_micro"

    type: Literal["multi-label-classification"]
    """Multi-label classification: any number of labels for a text or a pair of texts."""


class Regression(TextSettings):
    """Regression: a number for a text or a pair of texts. Columns: text, (text_pair), label."""

    metrics: ClassVar = {"r2": "max", "rmse": "min", "mae": "min", "pearson": "max", "spearman": "max"}
    main_metric = "r2"

    type: Literal["regression"]
    """Regression: a number for a text or a pair of texts."""
    loss: Literal["mse", "huber"] = "mse"
    """Loss function: mse is the squared error; huber is linear for large errors, so that wrong labels pull less."""


class TokenClassification(ClassLossSettings):
    """Token classification: a tag for every word, such as named entities. Columns: tokens, tags; or text, entities."""

    input_columns = ("tokens",)
    target_columns = ("tags",)
    label_column = "tags"
    grouped_by = "sentence"
    text_column = "text"
    text_targets = ("entities",)
    metrics: ClassVar = {
        **{"f1": "max", "precision": "max", "recall": "max", "f1_macro": "max", "f1_strict": "max"},
        **{"token_accuracy": "max", "token_f1_weighted": "max"},
    }
    main_metric = "f1"
    auto_model = "AutoModelForTokenClassification"
    refused_methods: ClassVar = {
        "prompt": "whose added tokens have no tags, so it cannot learn token-classification: use prefix or lora"
    }

    type: Literal["token-classification"]
    """Token classification: a tag for every word, such as named entities (NER)."""
    stride: int = Field(default=32, ge=0)
    """Sliding window: tokens that neighbouring windows share where a sentence is longer than model.max_length."""


class Ranking(Settings):
    """Ranking: the order of documents for a query. Columns: query, document, label (relevance, 0 or more)."""

    input_columns = ("query", "document")
    target_columns = ("label",)
    metrics: ClassVar = dict.fromkeys(("ndcg@10", "ndcg@3", "mrr", "map", "recall@1", "recall@3"), "max")
    main_metric = "ndcg@10"
    joins_features = True
    auto_model = "AutoModelForSequenceClassification"

    type: Literal["ranking"]
    """Ranking: a cross-encoder scores how well each document answers a query."""
    loss: Literal["pointwise", "listwise"] = "listwise"
    """Loss function: pointwise scores each document by itself, listwise the documents of a query against each other."""


class Prefixes(Section):
    """Prefixes: what stands before a text, so that the encoder knows queries from documents."""

    query: str = ""
    """Query prefix: such as "query: " for E5."""
    document: str = ""
    """Document prefix: such as "passage: " for E5."""


class Retrieval(Settings):
    """Retrieval: find the documents that answer a query. Columns: query, document, (negatives: a list of texts)."""

    input_columns = ("query",)
    target_columns = ("document",)
    optional_columns = ("negatives",)
    metrics: ClassVar = dict.fromkeys(("ndcg@10", "mrr@10", "recall@1", "recall@5", "recall@10"), "max")
    main_metric = "ndcg@10"
    auto_model = "AutoModel"
    new_head = False
    compares_examples = True
    refused_methods: ClassVar = {
        "head": "but retrieval has no head, its vectors come from the body: use lora",
        "prompt": "whose added tokens would be averaged with those of the text: use prefix or lora",
    }

    type: Literal["retrieval"]
    """Retrieval: a bi-encoder turns queries and documents into vectors; near ones belong together."""
    pooling: Literal["mean", "cls", "last"] = "mean"
    """Pooling: how the vectors of the tokens become one: their mean, the first token (cls), or the last one.

    Take what the base model was trained with: mean for E5 and MiniLM, cls for BGE, last for decoders.
    """
    temperature: float = Field(default=0.05, gt=0, le=10)
    """Temperature: divides the cosine similarities in the loss; lower counts the hardest negatives more."""
    prefixes: Prefixes = Prefixes()
    """Prefixes: what stands before a text, as the base model was trained with it."""


class Generation(Section):
    """Text generation: how the model decodes, token after token."""

    max_new_tokens: int = Field(default=64, ge=1, le=100_000)
    """Maximum length of a generated text, in tokens."""
    beams: int = Field(default=1, ge=1, le=64)
    """Beam search: candidate texts that are kept at each step; 1 is greedy decoding."""
    temperature: float = Field(default=0.0, ge=0, le=10)
    """Sampling temperature: 0 always takes the likeliest token; above, tokens are sampled, the higher the freer."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Nucleus sampling: sample only from the likeliest tokens that together have this probability."""
    validation_examples: int = Field(default=200, ge=1)
    """Validation examples for which texts are generated, where metrics need them; the loss takes all.

    The metrics of a part are named so in the log: bleu_first_200.
    """
    samples: int = Field(default=8, ge=0)
    """Generated samples that an evaluation shows."""


TOKEN_METRICS: dict[str, Direction] = {"perplexity": "min", "token_accuracy": "max"}
"""Metrics of the tokens of the reference texts."""


class GenerativeSettings(Settings):
    """What tasks that generate texts have in common."""

    new_head = False
    refused_methods: ClassVar = {
        "head": "but a generative model has no new head, its last layer is pretrained: use lora"
    }

    generation: Generation = Generation()
    """Text generation: how the model decodes samples and predictions."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Label smoothing: share of the target that is spread over all tokens, in training; 0.1 is usual in translation.

    Perplexity and the validation loss are computed without it.
    """


class CausalLMSettings(GenerativeSettings):
    """What tasks of a decoder have in common."""

    metrics: ClassVar = TOKEN_METRICS
    main_metric = "perplexity"
    auto_model = "AutoModelForCausalLM"

    def require_fit(self, max_length: int) -> None:
        if self.generation.max_new_tokens >= max_length:
            raise ValueError(
                f"task.generation.max_new_tokens is {self.generation.max_new_tokens}, which leaves no room for a "
                f"prompt in model.max_length, {max_length}: lower the one or raise the other"
            )


class TextGeneration(CausalLMSettings):
    """Text generation (causal language modeling). Columns: text, or prompt and completion; or a .txt file."""

    input_columns = ("prompt",)
    target_columns = ("completion",)
    text_column = "text"

    type: Literal["text-generation"]
    """Text generation (causal language modeling): texts like those of the data, or completions of prompts."""
    separator: str = "\n"
    """Separator: what stands between a prompt and its completion."""


class Dpo(Section):
    """Direct preference optimization (DPO, Rafailov et al. 2023): of two replies, the better one becomes likelier."""

    beta: float = Field(default=0.1, gt=0, le=100)
    """Beta: how strongly the model is held near its reference, the model before this training; 0.1 is usual."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """Label smoothing (conservative DPO): the probability that the better reply is named wrongly in the data."""


PREFERENCE_METRICS: dict[str, Direction] = {
    **{"preference_accuracy": "max", "reward_margin": "max", "chosen_reward": "max", "rejected_reward": "min"},
}
"""Metrics of pairs of replies: TRL's rewards/accuracies, rewards/margins, rewards/chosen and rewards/rejected."""


class Chat(CausalLMSettings):
    """Chat (instruction tuning): the assistant's replies. Columns: messages: [{role, content}], (system), (tools).

    With `dpo`: messages (or prompt), chosen, rejected, (system), (tools).
    """

    input_columns = ("messages",)
    optional_columns = ("system", "tools")

    type: Literal["chat"]
    """Chat (instruction tuning): the assistant's replies in a dialogue, in the model's chat template."""
    dpo: Dpo | None = None
    """Preference tuning (DPO): learn from pairs of a better and a worse reply, the columns chosen and rejected.

    The usual start is a run of chat without it (`continue_from`). Helps where it is easier to say which of two replies
    is better than to write a perfect one.
    """

    @property
    def target_columns(self) -> tuple[str, ...]:  # type: ignore[override]
        """With `dpo` the pair of replies, otherwise none: the messages hold the replies."""
        return ("chosen", "rejected") if self.dpo else ()

    @property
    def metrics(self) -> dict[str, Direction]:  # type: ignore[override]
        """Of pairs with `dpo`, otherwise of tokens."""
        return PREFERENCE_METRICS if self.dpo else TOKEN_METRICS

    @property
    def main_metric(self) -> str:  # type: ignore[override]
        """With `dpo`, how often the chosen reply has the higher reward."""
        return "preference_accuracy" if self.dpo else "perplexity"

    @property
    def compares_texts(self) -> bool:
        return self.dpo is not None

    @model_validator(mode="after")
    def _smooths_one_loss(self) -> Self:
        if self.dpo and self.label_smoothing:
            raise ValueError("label_smoothing is for single tokens, which DPO does not score: set dpo.label_smoothing")
        return self


class Seq2SeqSettings(GenerativeSettings):
    """What tasks of an encoder-decoder have in common. Columns: source, target."""

    input_columns = ("source",)
    target_columns = ("target",)
    auto_model = "AutoModelForSeq2SeqLM"

    prefix: str = ""
    """Task prefix: what the model expects before each source, such as "translate English to German: " for T5."""
    max_target_length: int = Field(default=128, ge=2, le=1_000_000)
    """Maximum target length in tokens; longer targets are truncated."""


class Translation(Seq2SeqSettings):
    """Machine translation. Columns: source, target."""

    metrics: ClassVar = {"bleu": "max", "chrf": "max", **TOKEN_METRICS}
    main_metric = "bleu"
    text_metrics = ("bleu", "chrf")

    type: Literal["translation"]
    """Machine translation: a text in another language."""
    bleu_tokenizer: Literal["13a", "intl", "zh", "char"] = "13a"
    """BLEU tokenizer of sacreBLEU: 13a for languages with spaces, zh for Chinese, char for characters."""


class Summarization(Seq2SeqSettings):
    """Summarization: a short text that says what matters in a long one. Columns: source, target."""

    metrics: ClassVar = {"rougeL": "max", "rouge1": "max", "rouge2": "max", **TOKEN_METRICS}
    main_metric = "rougeL"
    text_metrics = ("rougeL", "rouge1", "rouge2")

    type: Literal["summarization"]
    """Summarization: a short text that says what matters in a long one."""


AnyTask = Annotated[
    Chat
    | MultiLabelClassification
    | Ranking
    | Regression
    | Retrieval
    | Summarization
    | TextClassification
    | TextGeneration
    | TokenClassification
    | Translation,
    Field(discriminator="type"),
]
"""Every task that a config can name."""
