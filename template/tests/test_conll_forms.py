"""Files of words in columns: tabs and blanks, comments, CoNLL-U, further columns; and tables with one word a row."""

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import Project
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetune.cli import main
from finetune.console import Notice
from finetune.data.rows import Columns, Row, read_rows
from finetune.data.word_rows import blank_line_between, by_word
from finetune.errors import UserError

TAGGED = Columns(("tokens", "tags"), grouped_by="sentence")
UNTAGGED = Columns(("tokens", "tags"), targets=("tags",), grouped_by="sentence")
CONLL_U = """# sent_id = 1
# text = vámonos al mar
1-2\tvámonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tvamos\tir\tVERB\tVB\t_\t0\troot\t_\t_
2\tnos\tnosotros\tPRON\tPR\t_\t1\tobj\t_\t_
2.1\t_\t_\tNOUN\t_\t_\t_\t_\t_\t_
3\tmar\tmar\tNOUN\tNN\t_\t1\tobl\t_\t_

# sent_id = 2
1\t#\t#\tSYM\tSY\t_\t0\troot\t_\t_
"""


def read(path: Path, columns: Columns = TAGGED) -> list[tuple[Any, Any]]:
    """Words and tags of the sentences."""
    return [(row.values["tokens"], row.values.get("tags")) for row in read_rows(path, columns)]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("10 000\tO\nNew York\tB-LOC\n", [(["10 000", "New York"], ["O", "B-LOC"])]),
        ("10\u00a0000 O\n\u3000 O\nAda B-PER\n", [(["10\u00a0000", "\u3000", "Ada"], ["O", "O", "B-PER"])]),
        ("Ada  B-PER\r\n \t\r\nran O", [(["Ada"], ["B-PER"]), (["ran"], ["O"])]),
        ("-DOCSTART- -X- O\n\nAda NNP B-PER\n-DOCSTART- -X- O\nran VB O\n", [(["Ada"], ["B-PER"]), (["ran"], ["O"])]),
        ("Ada\tNNP\tB-PER\t\nran\tVB\tO\t\n", [(["Ada", "ran"], ["B-PER", "O"])]),
        ("# O\nAda B-PER\n#fun O\n", [(["#", "Ada", "#fun"], ["O", "B-PER", "O"])]),
        ("#\tSYM\n", [(["#"], ["SYM"])]),
    ],
)
def test_lines_are_divided(text: str, sentences: list[tuple[list[str], list[str]]], project: Project) -> None:
    assert read(project.write("x.conll", text)) == sentences


@pytest.mark.parametrize("ending", [".conllu", ".bio", ".iob", ".CONLL"])
def test_other_endings_are_read(ending: str, project: Project) -> None:
    assert read(project.write(f"x{ending}", "Ada B-PER\n")) == [(["Ada"], ["B-PER"])]


@pytest.mark.parametrize(
    "text",
    ["# the first file\nAda B-PER\nran O\n", "#begin document (a); part 0\n\nAda\tB-PER\nran\tO\n#end document\n"],
)
def test_comments_are_said_and_left_out(text: str, project: Project) -> None:
    path = project.write("x.conll", text)
    with pytest.warns(Notice, match="x.conll: lines that begin with # and have not the columns of the words"):
        assert read(path) == [(["Ada", "ran"], ["B-PER", "O"])]


def test_conll_u_gives_its_words_and_parts_of_speech(project: Project) -> None:
    path = project.write("x.conllu", CONLL_U)
    with pytest.warns(Notice, match=r"CoNLL-U, read with data.columns: \{tokens: 1, tags: 3\}"):
        assert read(path) == [(["vamos", "nos", "mar"], ["VERB", "PRON", "NOUN"]), (["#"], ["SYM"])]
    chosen = Columns(("tokens", "tags"), renamed={"tokens": 2, "tags": 4})
    assert read(path, chosen)[0] == (["ir", "nosotros", "mar"], ["VB", "PR", "NN"])


def test_a_column_that_numbers_the_words_is_no_word(project: Project) -> None:
    """As in GermEval."""
    path = project.write("x.conll", "#\tnews 1\n1\tAda\tB-PER\tO\n2\tran\tO\tO\n\n#\tnews 2\n1\tShe\tO\tO\n")
    with pytest.warns(Notice, match=r"column 0 counts the words, read with data.columns: \{tokens: 1, tags: 2\}"):
        assert read(path, Columns(("tokens", "tags"), renamed={"tags": 2})) == [
            (["Ada", "ran"], ["B-PER", "O"]), (["She"], ["O"])
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Ada B-PER\nran\n", "x.conll:2: 1 column where the lines before have 2: correct the line"),
        ("Ada B-PER\n#fun\n", "x.conll:2: 1 column where the lines before have 2: correct the line"),
        ("Ada\tB-PER\n\tO\n", "x.conll:2: column 0 (tokens) is empty: fill it in"),
        ("Ada\tB-PER\nran\t\n", "x.conll:2: column 1 (tags) is empty: fill it in"),
    ],
)
def test_wrong_lines_are_named(text: str, sentence: str, project: Project) -> None:
    with pytest.raises(UserError) as refusal:
        read(project.write("x.conll", text))
    assert sentence in str(refusal.value)


@pytest.mark.parametrize("position", [2, -1, "tag"])
def test_a_column_that_no_line_has_is_refused(position: Any, project: Project) -> None:
    columns = Columns(("tokens", "tags"), renamed={"tags": position})
    with pytest.raises(UserError, match=rf"data.columns.tags is {position!r}, but a line has columns 0 to 1"):
        read(project.write("x.conll", "Ada B-PER\n"), columns)


def test_predictions_stand_behind_the_words_as_they_were(
    finished: Callable[[str], None], project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    finished("token-classification")
    project.write("in.conllu", CONLL_U)
    project.write("in.conll", "-DOCSTART- O\n\n10 000\tO\nAda\tO\n")
    assert main(["predict", "latest", "in.conllu", "--output", "out-in.conllu"]) == 0
    assert "in.conllu: CoNLL-U, read with data.columns: {tokens: 1}" in capsys.readouterr().err
    assert main(["predict", "latest", "in.conll", "--output", "out-in.conll"]) == 0
    written = Path("out-in.conllu").read_text().split("\n")
    for line, before in zip(written, CONLL_U.split("\n"), strict=True):
        assert line.startswith(before)
        assert line.count("\t") == (0 if before.startswith("#") or not before else 11)
    assert Path("out-in.conll").read_text().startswith("-DOCSTART- O\n\n10 000\tO\t")
    with pytest.warns(Notice, match="column 0 counts the words"):
        again = read(Path("out-in.conllu"), UNTAGGED)
    assert [words for words, _ in again] == [["vamos", "nos", "mar"], ["#"]]


ANNA = ["Anna", "went", "to", "Rome", "yesterday", "."]
KAGGLE = "Sentence #,Word,POS,Tag\n" + "".join(
    f"{f'Sentence: {number}' if word == 'Anna' else ''},{word},NN,{tag}\n"
    for number in (1, 2)
    for word, tag in zip(ANNA, ["B-PER", "O", "O", "B-LOC", "O", "O"], strict=True)
)
REPEATED = "".join(f"{number}\t{word}\tO\n" for number in (1, 2) for word in ANNA)
BLANK_LINES = 2 * ("".join(f"{word}\tO\n" for word in ANNA) + "\n")


def word_columns(header: bool = True, **renamed: str | int) -> Columns:
    return Columns(("tokens", "tags"), renamed=renamed or None, header=header, grouped_by="sentence")


def test_blank_lines_between_sentences_are_said(project: Project) -> None:
    with pytest.warns(Notice, match="x.tsv:1: one word a row, and blank lines between sentences"):
        rows = read_rows(project.write("x.tsv", BLANK_LINES), word_columns(False))
    words = [row for row, _ in by_word(rows, [{"prediction": row.values["tags"]} for row in rows])]
    assert [row.place.rpartition(":")[2] for row in words] == [str(n) for n in [*range(1, 7), *range(8, 14)]]
    pairs = [blank_line_between(one.place, one.original, other.place) for one, other in pairwise(words)]
    assert pairs == [False] * 5 + [True] + [False] * 5


@pytest.mark.parametrize(
    ("name", "text", "columns"),
    [
        ("x.csv", KAGGLE, word_columns(tokens="Word", tags="Tag", sentence="Sentence #")),
        ("x.tsv", REPEATED, word_columns(False, tokens=1, tags=2, sentence=0)),
        ("x.tsv", BLANK_LINES, word_columns(False)),
    ],
)
@pytest.mark.filterwarnings("ignore::finetune.console.Notice")
def test_words_in_rows_make_sentences(name: str, text: str, columns: Columns, project: Project) -> None:
    rows = read_rows(project.write(name, text), columns)
    assert [row.values["tokens"] for row in rows] == [ANNA, ANNA]
    assert all(len(row.values["tags"]) == len(ANNA) for row in rows)


def test_a_usual_column_of_sentences_is_found_and_said(project: Project) -> None:
    path = project.write("x.csv", KAGGLE)
    with pytest.warns(
        Notice, match=r"one word a row; column 'Sentence #' tells the sentences apart: data.columns.sent"
    ):
        assert read(path, word_columns(tokens="Word", tags="Tag"))[1][0] == ANNA


@pytest.mark.parametrize(
    ("name", "text", "columns", "sentence"),
    [
        (
            "x.csv",
            re.sub("(?m)^[^,]*,", "", KAGGLE),
            word_columns(tokens="Word", tags="Tag"),
            "x.csv:2: every row holds a single word: name the column that tells the sentences apart in "
            "data.columns.sentence, or leave a blank line between sentences",
        ),
        ("x.csv", KAGGLE + "Sentence: 3,,NN,O\n", word_columns(tokens="Word", tags="Tag", sentence="Sentence #"),
         "x.csv:14: no value in column 'Word': fill it in"),
    ],
)  # fmt: skip
def test_words_in_rows_without_an_end_of_a_sentence_are_refused(
    name: str, text: str, columns: Columns, sentence: str, project: Project
) -> None:
    with pytest.raises(UserError) as refusal:
        read(project.write(name, text), columns)
    assert str(refusal.value).endswith(sentence)


def test_words_in_objects_need_not_have_the_same_keys(project: Project) -> None:
    path = project.write("x.jsonl", '{"tokens": "Ada", "sent_id": 1, "x": 2}\n{"tokens": "ran", "sent_id": 1}\n')
    with pytest.warns(Notice, match="column 'sent_id'"):
        [row] = read_rows(path, UNTAGGED)
    assert row.original == {"tokens": ["Ada", "ran"], "sent_id": [1, 1], "x": [2, None]}


def test_sentences_in_rows_stay_as_they_are(project: Project) -> None:
    path = project.write("x.csv", "tokens,tags\nHi,O\nAda ran,B-PER O\n")
    assert [row.values["tokens"] for row in read_rows(path, TAGGED)] == ["Hi", "Ada ran"]


def test_predictions_of_words_in_rows_have_a_row_for_each_word(
    finished: Callable[[str], None], project: Project
) -> None:
    finished("token-classification")
    project.write("in.csv", "sentence,tokens,x\n1,Ada,7\n1,ran,8\n2,She,9\n")
    assert main(["predict", "latest", "in.csv", "--output", "out.csv"]) == 0
    lines = Path("out.csv").read_text().splitlines()
    assert lines[0] == "sentence,tokens,x,prediction,probability"
    assert [line.rsplit(",", 2)[0] for line in lines[1:]] == ["1,Ada,7", "1,ran,8", "2,She,9"]


PIECES = st.sampled_from(
    ["Ada", "#", "# a", "1", "1-2", "2", "\t", "\n", "\n\n", " ", "O", "B-PER", "\u3000", "\r", '"']
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.one_of(st.lists(PIECES, max_size=60).map("".join), st.text(max_size=60)))
@pytest.mark.filterwarnings("ignore::finetune.console.Notice")
def test_any_text_is_read_or_refused_in_one_sentence(text: str, tmp_path: Path) -> None:
    refusals: list[str] = []
    for name in ("x.conll", "x.tsv"):
        path = tmp_path / name
        path.write_bytes(text.encode(errors="surrogatepass"))
        for columns in (TAGGED, UNTAGGED, word_columns(False)):
            try:
                rows: list[Row] = read_rows(path, columns)
            except UserError as error:
                refusals.append(str(error))
                continue
            if name == "x.conll" and "#" not in text:  # a comment may have as many cells as the words then have
                words = [row.values["tokens"] for row in rows]
                path.write_text(
                    "\n".join(row.original.with_cells([("T",)] * len(row.values["tokens"])) for row in rows)
                )
                assert [row.values["tokens"] for row in read_rows(path, UNTAGGED)] == words
                path.write_bytes(text.encode(errors="surrogatepass"))
    assert all(refusal.startswith(f"{tmp_path}/x.") for refusal in refusals)
