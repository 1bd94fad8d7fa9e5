"""Theme of summarization: short notices of a town, and in one sentence what is planned, when and where.

A notice says one thing among others: why it is done, what was before, what to do meanwhile. Days, streets and rooms
that the summary must not name stand beside those that it must, and the first sentence is rarely the one that counts.
"""

import json

from .grammar import Draw, Grammar, Rules, with_articles

# Each kind of notice: what leads up to the news, the news, what stands beside it, and the summary
KINDS: list[Rules] = [
    {
        "lead": """the water pipes in {street} are old | a pipe broke in {street} last {other_day}
            | the town is renewing its water pipes | the pipes in {other_street} are done""",
        "news": """on {day} there will be no water in {street} {hours}
            | the water in {street} will be shut off on {day} {hours}
            | we have to shut off the water in {street}. This happens on {day} {hours}
            | ~{hours} there will be no water in {street} on {day}""",
        "aside": """please fill a bottle the evening before | the water may be brown for a short time
            | {other_street} follows on {other_day} | a tank with fresh water stands in {other_street}""",
        "summary": "there will be no water in {street} on {day} {hours}",
    },
    {
        "lead": """a cable in {street} is damaged | the power lines of our town need new parts
            | last {other_day} the lights went out in {street} | the new cables in {other_street} work well""",
        "news": """on {day} there will be no power in {street} {hours}
            | the power in {street} will be off on {day} {hours}
            | we have to switch off the power in {street}. This happens on {day} {hours}
            | ~{hours} there will be no power in {street} on {day}""",
        "aside": """please do not use the lift | please switch off your computer | keep your fridge closed
            | {other_street} still has power | the same work begins in {other_street} on {other_day}""",
        "summary": "there will be no power in {street} on {day} {hours}",
    },
    {
        "lead": """{street} gets a new surface | the holes in {street} are getting bigger
            | the winter was hard on our streets | the work in {other_street} ended last {other_day}""",
        "news": """{street} will be closed to cars on {day} {hours}
            | on {day} no car can pass through {street} {hours}
            | we have to close {street} to cars. The work is done on {day} {hours}
            | ~{hours} no car can pass through {street} on {day}""",
        "aside": """bicycles may pass | please drive through {other_street} instead | please park your car elsewhere
            | the bus stops in {other_street} | {other_street} will be closed on {other_day}""",
        "summary": "{street} will be closed to cars on {day} {hours}",
    },
    {
        "lead": """{group} has many new members | last {other_day} {group} met in {other_room}
            | {other_room} is too small for {group} | {group} looks back on a good year""",
        "news": """{group} meets on {day} at {hour} in {room} | on {day} at {hour} {group} will meet in {room}
            | {group} has found a new room for its meeting. It is in {room} on {day} at {hour}
            | ~in {room} {group} will meet on {day} at {hour}""",
        "aside": """guests are welcome | please bring something to drink | there will be coffee and cake
            | {other_group} still meets on {other_day} | {other_room} will be free again soon""",
        "summary": "{group} meets on {day} at {hour} in {room}",
    },
    {
        "lead": """{other_room} will be painted | the piano in {other_room} is broken | {choir} has practised all year
            | last year {choir} sang in {other_room}""",
        "news": """{choir} gives a concert on {day} at {hour} in {room}
            | on {day} at {hour} {choir} will sing in {room}
            | {choir} invites you to its concert. It is in {room} on {day} at {hour}
            | ~in {room} you can hear {choir} on {day} at {hour}""",
        "aside": """tickets cost {price} euros | children pay nothing | {other_choir} sings on {other_day}
            | tickets are sold in {other_room} | the doors open half an hour before""",
        "summary": "{choir} sings on {day} at {hour} in {room}",
    },
    {
        "lead": """the {place} needs a new door | the staff of the {place} have a training day
            | the lights in the {place} will be replaced | many people came to the {place} last {other_day}""",
        "news": """the {place} will be closed on {day} {hours} | on {day} you cannot visit the {place} {hours}
            | we have to close the {place} for a short time. It will be closed on {day} {hours}
            | ~{hours} the {place} will be closed on {day}""",
        "aside": """the {other_place} stays open | from {other_day} on everything is as usual
            | the café next door is open | the telephone is answered in {other_room}""",
        "summary": "the {place} will be closed on {day} {hours}",
    },
    {
        "lead": """{other_street} is full of road works | there is no room for the {stall} in {other_street}
            | the last {stall} was on a rainy {other_day} | everybody liked the last {stall}""",
        "news": """the {stall} takes place in {street} on {day} {hours}
            | on {day} we hold the {stall} in {street} {hours}
            | come to the {stall} of our town. You find it in {street} on {day} {hours}
            | ~in {street} we hold the {stall} on {day} {hours}""",
        "aside": """a table costs {price} euros | there will be coffee and cake | please do not park in {other_street}
            | on {other_day} we need help with the tables""",
        "summary": "the {stall} is in {street} on {day} {hours}",
    },
    {
        "lead": """many of you want to learn something new | the course in {other_room} is full
            | {teacher} is back from a long journey | last year {teacher} taught in {other_room}""",
        "news": """{teacher} starts a {course} course on {day} at {hour} in {room}
            | on {day} at {hour} a {course} course with {teacher} starts in {room}
            | {teacher} has planned a new {course} course. It starts on {day} at {hour} in {room}
            | ~in {room} a {course} course starts on {day} at {hour}""",
        "aside": """the course costs {price} euros | no books are needed | please wear warm clothes
            | you can join until {other_day} | {other_room} has the list for names""",
        "summary": "a {course} course starts on {day} at {hour} in {room}",
    },
]

# How many sentences stand before the news, and after it
SHAPES = ((1, 1), (1, 1), (1, 1), (2, 1), (1, 2), (0, 2))

# Of these a notice names two: one that counts, and another
PAIRS: dict[str, tuple[str, ...]] = {
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "street": (
        "Mill Street",
        "Park Road",
        "Church Lane",
        "Bridge Street",
        "Station Road",
        "Garden Lane",
        "High Street",
        "Hill Road",
    ),
    "room": ("the town hall", "the school", "the old mill", "the church hall", "the sports hall", "the parish hall"),
    "group": ("the chess club", "the book club", "the garden club", "the walking group", "the youth club"),
    "choir": ("the church choir", "the school choir", "the town choir", "the gospel choir"),
    "place": ("library", "swimming pool", "museum", "post office", "town office", "theatre"),
}

RULES: Rules = {
    "hours": """from 8 am to 11 am | from 8 am to 1 pm | from 9 am to 11 am | from 9 am to 4 pm | from 10 am to 1 pm
        | from 1 pm to 4 pm | from 2 pm to 4 pm | from 2 pm to 6 pm""",
    "hour": "9 am | 10 am | 11 am | 2 pm | 4 pm | 6 pm | 7 pm | 8 pm",
    "price": "3 | 5 | 10 | 20",
    "stall": "flea market | book fair | flower market | street party | Christmas market",
    "course": "cooking | dancing | yoga | drawing | sewing | Spanish",
    "teacher": "Anna Wells | Mark Hill | Mrs Brown | Mr Young",
    "closing": """please tell your neighbours | thank you for reading | our telephone number has changed
        | for questions please ask in {other_room} | our office is closed on {other_day}
        | ~with questions please come to {other_room}""",
}

DRAWS: dict[str, Draw] = {}


def example(grammar: Grammar) -> dict[str, str]:
    """Notice and summary, ``{"source", "target"}``."""
    facts = {rule: grammar.sentence(rule) for rule in ("hours", "hour", "stall", "course", "teacher")}
    for fact, values in PAIRS.items():
        facts[fact], facts[f"other_{fact}"] = grammar.sample(values, 2)
    scope = {**grammar.pick(KINDS), **facts}
    before, after = grammar.pick(SHAPES)
    notice = [
        *_different(grammar, "lead", scope, before),
        *grammar.sentence("news", scope).split(". "),
        *_different(grammar, "aside", scope, after),
        *_different(grammar, "closing", scope, grammar.pick([0, 0, 1]) if before + after < 3 else 0),
    ]
    return {"source": _sentences(notice), "target": _sentences([grammar.sentence("summary", scope)])}


def _different(grammar: Grammar, rule: str, scope: Rules, count: int) -> list[str]:
    """``count`` different alternatives of a rule."""
    found: list[str] = []
    while len(found) < count:
        text = grammar.sentence(rule, scope)
        if text not in found:
            found.append(text)
    return found


def _sentences(texts: list[str]) -> str:
    return with_articles(" ".join(f"{text[0].upper()}{text[1:]}." for text in texts))


def line(example: dict[str, str]) -> str:
    return json.dumps(example, ensure_ascii=False) + "\n"
