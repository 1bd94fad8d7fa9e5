"""Theme of multi-label-classification: the tags of a support ticket, none to three.

A maker of household gadgets with an app and a paid plan sorts its mail. A tag names what somebody has to handle, and a
word alone does not earn it: "the parcel came on time" asks for nothing, "I do not want a refund" rules the tag out, and
"the cancel button does nothing" is a bug.
"""

import json

from .grammar import Draw, Grammar, Rules, with_articles
from .names import NAMES

LABELS = ("billing", "bug", "cancellation", "delivery", "feature-request", "login", "praise", "refund")

# Which tags come together, and how often
TOGETHER: dict[tuple[str, ...], int] = {
    (): 60,
    ("billing",): 60,
    ("bug",): 65,
    ("cancellation",): 40,
    ("delivery",): 75,
    ("feature-request",): 80,
    ("login",): 65,
    ("praise",): 60,
    ("refund",): 35,
    ("billing", "cancellation"): 40,
    ("billing", "login"): 30,
    ("billing", "refund"): 60,
    ("bug", "feature-request"): 25,
    ("bug", "login"): 35,
    ("bug", "praise"): 20,
    ("bug", "refund"): 30,
    ("cancellation", "login"): 20,
    ("cancellation", "refund"): 30,
    ("delivery", "cancellation"): 20,
    ("delivery", "praise"): 20,
    ("delivery", "refund"): 50,
    ("feature-request", "praise"): 40,
    ("billing", "cancellation", "refund"): 30,
    ("bug", "cancellation", "refund"): 20,
    ("bug", "login", "billing"): 15,
    ("delivery", "cancellation", "refund"): 15,
    ("bug", "feature-request", "praise"): 10,
}

TAGGINGS = [labels for labels, count in TOGETHER.items() for _ in range(count)]

RULES: Rules = {
    **NAMES,
    # Things
    "gadget": """lamp | thermostat | kettle | doorbell | robot vacuum | air purifier | baby monitor | coffee machine
        | weather station | toothbrush | ~humidifier""",
    "other": "{gadget}",
    "tariff": "family plan | premium plan | yearly plan | monthly plan | plan | subscription | ~student plan",
    "screen": "timer | weekly report | camera view | settings page | map | list of rooms | ~start page",
    "shop": "web shop | shop in {both} | catalogue",
    "day": "Monday | Tuesday | Wednesday | Thursday | Friday | Saturday",
    "month": "January | March | April | June | August | October | December",
    "ago": "on {day} | last week | {few} days ago | in {month} | yesterday",
    "phone": "phone | tablet | old phone | new phone | laptop",
    # What earns a tag
    "billing": """I was charged twice in {month} | the invoice of {month} shows the wrong amount
        | you took {money} from my card, but the {plan} costs less | my invoice lists a {other} I never ordered
        | why did the price of the {plan} go up to {money}? | the discount is missing on my invoice
        | please send the invoice to our accountant in {both} | I need an invoice with our company address on it
        | my card was declined although it is valid | your reminder says I owe {money}, but I have paid
        | the {plan} was charged again although I paid {ago} | there are two charges of {money} on my statement
        | I cancelled {ago} and am still being charged | I would like to pay by bank transfer from now on
        | what is the fee of {money} for? | the VAT is wrong on the bill for the {device}
        | you still charge the old card, please use the new one | ~a sum of {money} that I cannot explain was debited
        | ~the bill for {month} is too high | ~please explain the charge of {money}""",
    "bug": """the app crashes when I open the {screen} | since the update the {device} no longer connects
        | the {screen} stays blank on my {phone} | the {device} switches itself on at night
        | the app freezes after a minute | the {screen} shows last year's date
        | the {device} loses the wifi every few hours | notifications arrive hours late
        | after the update the {screen} is empty | the save button does nothing | the cancel button does nothing
        | the {device} blinks red and stops after a minute | the app shows error {code} when I add the {device}
        | the {screen} counts everything twice | the refund form in the app shows error {code}
        | I press start and the {device} does nothing | the app drains the battery of my {phone}
        | ~the {screen} hangs | ~the app closes by itself as soon as I touch the {screen}
        | ~the {device} reports error {code} all day""",
    "cancellation": """please cancel my {plan} | I want to cancel the {plan} at the end of {month}
        | please end my {plan} | I no longer need the {plan}, please stop it | please close my account for good
        | I would like to leave the {plan} before it renews | do not renew my {plan}
        | how do I get out of the {plan}? | please confirm that my {plan} ends in {month}
        | we are moving and have to give up the {plan} | I am cancelling the {plan} today
        | please cancel the order of the {device} | cancel my order, I found the {device} elsewhere
        | please take this as notice for my {plan} | I am quitting the {plan} | ~I wish to terminate the {plan}
        | ~please let my {plan} run out in {month}""",
    "delivery": """my {device} has still not arrived | the parcel was due {ago} and is not here
        | the tracking page has said the same for {few} days | the {device} was left in the rain
        | you delivered the {device} to the wrong house | the box arrived open and half empty
        | the courier says nobody was home, but I was | where is my order of {day}?
        | I ordered a {device} and got a {other} | the {device} arrived with a broken lid
        | please send the parcel to my office in {both} instead | half of my order is missing
        | can you tell me when the {device} will be shipped? | the parcel went back to you by mistake
        | the {device} has been on its way since {month} | please change the delivery address of my order
        | the neighbour got my parcel and will not hand it over | ~the shipment seems to be lost
        | ~the courier dropped my {device} over the fence | ~no trace of the parcel since {day}""",
    "feature_request": """could you add a {screen} for the {device}? | please add a dark mode
        | it would be great if the {device} could start by itself at sunrise | I wish the app spoke my language
        | a widget for the {device} would help me a lot | please let two people share one {device}
        | an export of the {screen} to a table would be useful | I miss a way to rename rooms
        | could the {device} learn when we are away? | will you support smart watches some day?
        | a quiet mode for the night would be lovely | please make the {screen} bigger for older eyes
        | can you build in a reminder to clean the {device}? | my idea: one button for all lamps
        | I suggest a lock against children on the {device} | it would help to see the {screen} without the app
        | could you offer the {screen} for tablets too? | ~please think about a voice control for the {device}
        | ~how about a {screen} in colour? | ~an option to mute the {device} would be nice""",
    "login": """I cannot log in | I forgot my password and the reset mail never comes
        | my account is locked after three attempts | the code for signing in never arrives on my {phone}
        | the app says my password is wrong, but it is not | I changed my number and cannot confirm my login
        | somebody else seems to have signed in to my account | I am asked to sign in again every hour
        | the link to reset my password has expired | my old mail address is gone, so I cannot get into my account
        | two-step login fails on my {phone} | how can I change the password of my account?
        | the login page sends me back to the start | my user name is unknown all of a sudden
        | I am locked out of my account since {day} | my son changed the password and forgot it
        | signing in with my {phone} fails | ~I have no access to my account any more
        | ~the password reset leads nowhere | ~your page does not accept my user name""",
    "praise": """I love the {device} | the {device} works like a charm | your colleague on the phone was wonderful
        | thank you for the quick help {ago} | the new {screen} is beautiful | best {device} I ever had
        | my whole family is happy with the {device} | the update made everything faster, well done
        | the {device} has made our mornings easier | I have told all my friends about the {device}
        | your helpline is the friendliest I know | five stars for the {device} | great work on the {screen}
        | we are delighted with the {device} | the new login is so much nicer than the old one
        | ~hats off to your team | ~the {device} is a joy to use | ~you have a fan in {both}""",
    "refund": """please send me my money back | I want a refund for the {device} | I would like my {money} back
        | when will I get my money back? | please refund the {money} | I sent the {device} back {ago} and got no money
        | the refund you promised {ago} has not come | please pay back the difference
        | I expect the full price back | can I return the {device} for a refund? | please return the {money} to my card
        | I was told I would be refunded within {few} days | half of the price should be refunded
        | I am asking for a refund of {money} | I do not want a new {device}, I want my money
        | ~kindly reimburse me | ~I demand the {money} back | ~the money for the {device} is still with you""",
    # What earns none: facts, questions of others, and per tag what is settled or ruled out
    "fact": """I have the {device} since {month} | the app is version {code} | I live in {both}
        | it is about the {device} in our kitchen | we have two of these | my order number is {code}
        | I bought the {device} in your {shop} | I use the app on my {phone} | I wrote to you {ago}
        | it is the white {device} | my customer number is {code} | I am on the {plan}
        | my wife gave me the {device} {ago} | ~the {device} stands in the bedroom""",
    "no_billing": "the invoice was correct | paying worked without trouble | I have paid already | ~the price is fine",
    "no_bug": "the app itself runs well | the crash of last week is gone | the {screen} works | ~the {device} runs",
    "no_cancellation": """I do not want to cancel anything | of course I keep the {plan} | this is not a cancellation
        | ~I will not cancel""",
    "no_delivery": """the parcel itself came on time | the delivery was quick this time | the order has arrived
        | ~the courier was on time""",
    "no_feature_request": "no need for new features | I do not ask for anything new | ~the old features are enough",
    "no_login": "logging in works | my password is fine | I have found my password again | ~I can sign in",
    "no_praise": """I used to love the {device} | a friend had praised the {device} to me
        | I wish I could praise the {device} | ~so much for your five stars""",
    "no_refund": """I do not want a refund | the refund from {month} has arrived | it is not about a refund
        | ~you can keep the money""",
    "question": """what are your opening hours on {day}? | do you have a shop in {both}?
        | does the {device} fit a socket abroad? | which {device} is the quietest?
        | how often should I clean the {device}?
        | is the {device} made of plastic? | how long is the warranty on the {device}? | do you hire drivers in {both}?
        | may I use tap water in the {device}? | where can I read the manual of the {device}?
        | can the {device} stand outdoors in winter? | how many rooms does one {device} serve?
        | ~what does the {device} weigh?""",
    "greeting": """ |  |  |  |  | hello, | hi, | dear team, | good morning, | hi there, | dear support,
        | good evening,""",
    "closing": """ |  |  |  |  |  | Thanks. | Thank you. | Kind regards, {given} | Best, {given} | Please help.
        | {given} {both} | Please reply soon. | ~Regards, {given}""",
    "given": "Anna | Marcus | Elena | Tobias | Noor | Samuel | Beatriz | Henrik | Mei | Priya | ~Jonas | ~Clara",
    "link": ", and | , and | . Also, | . And | ; | . By the way,",
}

DRAWS: dict[str, Draw] = {
    "few": lambda grammar: grammar.pick(["two", "three", "four", "five", "ten"]),
    "money": lambda grammar: f"{grammar.between(4, 190):.0f} {grammar.pick(['euros', 'pounds', 'dollars'])}",
    "code": lambda grammar: str(int(grammar.between(100, 9999))),
}


def example(grammar: Grammar) -> dict[str, str | list[str]]:
    """One ticket, ``{"text", "labels"}``; the labels in alphabetical order."""
    labels = grammar.pick(TAGGINGS)
    clauses = list(labels) or ["question"]
    if grammar.chance(0.25):
        clauses.append("fact")
    if grammar.chance(0.25):
        clauses.append(f"no_{grammar.pick([label for label in LABELS if label not in labels])}")
    scope = {"device": grammar.sentence("gadget"), "plan": grammar.sentence("tariff")}  # one of each in a ticket
    clauses = [grammar.sentence(clause.replace("-", "_"), scope) for clause in grammar.sample(clauses, len(clauses))]
    return {"text": with_articles(_joined(grammar, clauses)), "labels": sorted(labels)}


def _joined(grammar: Grammar, clauses: list[str]) -> str:
    """Clauses as sentences between a greeting and a closing; those that ask nothing may share a sentence."""
    text = f"{grammar.sentence('greeting')} {clauses[0]}".strip()
    for clause in clauses[1:]:
        if text.endswith("?"):
            text += f" {_capital(clause)}"
        elif clause.endswith("?") or grammar.chance(0.6):
            text += f". {_capital(clause)}"
        else:
            text += f"{grammar.sentence('link')} {clause}"
    return f"{_capital(text)}{'' if text.endswith('?') else '.'} {grammar.sentence('closing')}".strip()


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def line(example: dict[str, str | list[str]]) -> str:
    return json.dumps(example, ensure_ascii=False) + "\n"
