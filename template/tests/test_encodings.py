"""Encodings and compression: what a file is written in is told by a mark, by the config, or by its bytes where sure."""

import contextlib
import gzip
import random
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from conftest import Project

from finetune.config.config import Data
from finetune.console import Notice
from finetune.data import opening
from finetune.data.opening import FileOptions
from finetune.data.rows import Columns, read_rows
from finetune.errors import UserError

# ruff: noqa: E501, RUF001
TEXTS = {
    "zh": ["这家酒店的房间很干净，服务也非常好", "屏幕碎了，客服态度恶劣，再也不会买了", "物流很快，包装完好，值得推荐"],
    "zh-tw": ["這家飯店的房間很乾淨，服務也非常好", "螢幕碎了，客服態度惡劣，再也不會買了", "物流很快，包裝完好，值得推薦"],
    "ja": ["このホテルの部屋はとても清潔です", "画面が割れていて、対応も最悪でした", "配送が遅くて、箱も壊れていました"],
    "ko": ["이 호텔은 방이 매우 깨끗하고", "화면이 깨졌고 고객 서비스가 나빴어요", "배송이 너무 늦고 상자도 망가졌어요"],
    "ru": ["Отличный отель, номера чистые", "Экран разбит, служба поддержки ужасная", "Доставка опоздала на неделю"],
    "de": ["Das Essen war schön, die Bedienung äußerst freundlich", "Leider völlig überteuert", "Grüße aus München"],
    "fr": ["Le repas était très bon et l’accueil chaleureux", "À éviter, hôtel sale", "Une soirée gâchée"],
    "es": ["La película fue muy buena, ¡me encantó!", "El niño no durmió en toda la noche", "¿Qué decepción más grande!"],
    "pl": ["Świetny hotel, obsługa bardzo miła", "Źle się czułem, łóżko było niewygodne", "Paczka przyszła późno"],
    "cs": ["Film byl nudný a příliš dlouhý, škoda peněz", "Zásilka přišla pozdě", "Kvalita je opravdu dobrá, děkuji"],
    "el": ["Το ξενοδοχείο ήταν πολύ καθαρό", "Η ταινία ήταν βαρετή και πολύ μεγάλη", "Δεν το προτείνω"],
    "tr": ["Fiyatına göre kalitesi gerçekten iyi", "Yemekler kötü, şikayet ettik", "Kargo geç geldi, kutu hasarlıydı"],
    "he": ["המחיר טוב והאיכות מצוינת", "הסרט היה משעמם וארוך מדי", "לא אקנה כאן שוב"],
}  # fmt: skip


def read(path: Path, **options: Any) -> list[str]:
    columns = Columns(("text", "label"), file=FileOptions(**options))
    return [row.values["text"] for row in read_rows(path, columns)]


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        read(path, **options)
    return str(caught.value).replace(str(path), path.name)


def sample(language: str, rows: int = 12, seed: int = 0) -> list[str]:
    chosen = random.Random(seed).choices(TEXTS[language], k=rows)
    return ["plain", *chosen]


def table(texts: list[str], encoding: str) -> bytes:
    return "".join(f'"{text}",label\n' for text in ["text", *texts]).encode(encoding)


@pytest.mark.parametrize(("language", "encoding"), [
    ("zh", "gb18030"), ("zh", "gbk"), ("zh-tw", "big5"), ("ja", "shift_jis"), ("ja", "euc_jp"), ("ko", "euc_kr"),
    ("ru", "cp1251"), ("ru", "koi8_r"), ("de", "cp1252"), ("fr", "cp1252"), ("es", "cp1252"),
])  # fmt: skip
def test_an_encoding_is_recognised_and_said(language: str, encoding: str, project: Project) -> None:
    texts = sample(language)
    path = project.write("a.csv", table(texts, encoding))
    with pytest.warns(Notice, match=r"a\.csv: not UTF-8, read as \w+: set data\.encoding if that is wrong"):
        assert read(path) == texts


@pytest.mark.parametrize("encoding", [
    "gb18030", "big5", "cp932", "euc_jp", "cp949", "cp1250", "cp1251", "koi8_r", "cp1252", "cp1253", "cp1254", "cp1255",
    "iso8859_2", "cp850", "cp866", "mac_roman",
])  # fmt: skip
@pytest.mark.filterwarnings("ignore::finetune.console.Notice")
def test_no_encoding_is_taken_for_another(encoding: str, project: Project) -> None:
    """Whatever the language and the number of rows: the text is right, or the file is refused."""
    for number, (language, rows) in enumerate((language, rows) for language in TEXTS for rows in (2, 5, 30)):
        texts = sample(language, rows, number)
        try:
            path = project.write(f"{number}.csv", table(texts, encoding))
        except UnicodeEncodeError:
            continue
        with contextlib.suppress(UserError):
            assert read(path) == texts, (language, rows)


def test_what_is_not_sure_is_refused_with_its_place(project: Project) -> None:
    path = project.write("a.csv", table(["plain", *TEXTS["pl"]], "cp1250"))
    assert refusal(path).startswith("a.csv:3: byte 0x8c is not UTF-8, perhaps cp1250: save the file in UTF-8 (Excel:")
    assert read(path, encoding="cp1250")[1:] == TEXTS["pl"]
    few = project.write("b.csv", "text,label\ncafé,a\n".encode("cp1252"))
    assert refusal(few).startswith("b.csv:2: byte 0xe9 is not UTF-8")


@pytest.mark.parametrize("language", ["zh", "de", "ru"])
def test_utf8_with_a_damaged_byte_is_no_other_encoding(language: str, project: Project) -> None:
    path = project.write("a.csv", table(sample(language, 30), "utf-8") + b"caf\xe9,label\n")
    assert refusal(path).startswith("a.csv:33: byte 0xe9 is not UTF-8")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_tells_the_encoding(encoding: str, project: Project) -> None:
    texts = sample("zh")
    path = project.write("a.csv", table(texts, encoding))
    assert read(path) == texts
    assert read(path, encoding="cp1252") == texts, "the mark is surer"
    big = project.write("b.csv", b"\xfe\xff" + table(texts, "utf-16-be"))
    assert read(big) == texts


def test_a_wrong_encoding_of_the_config_is_refused_with_its_place(project: Project) -> None:
    path = project.write("a.csv", table(["plain", "schön"], "cp1252"))
    assert refusal(path, encoding="gb2312") == "a.csv:3: byte 0xf6 is not gb2312: correct data.encoding"
    assert read(path, encoding="latin-1") == ["plain", "schön"]
    with pytest.raises(ValueError, match="name a text encoding that Python knows"):
        Data(train="x.csv", encoding="utf-9")
    with pytest.raises(ValueError, match="name a text encoding that Python knows"):
        Data(train="x.csv", encoding="base64")


def test_the_place_is_that_of_the_byte_far_into_the_file(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "CHUNK", 7)
    path = project.write("a.csv", b"text,label\r\n" + "né,a\r\n".encode() * 20 + b"\xff,a\r\n")
    assert refusal(path).startswith("a.csv:22: byte 0xff is not UTF-8")


def test_binary_files_are_no_texts(project: Project) -> None:
    for content in (b"PK\x03\x04\x00\x00", table(sample("zh"), "utf-16-le"), b"text,label\n\x00,a\n"):
        assert "a NUL character, which only binary files have" in refusal(project.write("a.csv", content))
    assert read(project.write("b.csv", table(sample("zh"), "utf-16-le")), encoding="utf-16-le") == sample("zh")


# ---------------------------------------------------------------------------------------------------------- compression


def zstd(content: bytes) -> bytes:
    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return bytes(sink.getvalue())


@pytest.mark.parametrize(("ending", "compress"), [(".gz", gzip.compress), (".zst", zstd)])
def test_files_may_be_compressed(ending: str, compress: Any, project: Project) -> None:
    texts = [f"text {n}" for n in range(300)]
    assert read(project.write(f"a.csv{ending}", compress(table(texts, "utf-8")))) == texts
    lines = "".join(f'{{"text": "{text}", "label": "a"}}\n' for text in texts).encode()
    whole = compress(lines)
    assert read(project.write(f"a.JSONL{ending}", whole)) == texts
    for number, damaged in enumerate((whole[: len(whole) // 2], whole[:-4], b"hello", whole + b"hello")):
        assert f"is no whole {ending} file" in refusal(project.write(f"{number}.jsonl{ending}", damaged))
    assert "only text files are read in compressed form" in refusal(project.write(f"a.parquet{ending}", whole))


def test_a_small_file_may_hold_a_large_one(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither zeros nor a line without an end fill the memory."""
    monkeypatch.setattr(opening, "LONGEST", 10_000)
    zeros = project.write("a.csv.gz", gzip.compress(bytes(5_000_000)))
    assert "a NUL character" in refusal(zeros)
    line = project.write("b.jsonl.gz", gzip.compress(b"x" * 5_000_000))
    assert "b.jsonl.gz:1: the line has more than 10,000 characters" in refusal(line)
