"""Theme of retrieval: customers write to a department store, and help articles answer.

An article is about a thing and a matter (a sofa, returning it). Customers mostly call both by other words than the
articles do ("my couch", "send it back"), so that counting words finds little; but the words of customers come again, in
other sentences, and can be learnt. Some articles answer in validation and test alone: their thing and their matter are
known from other articles. The module `customer_service` makes the chat data of the same articles.
"""

import json
from dataclasses import dataclass
from typing import Any

from .grammar import Draw, Grammar, Rules, with_articles


@dataclass(frozen=True)
class Thing:
    """What an article is about."""

    kind: str
    words: str
    """What customers call it."""


THINGS = {
    "sofa": Thing("furniture", "couch | settee"),
    "wardrobe": Thing("furniture", "closet | clothes cupboard"),
    "bookcase": Thing("furniture", "bookshelf | shelf for books"),
    "mattress": Thing("furniture", "bed | bed pad"),
    "carpet": Thing("furniture", "rug | mat"),
    "refrigerator": Thing("appliance", "fridge | icebox"),
    "washing machine": Thing("appliance", "washer | laundry thing"),
    "cooker": Thing("appliance", "stove | oven"),
    "vacuum cleaner": Thing("appliance", "hoover | dust sucker"),
    "kettle": Thing("appliance", "water boiler | tea boiler"),
    "television": Thing("electronics", "telly | TV"),
    "notebook computer": Thing("electronics", "laptop | portable computer"),
    "mobile telephone": Thing("electronics", "smartphone | cell"),
    "headphones": Thing("electronics", "earbuds | headset"),
    "loudspeaker": Thing("electronics", "boombox | soundbar"),
    "bicycle": Thing("outdoors", "bike | two-wheeler"),
    "rucksack": Thing("outdoors", "backpack | school bag"),
    "perambulator": Thing("outdoors", "stroller | buggy"),
    "spectacles": Thing("outdoors", "glasses | shades"),
    "wristwatch": Thing("outdoors", "timepiece | watch"),
}


@dataclass(frozen=True)
class Matter:
    """What customers want of a thing."""

    article: str
    """What the help article says; {detail} depends on the kind of thing."""
    questions: str
    details: tuple[str, str, str, str]
    """Of furniture, appliances, electronics, outdoors."""


KINDS = ("furniture", "appliance", "electronics", "outdoors")
MATTERS = {
    "return": Matter(
        "Right of withdrawal, {thing}: you may return the article within {detail} of delivery, stating no reason.",
        """can I send my {word} back? I changed my mind | I don't like the {word}, do you take it back?
        | I want to give back the {word} I bought | how do I bring back a {word} I don't like?
        | changed my mind about the {word}, can it go back? | may I return the {word}?
        | ~is it ok to send the {word} back if I don't like it?""",
        ("30 days", "20 days", "14 days", "60 days"),
    ),
    "damage": Matter(
        "Transport damage, {thing}: please report it within {detail} with a photograph, and a replacement is shipped.",
        """my {word} arrived broken | there is a crack in the new {word} | the {word} came smashed, what now?
        | the box was open and the {word} is broken | the {word} has a big scratch, just unpacked
        | the {word} has transport damage
        | ~unpacked my {word} and it is smashed""",
        ("three days", "two days", "one day", "four days"),
    ),
    "warranty": Matter(
        "Guarantee, {thing}: a defect is repaired at our expense for {detail} after the purchase.",
        """my {word} stopped working | the {word} died after a few months | my {word} no longer does anything
        | the {word} quit on me, who fixes it? | my {word} is dead, can you fix it?
        | does the guarantee cover a defect of my {word}?
        | ~the {word} just stopped, can somebody fix it?""",
        ("five years", "three years", "two years", "four years"),
    ),
    "arrival": Matter(
        "Dispatch, {thing}: orders leave the warehouse in {detail}; tracking begins at that moment.",
        """when does my {word} get here? | still waiting for my {word} | where is my {word}? I am waiting
        | how long till I get the {word}? | when do you dispatch my {word}? | my {word} still isn't here
        | ~still no {word} here, how long do I wait?""",
        ("two weeks", "one week", "two days", "one day"),
    ),
    "postage": Matter(
        "Shipping charges, {thing}: carriage amounts to {detail}, with insurance included.",
        """how much to send me a {word}? | what do I pay to get the {word} brought to me?
        | is it free to send the {word}?
        | do I pay extra to have the {word} brought home? | how much extra for sending the {word}?
        | what are the shipping charges of a {word}?
        | ~how much do I pay if the {word} is brought to me?""",
        ("40 euros", "30 euros", "5 euros", "10 euros"),
    ),
    "assembly": Matter(
        "Installation, {thing}: a technician prepares the product for use on the premises for {detail}.",
        """who puts the {word} together? | can somebody set up the {word} for me? | I can't put the {word} together
        | do I have to set up the {word} alone? | need a hand to put up the {word}
        | does a technician do the installation of the {word}?
        | ~can somebody put the {word} together for me?""",
        ("50 euros", "60 euros", "20 euros", "15 euros"),
    ),
    "parts": Matter(
        "Components, {thing}: individual spares are obtainable for {detail} following production.",
        """I lost a screw of my {word} | need a new handle for the {word} | a little piece of my {word} is missing
        | can I buy just one piece for the {word}? | one screw of the {word} is missing
        | are spares of the {word} obtainable?
        | ~lost a piece of the {word}, can I buy a new one?""",
        ("eight years", "ten years", "six years", "seven years"),
    ),
    "care": Matter(
        "Maintenance, {thing}: use {detail}, and never abrasive agents.",
        """how do I get a stain off my {word}? | how do I wash the {word}? | my {word} is dirty
        | what takes dirt off the {word}? | there is a coffee stain on my {word}
        | what maintenance does a {word} need?
        | ~my {word} has dirt and a stain on it, how do I wash it?""",
        ("lukewarm suds", "vinegar", "a microfibre cloth", "mild detergent"),
    ),
    "disposal": Matter(
        "Recycling, {thing}: the driver removes the previous article for {detail}.",
        """what about my old {word}? | how do I get rid of the old {word}? | can you take the old {word} away?
        | where do I throw my old {word}? | I want to throw out my old {word}
        | is there recycling of a previous {word}?
        | ~do you take away an old {word}? I must get rid of it""",
        ("25 euros", "no fee", "3 euros", "8 euros"),
    ),
    "instalments": Matter(
        "Financing, {thing}: the price may be settled in {detail} without interest.",
        """can I pay for the {word} bit by bit? | I can't pay the {word} all at once | can I pay the {word} monthly?
        | not enough money for the {word} now, can I pay later? | pay a {word} a bit each month?
        | do you offer financing of a {word}?
        | ~I can't pay the {word} now, can I do it monthly?""",
        ("24 rates", "18 rates", "12 rates", "six rates"),
    ),
    "stock": Matter(
        "Availability, {thing}: a model that is out of stock is replenished after {detail}.",
        """the {word} I want is sold out | when will you have the {word} again? | is the {word} coming back to the shop?
        | why can't I get the {word} any more? | your {word} is gone from the shop
        | what is the availability of the {word}?
        | ~the {word} is sold out, when will you have it again?""",
        ("six weeks", "four weeks", "ten days", "five days"),
    ),
    "size": Matter(
        "Measurements, {thing}: dimensions are printed {detail}, in centimetres.",
        """does the {word} fit through my door? | how wide is the {word}? | is the {word} too big for my room?
        | how tall and how wide is this {word}? | will the {word} fit in my small room?
        | what are the measurements of the {word}?
        | ~is the {word} too wide for my door?""",
        ("on the plan", "on the rear plate", "on the carton", "on the label"),
    ),
    "price": Matter(
        "Best price promise, {thing}: should a competitor charge less, the difference is reimbursed within {detail}.",
        """I saw the same {word} cheaper elsewhere | another shop sells this {word} for less
        | your {word} is cheaper online, do you match it? | found the {word} for less money somewhere
        | can you match a cheaper {word}? | does your best price promise hold for the {word}?
        | ~another shop has the {word} cheaper, do you match that?""",
        ("ten days", "eight days", "five days", "twelve days"),
    ),
    "gift": Matter(
        "Gift service, {thing}: we add decorative packaging and a card for {detail}.",
        """can you wrap the {word}? it is a present | the {word} is for my mum's birthday
        | I want the {word} as a present, with a bow | birthday present: a {word}, do you wrap it?
        | please wrap a {word} with ribbon | do you have a gift service for the {word}?
        | ~a {word} with a bow for a birthday, can you do that?""",
        ("12 euros", "9 euros", "4 euros", "6 euros"),
    ),
    "cancel": Matter(
        "Revocation, {thing}: a purchase may be annulled through your account up to {detail} prior to dispatch.",
        """I ordered the {word} by mistake | please stop my {word} order | I ordered two {word} by accident, stop one
        | clicked on the {word} twice, stop it please | oops, wrong {word} ordered
        | can I annul the purchase of my {word}?
        | ~wrong click, please stop the order of the {word}""",
        ("three days", "one day", "two hours", "six hours"),
    ),
}

Article = tuple[str, str]
"""A thing and a matter."""
HELD_OUT = frozenset(
    (thing, matter)
    for row, thing in enumerate(THINGS)
    for column, matter in enumerate(MATTERS)
    if (3 * row + column) % 7 == 0
)
"""Articles that training never shows."""
SEEN = [(thing, matter) for thing in THINGS for matter in MATTERS if (thing, matter) not in HELD_OUT]

RULES: Rules = {
    "article": " | ".join(
        f"{'~' * ((thing, matter) in HELD_OUT)}{thing} / {matter}" for thing in THINGS for matter in MATTERS
    ),
    "hello": " |  |  | hi, | hello, | hi there, | hey, | good morning, | quick question: | ~hello again, | ~dear shop,",
    "end": " |  |  |  | thanks | thank you | please help | cheers | ~thanks a lot",
}
DRAWS: dict[str, Draw] = {}

PLAIN_WORD, TYPO, NEGATIVES = 0.4, 0.3, 0.12
"""How often a customer takes the article's word, mistypes one, and how often a row has negatives."""


def document(article: Article) -> str:
    """The text of a help article."""
    thing, matter = article
    said = MATTERS[matter]
    detail = said.details[KINDS.index(THINGS[thing].kind)]
    return said.article.format(thing=thing, detail=detail)


def question(grammar: Grammar, article: Article) -> str:
    """A customer's question that the article answers."""
    thing, matter = article
    word = thing if grammar.chance(PLAIN_WORD) else grammar.sentence("word", {"word": THINGS[thing].words})
    asked = grammar.sentence(matter, {matter: MATTERS[matter].questions, "word": word})
    parts = (grammar.sentence("hello"), with_articles(asked), grammar.sentence("end"))
    text = " ".join(filter(None, parts))
    return _mistyped(grammar, text) if grammar.chance(TYPO) else text


def _mistyped(grammar: Grammar, text: str) -> str:
    """Two neighbouring letters inside a longer word change places."""
    words = text.split(" ")
    long = [number for number, word in enumerate(words) if len(word) >= 5 and word.isalpha()]
    if long:
        number = grammar.pick(long)
        word = words[number]
        at = 1 + int(grammar.between(0, len(word) - 3))
        words[number] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return " ".join(words)


def similar(grammar: Grammar, article: Article) -> list[Article]:
    """Another matter of the same thing, and the same matter of another thing."""
    thing, matter = article
    return [
        grammar.pick([other for other in SEEN if other[0] == thing and other[1] != matter]),
        grammar.pick([other for other in SEEN if other[1] == matter and other[0] != thing]),
    ]


def draw_article(grammar: Grammar) -> Article:
    """Some article; a held-out one never in training."""
    thing, matter = grammar.sentence("article").split(" / ")
    return thing, matter


def example(grammar: Grammar) -> dict[str, Any]:
    """A question and its article, ``{"query", "document"}``, sometimes with "negatives"."""
    article = draw_article(grammar)
    row: dict[str, Any] = {"query": question(grammar, article), "document": document(article)}
    if grammar.chance(NEGATIVES):
        row["negatives"] = [document(other) for other in similar(grammar, article)]
    return row


def line(example: dict[str, Any]) -> str:
    return json.dumps(example, ensure_ascii=False) + "\n"
