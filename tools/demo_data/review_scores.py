"""Theme of regression: the score of a review, from 1.0 to 5.0.

The score follows from the text alone. Each opinion is worth -2 (awful) to 2 (superb), by its words, their degree ("a
bit slow", "very slow") and negation ("not slow at all"); one that outweighs another ("A, but B", "although A, B") and
the verdict on the whole count double. The score is 3 plus the weighted mean, rounded to tenths.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from .grammar import Draw, Grammar, Rules, with_articles
from .names import NAMES

# How an opinion of each worth is said; the words come from what is judged
DEGREES: dict[float, str] = {
    2.0: "{superb} | {superb} | absolutely {superb} | extremely {good} | as {good} as can be | simply {superb}",
    1.5: "very {good} | really {good} | remarkably {good}",
    1.0: "{good} | {good} | {good} for the most part | good | ~pretty {good}",
    0.5: "fairly {good} | quite {good} | not {bad} at all | not bad | ~more or less {good}",
    0.0: "nothing special | average | as expected | neither good nor bad | acceptable | ordinary | ~middling",
    -0.5: "a bit {bad} | a little {bad} | slightly {bad} | not especially {good} | ~somewhat {bad}",
    -1.0: "{bad} | {bad} | not {good} enough | not {good} | not good | ~pretty {bad}",
    -1.5: "very {bad} | really {bad} | not {good} at all | anything but {good} | remarkably {bad}",
    -2.0: "{awful} | {awful} | absolutely {awful} | extremely {bad} | as {bad} as can be | simply {awful}",
}

# The same of a verdict on the whole
VERDICTS: dict[float, str] = {
    2.0: "I could not be happier | the best in years | simply the best | I loved it | ten out of ten",
    1.0: "I can recommend it | a good choice | I liked it | worth the money | ~I am glad I chose it",
    0.0: "it is all right | I have no strong feelings about it | neither a hit nor a miss | it will do | ~so so",
    -1.0: "I cannot recommend it | I expected more | a poor choice | I did not like it | ~hardly worth the money",
    -2.0: "never again | a waste of time and money | stay away from it | I hated it | the worst in years",
}

RULES: Rules = {
    **NAMES,
    "pair": "{left}, and {right} | {left}; {right} | {left}. {right}",
    "turn": "{left}, but {right} | although {left}, {right} | {left}; however, {right} | even though {left}, {right}",
    "day": "Monday | Wednesday | Friday | Saturday | Sunday",
    "with": "with my sister | with two friends | alone | with my parents | with colleagues | with the children",
    "month": "January | March | May | June | August | October | December",
}

# What is reviewed: facts that say nothing about the score, and per aspect its names and words
KINDS: list[tuple[str, list[Rules]]] = [
    (
        """we went there on a {day} | I was there {with} | we had a table by the window | it was our first visit
            | {both} Street, next to the bank | we came {with} in {month} | we ordered three courses
            | ~we walked in without a booking""",
        [
            {
                "what": "the food was | the soup was | the main course was | my fish was | ~the dessert was",
                "superb": "delicious | outstanding | exquisite | divine",
                "good": "tasty | fresh | well cooked | ~well seasoned",
                "bad": "bland | greasy | overcooked | ~dry",
                "awful": "inedible | disgusting | revolting | vile",
            },
            {
                "what": "the service was | our waiter was | the staff were | the owner was | ~the waitress was",
                "superb": "wonderful | flawless | outstanding | superb",
                "good": "friendly | attentive | helpful | ~polite",
                "bad": "slow | careless | unfriendly | ~rude",
                "awful": "appalling | dreadful | unbearable | atrocious",
            },
            {
                "what": "the room was | our table was | the terrace was | the place was | ~the garden was",
                "superb": "gorgeous | wonderful | stunning | enchanting",
                "good": "cosy | clean | comfortable | ~pleasant",
                "bad": "noisy | cramped | dirty | ~draughty",
                "awful": "filthy | horrible | unbearable | disgusting",
            },
            {
                "what": "the prices were | the bill was | the wine list was | ~the set menu was",
                "superb": "unbeatable | fantastic | sensational",
                "good": "fair | reasonable | moderate | ~modest",
                "bad": "unfair | high | steep | ~inflated",
                "awful": "outrageous | shameless | scandalous",
            },
        ],
    ),
    (
        """I bought it in {month} | it was a present from my brother | I use it every day | it came in a grey box
            | I have the black one | it replaces one from {both} | I read about it in a magazine
            | ~mine was made in {month}""",
        [
            {
                "what": "the sound is | the bass is | the speaker is | ~the microphone is",
                "superb": "brilliant | outstanding | wonderful | superb",
                "good": "clear | rich | balanced | crisp",
                "bad": "dull | thin | tinny | muddy",
                "awful": "terrible | horrible | useless | dreadful",
            },
            {
                "what": "the screen is | the picture is | the image is | ~the display is",
                "superb": "brilliant | outstanding | stunning | gorgeous",
                "good": "sharp | bright | clear | vivid",
                "bad": "blurred | dim | dull | grainy",
                "awful": "terrible | horrible | useless | dreadful",
            },
            {
                "what": "the battery is | the cable is | the case is | the hinge is | ~the stand is",
                "superb": "fantastic | flawless | excellent | unbeatable",
                "good": "sturdy | reliable | solid | durable",
                "bad": "flimsy | weak | unreliable | brittle",
                "awful": "worthless | useless | appalling | pathetic",
            },
            {
                "what": "the menu is | the setup is | the manual is | the app is | ~the remote control is",
                "superb": "brilliant | excellent | wonderful | ingenious",
                "good": "clear | simple | handy | intuitive",
                "bad": "confusing | slow | clumsy | awkward",
                "awful": "infuriating | terrible | hopeless | maddening",
            },
        ],
    ),
    (
        """I read it on a train to {both} | it has {pages} pages | my sister lent it to me | I finished it in {month}
            | it is the second of three volumes | the library in {both} has it | it is set in {both}
            | ~I read it {with}""",
        [
            {
                "what": "the plot is | the story is | the first half is | the ending is | ~the final chapter is",
                "superb": "brilliant | gripping | outstanding | masterly",
                "good": "exciting | clever | entertaining | original",
                "bad": "predictable | slow | confusing | tedious",
                "awful": "dreadful | unbearable | ridiculous | abysmal",
            },
            {
                "what": "the heroine is | the villain is | the main character is | the cast is | ~the narrator is",
                "superb": "unforgettable | wonderful | brilliant | superb",
                "good": "likeable | believable | funny | lively",
                "bad": "flat | dull | unconvincing | wooden",
                "awful": "insufferable | dreadful | ridiculous | unbearable",
            },
            {
                "what": "the language is | the style is | the translation is | the dialogue is | ~the prose is",
                "superb": "beautiful | brilliant | exquisite | dazzling",
                "good": "elegant | clear | lively | graceful",
                "bad": "clumsy | stiff | dull | wordy",
                "awful": "awful | unreadable | painful | atrocious",
            },
        ],
    ),
]

DRAWS: dict[str, Draw] = {"pages": lambda grammar: str(int(grammar.between(120, 700)))}


@dataclass(frozen=True)
class Opinion:
    """Something said, what it is worth (-2 to 2), and how much that counts."""

    text: str
    worth: float
    weight: float = 1


def example(grammar: Grammar) -> dict[str, str | float]:
    """One review, ``{"text", "label"}``."""
    facts, aspects = grammar.pick(KINDS)
    mood = grammar.between(-1.9, 2.2)  # reviewers lean to praise
    first, *others = [_opinion(grammar, aspect, mood) for aspect in grammar.sample(aspects, grammar.pick([1, 2, 2, 3]))]
    opinions = [_together(grammar, first, others[0]), *others[1:]] if others else [first]
    if not others or grammar.chance(0.4):
        opinions.append(_verdict(grammar, mood))
    texts = [opinion.text for opinion in opinions]
    if grammar.chance(0.5):
        texts.insert(0, grammar.sentence("facts", {"facts": facts}))
    weight = sum(opinion.weight for opinion in opinions)
    mean = sum(opinion.worth * opinion.weight for opinion in opinions) / weight
    return {"text": _as_sentences(texts), "label": round(3 + mean, 1)}


def _opinion(grammar: Grammar, aspect: Rules, mood: float) -> Opinion:
    worth = _nearest(DEGREES, mood + grammar.between(-1.2, 1.2))
    degree = grammar.sentence("degree", {**aspect, "degree": DEGREES[worth]})
    return Opinion(f"{grammar.sentence('what', aspect)} {degree}", worth)


def _verdict(grammar: Grammar, mood: float) -> Opinion:
    worth = _nearest(VERDICTS, mood + grammar.between(-0.5, 0.5))
    return Opinion(grammar.sentence("verdict", {"verdict": VERDICTS[worth]}), worth, weight=2)


def _together(grammar: Grammar, left: Opinion, right: Opinion) -> Opinion:
    """Two opinions in a row; where one is good and one bad, a "but" makes the second count double."""
    turn = left.worth * right.worth < 0
    text = grammar.sentence("turn" if turn else "pair", {"left": left.text, "right": right.text})
    weight = 2 if turn else 1
    return Opinion(text, (left.worth + weight * right.worth) / (1 + weight), 1 + weight)


def _nearest(scale: Iterable[float], worth: float) -> float:
    return min(scale, key=lambda step: abs(step - worth))


def _as_sentences(texts: list[str]) -> str:
    return re.sub(r"(^|\. )(\w)", lambda start: start[1] + start[2].upper(), with_articles(". ".join(texts))) + "."


def line(example: dict[str, str | float]) -> str:
    return json.dumps(example, ensure_ascii=False) + "\n"
