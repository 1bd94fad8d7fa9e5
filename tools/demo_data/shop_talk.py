"""Theme of chat: customers write to a chain of shops, and an assistant answers.

What the assistant says follows from what was said before (the order number, the article, how the customer paid, the
rules in the system message) and from a few rules of the house, which never change: HOURS, COLOURS, REFUNDS, ARRIVALS.
So a model can learn every answer, and a test can check it.
"""

import json
import re

from .grammar import Draw, Grammar, Rules, with_articles

Message = dict[str, str]

# The rules of the house: when the shop in a town opens and closes, and its day of rest; in which colours an article
# comes; after how many days money is back; when a parcel arrives; for how many days an article can be returned
HOURS = {
    "Carlow": ("9 am", "6 pm", "Sunday"),
    "Ashford": ("10 am", "8 pm", "Sunday"),
    "Denton": ("8 am", "5 pm", "Monday"),
    "Winley": ("9 am", "7 pm", "Monday"),
    "Oakham": ("10 am", "6 pm", "Tuesday"),
    "Selby": ("8 am", "4 pm", "Sunday"),
}
COLOURS = {
    "lamp": ("white", "black"),
    "chair": ("red", "white"),
    "jacket": ("blue", "green"),
    "backpack": ("black", "green"),
    "teapot": ("white", "blue"),
    "blanket": ("red", "grey"),
    "mug": ("yellow", "blue"),
    "rug": ("grey", "green"),
}
REFUNDS = {"card": "3", "bank transfer": "5", "voucher": "1"}
ARRIVALS = {"express post": "tomorrow", "standard post": "in 4 days", "bicycle courier": "this evening"}
RETURNS = "30"
LIMITS = ("30", "60")  # what the system message may say instead

# What a talk opens with, and what may follow
TOPICS: dict[str, tuple[str, ...]] = {
    "order": ("address", "gift", "cancel"),
    "damaged": ("replace", "money"),
    "opening": ("closing", "days"),
    "visit": ("closing",),
    "return": ("bring",),
    "stock": ("basket",),
}
FORMALITIES = re.compile(r"(?:Hello|Good morning|Hi|Good evening)\. |You (?:are the assistant|help the customers) of ")
LAST = ("cancel", "replace", "money")  # of a topic nothing can follow these

RULES: Rules = {
    "item": " | ".join(COLOURS),
    "colour": "white | black | red | blue | green | grey | yellow",
    "town": " | ".join(HOURS),
    "day": "Monday | Tuesday | Wednesday | Saturday | Sunday",
    "payment": " | ".join(REFUNDS),
    "post": " | ".join(ARRIVALS),
    "brand": "Alma Home | Bright & Co | Copper House | Daylight | Everyday",
    "ago": "5 | 10 | 20 | 40 | 50 | 70 | 80",
    "hello": " |  | hello. | good morning. | hi. | good evening.",
    # Rules in the system message, before the customer speaks
    "system": "you are the assistant of {brand}. | you help the customers of {brand}.",
    "opening_system": "{hours}",
    "visit_system": "{hours}",
    "hours": "our shop in {town} is open from {opens} to {closes} and closed on {rest}.",
    "return_system": "articles can be returned within {limit} days.",
    "welcome": "welcome to {brand}.",
    # Exchanges: the customer / the assistant
    "order": """{ask_order} / order {number} comes by {post} and arrives {arrival}.
        | {ask_order} / your {item} from order {number} arrives {arrival}.""",
    "ask_order": """I ordered a {item} by {post}. My order number is {number}. When does it arrive?
        | where is my order {number}? It is a {item}, sent by {post}. | when do I get my {item}? It is order {number},
          sent by {post}. | ~I am waiting for order {number}, a {item} by {post}. When does it arrive?""",
    "address": """please send it to {town} instead. / done. Order {number} now goes to {town}.
        | can you send it to my office in {town}? / yes, order {number} now goes to {town}.""",
    "gift": """please wrap it as a gift. / of course. We will wrap your {item} as a gift.
        | it is a present, can you wrap it? / of course. We will wrap your {item} as a gift.""",
    "cancel": """please cancel the order. I paid by {payment}. / order {number} is cancelled. {refund}
        | I do not want it any more. I paid by {payment}. / order {number} is cancelled. {refund}""",
    "damaged": """my {item} arrived damaged. It was order {number}. / {sorry}
        | the {item} of order {number} is damaged. / {sorry}
        | there is something wrong with my {item}. The order number is {number}. / {sorry}
        | ~order {number} was a {item}, but it is damaged. / {sorry}""",
    "sorry": "I am sorry about your {item}. Would you like a new one or your money back?",
    "replace": """a new one, please. / a new {item} for order {number} is on its way.
        | I would like a new one. / a new {item} for order {number} is on its way.""",
    "money": """I want my money back. I paid by {payment}. / I will cancel order {number}. {refund}
        | my money back, please. I paid by {payment}. / I will cancel order {number}. {refund}""",
    "refund": "You get your money back by {payment} within {refund_days}.",
    "opening": """when does your shop in {town} open? / our shop in {town} opens at {opens}.
        | I want to come to your shop in {town}. When do you open? / our shop in {town} opens at {opens}.
        | ~from when can I visit the shop in {town}? / our shop in {town} opens at {opens}.""",
    "visit": """is your shop in {town} open on {day}? / {visit_answer}
        | can I come to your shop in {town} on {day}? / {visit_answer}
        | I would like to visit the shop in {town} on {day}. Is it open? / {visit_answer}""",
    # The same where the system message names the shop
    "opening_here": """when do you open? / our shop in {town} opens at {opens}.
        | from when can I visit you? / our shop in {town} opens at {opens}.""",
    "visit_here": "are you open on {day}? / {visit_answer} | can I come on {day}? / {visit_answer}",
    "visit_yes": "yes, our shop in {town} is open on {day} from {opens} to {closes}.",
    "visit_no": "no, our shop in {town} is closed on {day}.",
    "closing": """and when does it close? / it closes at {closes}. | until when is it open? / it closes at {closes}.
        | when must I be there at the latest? / it closes at {closes}.""",
    "days": """which day is it closed? / it is closed on {rest}.
        | is it open every day? / no, it is closed on {rest}.""",
    "return": """I bought a {item} {ago} days ago. Can I return it? / {return_answer}
        | can I return my {item}? I bought it {ago} days ago. / {return_answer}
        | my {item} is {ago} days old and I do not like it. Can I bring it back? / {return_answer}""",
    "return_yes": "yes, you can return your {item} within {limit} days.",
    "return_no": "I am sorry, you can only return your {item} within {limit} days.",
    "bring": """where can I bring it? I live in {town}. / please bring it to our shop in {town}.
        | is there a shop in {town}? / yes, please bring it to our shop in {town}.""",
    "stock": """do you have the {item} in {colour}? / {stock_answer}
        | I am looking for a {colour} {item}. / {stock_answer} | is there a {colour} {item}? / {stock_answer}
        | ~can I get the {item} in {colour}? / {stock_answer}""",
    "stock_yes": "yes, the {item} comes in {two_colours}.",
    "stock_no": "no, the {item} only comes in {two_colours}.",
    "basket": """then I will take the {choice} one. / a {choice} {item} is in your basket.
        | the {choice} one, please. / a {choice} {item} is in your basket.""",
    "thanks": """thank you! / you are welcome. | thanks, that is all. / you are welcome. Have a nice day!
        | great, thanks for your help. / you are welcome.""",
}

DRAWS: dict[str, Draw] = {}

FACTS = ("item", "colour", "town", "day", "payment", "post", "brand", "ago")


def example(grammar: Grammar) -> list[Message]:
    """A talk of one to three exchanges, ``[{"role", "content"}, ...]``; four in ten begin with a system message."""
    topic = grammar.pick(list(TOPICS))
    with_system = grammar.chance(0.3)  # they repeat each other less, so that four in ten are left
    facts = _facts(grammar, limit=grammar.pick(LIMITS) if with_system else RETURNS)
    messages: list[Message] = []
    if with_system:
        rules = [grammar.sentence(rule, facts) for rule in ("system", f"{topic}_system") if rule in RULES]
        messages.append(_message("system", " ".join(rules)))
    for exchange in exchanges(grammar, topic, facts):
        rule = f"{exchange}_here" if with_system and f"{exchange}_here" in RULES else exchange
        question, answer = grammar.sentence(rule, facts).split(" / ")
        if exchange == topic:
            question = f"{grammar.sentence('hello')} {question}".strip()
            answer = f"{grammar.sentence('welcome', facts)} {answer}" if with_system else answer
        messages += [_message("user", question), _message("assistant", answer)]
    return messages


def _facts(grammar: Grammar, limit: str) -> dict[str, str]:
    """What one talk is about, and what follows from it by the rules of the house."""
    facts = {fact: grammar.sentence(fact) for fact in FACTS}
    opens, closes, rest = HOURS[facts["town"]]
    days = REFUNDS[facts["payment"]]
    return facts | {
        "number": str(int(grammar.between(10, 100))),  # of the order
        "opens": opens,
        "closes": closes,
        "rest": rest,
        "visit_answer": "{visit_no}" if facts["day"] == rest else "{visit_yes}",
        "refund_days": f"{days} day" if days == "1" else f"{days} days",
        "arrival": ARRIVALS[facts["post"]],
        "limit": limit,
        "return_answer": "{return_yes}" if int(facts["ago"]) <= int(limit) else "{return_no}",
        "two_colours": " and ".join(COLOURS[facts["item"]]),
        "stock_answer": "{stock_yes}" if facts["colour"] in COLOURS[facts["item"]] else "{stock_no}",
        "choice": grammar.pick(COLOURS[facts["item"]]),
    }


def exchanges(grammar: Grammar, topic: str, facts: Rules) -> list[str]:
    """The exchanges of a talk in order, by name; facts decide which can follow."""
    refused = facts.get(f"{topic}_answer") in ("{visit_no}", "{return_no}")
    follow = [] if refused else list(TOPICS[topic])
    chosen = grammar.sample(follow, min(len(follow), grammar.pick([0, 0, 1, 1, 2])))
    chosen.sort(key=LAST.__contains__)
    while sum(exchange in LAST for exchange in chosen) > 1:
        chosen.pop()
    if len(chosen) < 2 and [topic, *chosen] != ["damaged"] and grammar.chance(0.25):
        chosen.append("thanks")
    return [topic, *chosen]


def _message(role: str, text: str) -> Message:
    sentences = re.sub(r"(^|[.?!] )(\w)", lambda start: start[1] + start[2].upper(), with_articles(text))
    return {"role": role, "content": sentences}


def key(example: list[Message]) -> str:
    """A talk less its greeting and the opening of the system message, which make it no other talk."""
    return FORMALITIES.sub("", line(example))


def line(example: list[Message]) -> str:
    return json.dumps({"messages": example}, ensure_ascii=False) + "\n"
