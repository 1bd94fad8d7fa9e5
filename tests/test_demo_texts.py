"""What the demo data of the generative tasks say is true, by tables and rules of the tests' own."""

import itertools
import re
from collections import Counter

import pytest
from test_demo_data import SPLITS, assert_plain, rows

# Columns of each task, with fewest and most words
COLUMNS = {
    "text-generation": {"prompt": (8, 30), "completion": (6, 35)},
    "translation": {"source": (4, 14), "target": (4, 14)},
    "summarization": {"source": (15, 65), "target": (8, 16)},
}

# Chat: the rules of the house
HOURS = {
    "Carlow": ("9 am", "6 pm", "Sunday"),
    "Ashford": ("10 am", "8 pm", "Sunday"),
    "Denton": ("8 am", "5 pm", "Monday"),
    "Winley": ("9 am", "7 pm", "Monday"),
    "Oakham": ("10 am", "6 pm", "Tuesday"),
    "Selby": ("8 am", "4 pm", "Sunday"),
}
REFUNDS = {"card": "3 days", "bank transfer": "5 days", "voucher": "1 day"}
ARRIVALS = {"express post": "tomorrow", "standard post": "in 4 days", "bicycle courier": "this evening"}
ARTICLES = r"\b(lamp|chair|jacket|backpack|teapot|blanket|mug|rug)\b"

# Translation: the German nouns by gender, and the words in front by gender (m, f, n) and case
NOUNS = {
    "m": """Arzt Bahnhof Brunnen Bruder Bus Dom Fisch Flughafen Garten Großvater Hafen Hut Kaffee Kakao Keller Koffer
        Kuchen Käse Lehrer Mantel Markt Onkel Palast Park Pass Regenschirm Reis Rock Saft Salat Schal Schlüssel Sohn
        Supermarkt Tee Turm Vater Zoo Zug""",
    "f": """Apotheke Bank Bibliothek Bluse Brieftasche Brücke Bäckerei Galerie Großmutter Jacke Kamera Kirche
        Küche Limonade Mutter Pizza Post Schule Schwester Straßenbahn Suppe Tante Tasche Tochter U-Bahn Universität
        Wohnung Wurst""",
    "n": """Auto Bad Bier Boot Brot Buch Büro Fahrrad Fleisch Handy Haus Hemd Hotel Kino Kleid Krankenhaus Museum
        Rathaus Restaurant Schloss Stadion Taxi Theater Zelt""",
}
GENDERS = {noun: gender for gender, nouns in NOUNS.items() for noun in nouns.split()}
CASES = ("nominative", "accusative", "dative")
LIKE_DER = [("der", "die", "das"), ("den", "die", "das"), ("dem", "der", "dem")]
LIKE_DIESER = [("dieser", "diese", "dieses"), ("diesen", "diese", "dieses"), ("diesem", "dieser", "diesem")]
LIKE_EIN = [("", "e", ""), ("en", "e", ""), ("em", "er", "em")]
AFTER_DER = {"nominative": ("e", "e", "e"), "accusative": ("en", "e", "e"), "dative": ("en", "en", "en")}
AFTER_EIN = {"nominative": ("er", "e", "es"), "accusative": ("en", "e", "es"), "dative": ("en", "en", "en")}
DATIVE = ("mit", "in", "neben", "hinter", "vor", "gegenüber", "gehört")
VERB = "ist|hat|haben?|bin|sind|kann|können|muss|müssen|darf|dürfen|sollten?|möchten?|regnet|scheint"


@pytest.mark.parametrize("task", COLUMNS)
@pytest.mark.parametrize("split", SPLITS)
def test_texts_read_like_sentences(task: str, split: str) -> None:
    for row in rows(task, split):
        assert list(row) == list(COLUMNS[task])
        for column, (low, high) in COLUMNS[task].items():
            assert_plain(row[column])
            assert low <= len(row[column].split()) <= high, row[column]
            assert column == "prompt" or re.fullmatch(r"[A-ZÄÖÜ].*[.?]", row[column])


@pytest.mark.parametrize("task", ["text-generation", "chat", "translation", "summarization"])
def test_few_words_are_enough_for_a_tiny_model(task: str) -> None:
    words = Counter(word for row in rows(task, "train") for word in re.findall(r"\w+", str(row).lower()))
    assert 150 < len(words) < 600
    assert sum(count < 5 for count in words.values()) < 0.05 * len(words)


@pytest.mark.parametrize("task", ["text-generation", "chat", "translation", "summarization"])
@pytest.mark.parametrize("split", ["validation", "test"])
def test_what_is_to_be_written_needs_no_word_that_training_never_shows(task: str, split: str) -> None:
    assert set(_words(task, split)) <= set(_words(task, "train"))


def _words(task: str, split: str) -> list[str]:
    """The words that a model learns to write, without numbers."""
    if task == "chat":
        texts = [message["content"] for talk in talks(split) for message in talk if message["role"] == "assistant"]
    else:
        texts = [list(row.values())[1] for row in rows(task, split)]
    return re.findall(r"[^\W\d]+", " ".join(texts))


# Text-generation


@pytest.mark.parametrize("split", SPLITS)
def test_a_description_says_every_fact_and_no_other(split: str) -> None:
    products = [(_facts(row["prompt"]), row["completion"]) for row in rows("text-generation", split)]
    values = sorted({value for facts, _ in products for value in facts.values()})
    anything = re.compile(rf"\b({'|'.join(map(re.escape, values))})\b")
    for facts, description in products:
        assert set(facts) >= {"name", "product", "colour", "material"}
        for value in sorted(facts.values(), key=len, reverse=True):
            assert value in description, (facts, description)
            description = description.replace(value, "")
        assert not anything.search(description), (facts, description)


def _facts(prompt: str) -> dict[str, str]:
    return dict(fact.split(": ") for fact in prompt.split(", "))


# Chat


def talks(split: str) -> list[list[dict[str, str]]]:
    return [row["messages"] for row in rows("chat", split)]


def exchanges(talk: list[dict[str, str]]) -> list[tuple[str, str, str]]:
    """(all that was said before, question, answer) of a talk."""
    texts = [message["content"] for message in talk]
    start = len(texts) % 2
    return [(" ".join(texts[:i]), texts[i], texts[i + 1]) for i in range(start, len(texts), 2)]


@pytest.mark.parametrize("split", SPLITS)
def test_talks_take_turns(split: str) -> None:
    lengths: Counter[int] = Counter()
    for talk in talks(split):
        roles = [message["role"] for message in talk]
        spoken = roles[roles[0] == "system" :]
        assert spoken == ["user", "assistant"] * (len(spoken) // 2)
        lengths[len(spoken) // 2] += 1
        for message in talk:
            assert list(message) == ["role", "content"]
            assert_plain(message["content"].replace("!", "."))
            assert re.fullmatch(r"[A-Z].*[.?!]", message["content"])
    assert set(lengths) == {1, 2, 3}
    assert min(lengths.values()) > 0.15 * lengths.total()
    assert 0.3 < sum(talk[0]["role"] == "system" for talk in talks(split)) / lengths.total() < 0.5


@pytest.mark.parametrize("split", SPLITS)
def test_the_assistant_names_only_what_was_named_before(split: str) -> None:
    named = (r"(?:[Oo]rder|number is) (\d+)", ARTICLES, rf"\b({'|'.join(HOURS)})\b", r"by (card|bank transfer|voucher)")
    for before, question, answer in itertools.chain.from_iterable(map(exchanges, talks(split))):
        for pattern in named:
            known = re.findall(pattern, f"{before} {question}")
            assert set(re.findall(pattern, answer)) <= set(known[-1:]), (before, question, answer)


@pytest.mark.parametrize("split", SPLITS)
def test_the_assistant_welcomes_once_and_for_the_house_of_the_system_message(split: str) -> None:
    for talk in talks(split):
        first, *others = [answer for _, _, answer in exchanges(talk)]
        assert not any("Welcome" in answer for answer in others)
        if talk[0]["role"] == "system":
            house = re.search(r" of ([A-Z][\w &]+)\.", talk[0]["content"])
            assert house
            assert first.startswith(f"Welcome to {house[1]}. ")
        else:
            assert "Welcome" not in first


@pytest.mark.parametrize("split", SPLITS)
def test_answers_follow_the_rules_of_the_house(split: str) -> None:
    checked: Counter[str] = Counter()
    for before, question, answer in itertools.chain.from_iterable(map(exchanges, talks(split))):
        known = f"{before} {question}"
        for kind, truth in _truths(known, question, answer):
            checked[kind] += 1
            assert truth, (known, answer)
    assert set(checked) == {"opens", "closes", "rest", "day", "return", "refund", "arrival"}
    assert min(checked.values()) > 5


def _truths(known: str, question: str, answer: str) -> list[tuple[str, bool]]:
    """(kind, whether it is true) of all that an answer claims."""
    claims: list[tuple[str, bool]] = []
    towns = re.findall("|".join(HOURS), known)
    opens, closes, rest = HOURS[towns[-1]] if towns else ("", "", "")
    if said := re.search(r"opens at (\d+ [ap]m)", answer):
        claims.append(("opens", said[1] == opens))
    if said := re.search(r"closes at (\d+ [ap]m)", answer):
        claims.append(("closes", said[1] == closes))
    if said := re.search(r"it is closed on (\w+day)", answer, re.IGNORECASE):
        claims.append(("rest", said[1] == rest))
    if said := re.search(r"is open on (\w+day) from (\d+ [ap]m) to (\d+ [ap]m)", answer):
        claims.append(("day", said[1] in question and said[1] != rest and (said[2], said[3]) == (opens, closes)))
    if said := re.search(r"shop in \w+ is closed on (\w+day)", answer):
        claims.append(("day", said[1] in question and said[1] == rest))
    if said := re.search(r"(can|only) return your \w+ within (\d+) days", answer):
        limit = re.search(r"returned within (\d+) days", known)
        ago = re.search(r"(\d+) days (?:ago|old)", question)
        assert ago
        in_time = int(ago[1]) <= int(said[2])
        claims.append(("return", said[2] == (limit[1] if limit else "30") and (said[1] == "can") == in_time))
    if said := re.search(r"back by ([a-z ]+) within (\d+ days?)", answer):
        claims.append(("refund", REFUNDS[said[1]] == said[2]))
    if said := re.search(r"arrives (.+)\.", answer):
        post = re.search("|".join(ARRIVALS), known)
        claims.append(("arrival", post is not None and ARRIVALS[post[0]] == said[1]))
    return claims


# Translation


def phrases(split: str) -> list[tuple[str, str]]:
    return [(row["source"], row["target"]) for row in rows("translation", split)]


def _cases(form: str, gender: str) -> set[str]:
    """The cases in which a noun of a gender can stand after a form."""
    if form in ("im", "zum", "zur"):
        return {"dative"} if (form == "zur") == (gender == "f") else set()
    tables = [LIKE_DER, LIKE_DIESER]
    tables += [[tuple(f"{stem}{end}" for end in ends) for ends in LIKE_EIN] for stem in ("ein", "kein", "mein", "ihr")]
    column = "mfn".index(gender)
    return {case for table in tables for case, forms in zip(CASES, table, strict=True) if forms[column] == form}


@pytest.mark.parametrize("split", SPLITS)
def test_german_words_agree_with_their_noun_in_gender_and_case(split: str) -> None:
    checked: Counter[str] = Counter()
    for _, german in phrases(split):
        words = re.findall(r"[\w-]+|[,.?]", german)
        for i, noun in enumerate(words):
            if noun in GENDERS:
                gender = GENDERS[noun]
                start = i - 1 if any(_cases(words[i - 1].lower(), gender) for gender in "mfn") else i - 2
                form = words[start].lower()
                cases = _cases(form, gender)
                before = words[start - 1].lower() if start else ""
                cases &= {"dative"} if before in DATIVE else {"accusative"} if before == "für" else cases
                if start < i - 1:
                    endings = AFTER_EIN if re.match("ein|kein|mein|ihr", form) else AFTER_DER
                    cases = {case for case in cases if _ending(words[i - 1]) == endings[case]["mfn".index(gender)]}
                assert cases, (noun, german)
                checked.update(f"{gender} {case}" for case in cases)
    assert set(checked) == {f"{gender} {case}" for gender in "mfn" for case in CASES}


def _ending(adjective: str) -> str:
    found = re.fullmatch(r"\w+?(e[nrs]?)", adjective)
    assert found, adjective
    return found[1]


@pytest.mark.parametrize("split", SPLITS)
def test_pronouns_agree_with_the_noun_that_they_stand_for(split: str) -> None:
    checked: Counter[str] = Counter()
    for _, german in phrases(split):
        if said := re.search(
            r"(?:[,?]|und|aber) (er|sie|es) ist |kann (ihn|sie|es) nicht finden", german, re.IGNORECASE
        ):
            noun = next(word for word in re.findall(r"[\w-]+", german) if word in GENDERS)
            pronoun = (said[1] or said[2]).lower()
            assert pronoun in {"m": ("er", "ihn"), "f": ("sie",), "n": ("es",)}[GENDERS[noun]], german
            checked[pronoun] += 1
    assert len(checked) >= 3


@pytest.mark.parametrize("split", SPLITS)
def test_german_verbs_stand_where_they_belong(split: str) -> None:
    for _, german in phrases(split):
        main, comma, clause = german.rstrip(".?").partition(", ")
        if re.match("dass|weil|ob|wo ", clause):
            assert re.fullmatch(VERB, clause.split()[-1]), german
        if main.startswith("Wenn "):
            assert re.fullmatch(VERB, main.split()[-1]), german
            assert re.fullmatch(VERB, clause.split()[0]), german
            assert clause.endswith("en"), german
        if re.search(r"\b(kann|muss|darf|sollte|möchte)", main, re.IGNORECASE) and "?" not in main:
            assert main.endswith("en"), german
        if comma and " zu " in clause and " zu " not in main and " ist" not in clause:
            assert re.search(r" zu \w+en$", clause), german


@pytest.mark.parametrize("split", SPLITS)
def test_nobody_is_addressed_as_du(split: str) -> None:
    assert not any(
        re.search(r"\b(du|dich|dir|dein\w*|euch|euer)\b", german, re.IGNORECASE) for _, german in phrases(split)
    )


def test_some_phrases_of_the_test_join_words_that_training_never_joins() -> None:
    pairs = {pair for english, _ in phrases("train") for pair in itertools.pairwise(english.split())}
    new = [any(pair not in pairs for pair in itertools.pairwise(english.split())) for english, _ in phrases("test")]
    assert 0.05 < sum(new) / len(new) < 0.5


# Summarization


DAY = r"\b\w+day\b"
TIME = r"(?i:from \d+ [ap]m to \d+ [ap]m|at \d+ [ap]m)"
PLACE = (
    r"[A-Z]\w+ (?:Street|Road|Lane)|(?:\w+ hall|school|old mill)\b(?! choir)"
    r"|library|swimming pool|museum|theatre|(?:post|town) office"
)


@pytest.mark.parametrize("split", SPLITS)
def test_a_summary_names_when_and_where_and_nothing_that_the_notice_lacks(split: str) -> None:
    for row in rows("summarization", split):
        notice, summary = row["source"], row["target"]
        assert 3 <= len(notice.split(". ")) <= 5, notice
        for pattern in (DAY, TIME, PLACE):
            (fact,) = re.findall(pattern, summary)
            assert fact.lower() in notice.lower(), row
        sentences = notice.split(". ")
        news = [sentence for sentence in sentences if re.search(TIME, sentence)]
        assert len(news) == 1, notice
        place = re.findall(PLACE, news[0]) or re.findall(PLACE, sentences[sentences.index(news[0]) - 1])
        assert {text.lower() for text in place} == {text.lower() for text in re.findall(PLACE, summary)}, row
        for pattern in (DAY, TIME):
            assert re.findall(pattern, news[0].lower()) == re.findall(pattern, summary.lower()), row


@pytest.mark.parametrize("split", SPLITS)
def test_neither_the_first_sentence_nor_the_only_day_is_the_news(split: str) -> None:
    notices = rows("summarization", split)
    assert sum(bool(re.search(TIME, row["source"].split(". ")[0])) for row in notices) < 0.2 * len(notices)
    assert sum(len(re.findall(DAY, row["source"])) > 1 for row in notices) > 0.35 * len(notices)
