"""Theme of text-generation: a list of facts about a product, and the description that a shop would print.

The description says every fact of the list and no other, so that it can be judged by the list: name, colour, material,
use, feature and price.
"""

import json

from .grammar import Draw, Grammar, Rules, with_articles

# Kinds of products that share materials, uses and features
RANGES: list[Rules] = [
    {
        "product": "lamp | desk lamp | floor lamp | lantern",
        "material": "glass | brass | paper | steel",
        "use": "reading | long evenings | small rooms | the bedroom",
        "feature": "dimmable light | a soft glow | a foldable arm | a cotton cable",
    },
    {
        "product": "chair | table | shelf | bench",
        "material": "oak | pine | walnut | steel",
        "use": "the kitchen | small rooms | the balcony | the office",
        "feature": "rounded edges | a foldable frame | a smooth surface | rubber feet",
    },
    {
        "product": "backpack | shoulder bag | suitcase | wallet",
        "material": "leather | canvas | nylon | felt",
        "use": "travel | the office | short trips | everyday life",
        "feature": "a hidden pocket | a strong zip | wide straps | a key ring",
    },
    {
        "product": "jacket | coat | cardigan | waistcoat",
        "material": "wool | cotton | linen | felt",
        "use": "cold days | long walks | mild evenings | travel",
        "feature": "deep pockets | a soft lining | a wide collar | wooden buttons",
    },
    {
        "product": "mug | bowl | teapot | jug",
        "material": "clay | glass | porcelain | stoneware",
        "use": "the kitchen | gifts | everyday life | the breakfast table",
        "feature": "a thin rim | a round handle | a matt glaze | a fine pattern",
    },
    {
        "product": "blanket | cushion | rug | curtain",
        "material": "wool | cotton | linen | velvet",
        "use": "the bedroom | the living room | long evenings | cold days",
        "feature": "a soft fringe | a fine pattern | a double seam | a fine weave",
    },
]

RULES: Rules = {
    "name": """Alma | Bruno | Cora | Dara | Elio | Fjord | Greta | Halo | Isla | Juno | Kimo | Luna | Milo | Nora
        | Orla | Pico | Runa | Sol | Tilda | Vela""",
    "colour": "white | black | grey | red | blue | green | yellow | brown",
    "price": "10 euros | 20 euros | 30 euros | 40 euros | 50 euros | 60 euros | 80 euros | 90 euros",
    "opening": """{name} is a {colour} {product} made of {material} | {name} is a {colour} {product} in {material}
        | meet {name}, a {colour} {product} made of {material} | {name}: a {colour} {material} {product}
        | ~meet {name}, a {colour} {product} in {material}""",
    # Each further fact as the end of the opening, and as a clause about "it"
    "use_end": "for {use} | , ideal for {use}",
    "feature_end": "with {feature}",
    "price_end": "for {price} | , yours for {price}",
    "use_clause": "is made for {use} | is ideal for {use} | suits {use}",
    "feature_clause": "has {feature} | comes with {feature}",
    "price_clause": "costs {price} | is yours for {price}",
    "it": "it | it | this {product}",
}

DRAWS: dict[str, Draw] = {}

# What may be said beside name, product, colour and material
FURTHER = (
    ("use",),
    ("feature",),
    ("use", "feature"),
    ("use", "price"),
    ("feature", "price"),
    ("use", "feature", "price"),
)


def example(grammar: Grammar) -> dict[str, str]:
    """Facts and description, ``{"prompt", "completion"}``."""
    kind = grammar.pick(RANGES)
    further = grammar.pick(FURTHER)
    facts = {fact: grammar.sentence(fact, kind) for fact in ("name", "product", "colour", "material", *further)}
    prompt = ", ".join(f"{fact}: {value}" for fact, value in facts.items())
    return {"prompt": prompt, "completion": _description(grammar, facts, list(further))}


def _description(grammar: Grammar, facts: Rules, further: list[str]) -> str:
    """An opening, which may end with a further fact, and a sentence with the facts that are left."""
    opening = grammar.sentence("opening", facts)
    if grammar.chance(0.5):
        opening += f" {grammar.sentence(f'{further.pop(0)}_end', facts)}"
    sentences = [opening]
    if further:
        *most, last = [grammar.sentence(f"{fact}_clause", facts) for fact in further]
        clauses = f"{', '.join(most)} and {last}" if most else last
        sentences.append(f"{grammar.sentence('it', facts)} {clauses}")
    return with_articles(" ".join(f"{text[0].upper()}{text[1:]}." for text in sentences)).replace(" ,", ",")


def line(example: dict[str, str]) -> str:
    return json.dumps(example, ensure_ascii=False) + "\n"
