"""The usual names of the columns of data files: which column is a text, a label, a source or a target by its name."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product

from .forms.dialogues import NAMES

TEXTS = (
    *("text", "texts", "sentence", "sentences", "review", "reviews", "reviewtext", "comment", "comments", "content"),
    *("body", "message", "sms", "email", "tweet", "post", "utterance", "phrase", "feedback", "opinion"),
    *("question", "query", "description", "document", "article", "abstract", "headline", "title", "input"),
    *("文本", "内容", "评论", "评价", "句子", "正文", "留言", "短信", "问题", "标题"),
)
"""Usual names of a text, the likeliest first; compared without case, blanks and punctuation."""
PAIRS = (
    *(("text", "textpair"), ("sentence1", "sentence2"), ("premise", "hypothesis"), ("question1", "question2")),
    *(("text1", "text2"), ("texta", "textb"), ("sentencea", "sentenceb"), ("query", "document"), ("query", "passage")),
    *(("question", "answer"), ("question", "context"), ("question", "sentence"), ("问题", "回答"), ("问题", "答案")),
    *(("句子1", "句子2"), ("文本1", "文本2")),
)
"""Usual names of two texts that belong together."""
LABELS = (
    *("label", "labels", "class", "category", "categories", "sentiment", "stars", "rating", "score", "intent", "topic"),
    *("topics", "emotion", "emotions", "polarity", "genre", "genres", "tag", "tags", "target", "grade", "relevance"),
    *("y", "标签", "类别", "分类", "类型", "情感", "情绪", "评分", "星级", "分数", "意图", "主题"),
)
"""Usual names of a label or a number to predict."""
WRITTEN = (
    *(("source", "target"), ("src", "tgt"), ("prompt", "completion"), ("prompt", "response")),
    *(("instruction", "output"), ("instruction", "response"), ("question", "answer"), ("input", "output")),
    *(("article", "highlights"), ("article", "summary"), ("document", "summary"), ("dialogue", "summary")),
    *(("text", "summary"), ("问题", "回答"), ("问题", "答案"), ("原文", "译文"), ("正文", "摘要"), ("内容", "摘要")),
)
"""Usual names of a text and of the text to generate from it."""
RANKED = (
    *(("query", "document"), ("query", "passage"), ("query", "doc"), ("query", "text"), ("question", "answer")),
    *(("question", "document"), ("question", "passage"), ("question", "context"), ("查询", "文档"), ("问题", "文档")),
    *(("anchor", "positive"), ("query", "positive"), ("query", "pos"), ("问题", "回答"), ("问题", "答案")),
)
"""Usual names of a query and of the text that may answer it."""
NEGATIVES = ("negatives", "negative", "hardnegatives", "neg", "负例")
"""Usual names of texts that do not answer a query."""
TOKENS = ("tokens", "words", "token", "word")
TAGS = ("tags", "nertags", "ner", "labels", "postags", "tag", "nertag")
ENTITIES = ("entities", "spans", "annotations", "实体")
DIALOGUES = (*NAMES, "对话")
ROW_NUMBERS = ("", "id", "idx", "index", "unnamed0", "序号", "编号")
"""Usual names of a column that numbers the rows, which is the least likely to be meant."""
USUAL = {
    *(*TEXTS, *LABELS, *NEGATIVES, *TOKENS, *TAGS, *ENTITIES, *DIALOGUES),
    *(name for pair in PAIRS + WRITTEN + RANKED for name in pair),
}

_TOGETHER = {
    ("text", "text_pair"): PAIRS,
    ("source", "target"): WRITTEN,
    ("prompt", "completion"): WRITTEN,
    ("query", "document"): RANKED,
}
"""The usual names of two columns of a task."""
_ALONE = {
    **{name: tuple(dict.fromkeys(pair[side] for pair in pairs))
       for names, pairs in _TOGETHER.items() for side, name in enumerate(names)},
    **{"text": TEXTS, "label": LABELS, "labels": LABELS, "tokens": TOKENS, "tags": TAGS, "entities": ENTITIES},
    **{"messages": DIALOGUES, "negatives": NEGATIVES},
}  # fmt: skip
"""The usual names of each column of a task."""

FOUND_ALONE = ("negatives",)
"""Optional columns that are found by their usual names where the others have their own ones."""


def plain(name: str) -> str:
    """A column name without case, blanks and punctuation."""
    return re.sub(r"[\W_]+", "", name.casefold())


def usual_name(name: str) -> str:
    """The usual name that a column name ends in, as `Star Rating` and `评论内容` do (rating, 内容); else itself."""
    whole = plain(name)
    last = re.split(r"[\W_]+", name.casefold().strip())[-1]
    chinese = (usual for usual in USUAL if not usual.isascii() and whole.endswith(usual))
    return whole if whole in USUAL else last if last in USUAL else next(chinese, whole)


def named_as(wanted: str, columns: Iterable[str]) -> list[str]:
    """The columns of a file whose names are usual ones of the task's column `wanted`."""
    return [column for column in columns if usual_name(column) in _ALONE.get(wanted, ())]


def pairs_named(columns: Iterable[str], pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """All pairs of columns with such usual names, in the order of the names."""
    known = {plain(name): name for name in reversed(list(columns))}
    return [(known[one], known[two]) for one, two in pairs if one in known and two in known]


def ways_to_read(required: Iterable[str], optional: Iterable[str], columns: Sequence[str]) -> list[dict[str, str]]:
    """Every way to read the columns of a file as those of a task by usual names: all required ones, perhaps others."""
    must, may = set(required), set(optional)
    choices: list[list[Mapping[str, str]]] = []
    for (one, two), pairs in _TOGETHER.items():
        if one in must and two in must | may:
            both = [{one: first, two: second} for first, second in pairs_named(columns, pairs)]
            choices.append([*both, *([] if two in must else [{one: name} for name in named_as(one, columns)])])
            must -= {one, two}
    choices += [[{name: column} for column in named_as(name, columns)] for name in sorted(must)]
    for name in FOUND_ALONE:
        if name in may and (found := named_as(name, columns)):
            choices.append([{name: column} for column in found])
    ways = [{name: column for part in parts for name, column in part.items()} for parts in product(*choices)]
    return [way for way in ways if len({*way.values()}) == len(way)]
