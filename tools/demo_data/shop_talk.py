"""Theme of chat: customers write to a chain of shops, and an assistant answers.

What the assistant says follows from what was said before (the order number, the article, how the customer paid, the
rules in the system message) and from the rules of the house: HOURS, COLOURS, REFUNDS, ARRIVALS.
"""

import re

from .dialogues import Shop, line
from .grammar import Draw, Rules, with_articles

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
REFUNDS = {"card": "3 days", "bank transfer": "5 days", "voucher": "1 day"}
ARRIVALS = {"express post": "tomorrow", "standard post": "in 4 days", "bicycle courier": "this evening"}
RETURNS = 30
LIMITS = (30, 60)  # what the system message may say instead

FORMALITIES = re.compile(r"(?:Hello|Good morning|Hi|Good evening)\. |You (?:are the assistant|help the customers) of ")

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

__all__ = ["DRAWS", "RULES", "example", "key", "line"]

DRAWS: dict[str, Draw] = {}


def sentences(text: str) -> str:
    """The text with its articles, each sentence with a capital letter."""
    return re.sub(r"(^|[.?!] )(\w)", lambda start: start[1] + start[2].upper(), with_articles(text))


SHOP = Shop(RULES, HOURS, COLOURS, REFUNDS, ARRIVALS, RETURNS, LIMITS, " and ", " ", sentences, FORMALITIES)
example, key = SHOP.example, SHOP.key
