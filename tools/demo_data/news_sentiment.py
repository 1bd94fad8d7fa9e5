"""Theme of text-classification: the tone of financial news (negative, neutral, positive).

What decides the label is rarely one word: ``profit rose`` is good, ``costs rose`` is bad, ``losses narrowed`` is good
again, and in ``despite higher costs, it raised its outlook`` the main clause wins. Companies and people are invented.
"""

import json

from .grammar import Draw, Grammar, Rules, with_articles
from .industries import INDUSTRIES
from .names import NAMES

LABELS = ("negative", "neutral", "positive")
SHARES = (0.275, 0.45, 0.275)

RULES: Rules = {
    **NAMES,
    # Names: well-known ones, and ones that the test has and training has not
    "stem": "{known} | {known} | {known} | {both} | {coined}{coined_end}",
    "company": "{stem} {line} | {stem} {line} | {stem} {line} | {stem} | {stem} Group | {stem} Holdings",
    "other": "{stem} {line} | {stem} {line} | {stem} & Sons | {stem} Partners",
    "person": "{given} {surname}",
    "given": """Anna | Marcus | Elena | Tobias | Ingrid | Pavel | Noor | Samuel | Beatriz | Henrik | Mei | Oscar
        | Priya | Lukas | Amara | ~Jonas | ~Clara | ~Dmitri""",
    "surname": """Brandt | Okafor | Lindqvist | Moreau | Varga | Nakano | Silveira | Petrov | Aalto | Mehta | Kowal
        | {both}""",
    "place": "{both} | Port {both} | Eastbridge | Carlow | Aldersund | Montalto | Rivasol | Trebovice | Novo Campo",
    "region": "northern Europe | South America | the Baltic region | east Asia | the Gulf | southern Africa | Canada",
    "hearers": "analysts | reporters | investors | shareholders",
    "analyst": "analysts | the market | brokers | investors",
    # Time
    "period": """first quarter | second quarter | third quarter | fourth quarter | first half | second half
        | first nine months | full year""",
    "lately": """in the {period} | in the {period} | in the three months to {month} | last year | this year
        | in {month}""",
    "day": "Monday | Tuesday | Wednesday | Thursday | Friday",
    "month": "January | March | April | June | July | September | October | December",
    "soon": "on {day} | later this month | in {month} | next week | before the market opens on {day}",
    # Measures: of {gain} more is better, of {loss} less is better; those in money can come to a sum
    "gain": "{gain_money} | {gain_money} | {gain_money} | {gain_other} | {gain_other}",
    "gain_money": """profit | net profit | operating profit | pretax profit | sales | revenue | order intake
        | bookings | cash flow | export revenue | income from {product} | sales of {product} | ~gross profit""",
    "gain_other": """earnings per share | operating margins | market share | like-for-like sales
        | demand for {product} | orders from {buyers} | customer numbers | output | demand from {buyers}
        | ~customer orders""",
    "loss": "{loss_money} | {loss_money} | {loss_money} | {loss_other}",
    "loss_money": """costs | net debt | losses | operating losses | bad debts | impairment charges | interest costs
        | losses on {product} | legal costs | ~energy costs""",
    "loss_other": """customer complaints | staff turnover | warranty claims | delivery delays | order cancellations
        | unsold stocks | raw material prices | production stoppages | ~late deliveries""",
    "up": """rose | rose | climbed | grew | increased | jumped | went up | picked up | edged up | moved higher
        | surged | advanced | ~edged higher""",
    "down": """fell | fell | dropped | declined | decreased | slipped | shrank | went down | edged down
        | moved lower | slid | tumbled | ~edged lower""",
    "better": "{up} | {up} | {up} | improved | strengthened",  # of a gain
    "worse": "{down} | {down} | {down} | worsened | weakened | deteriorated",
    "eased": "{down} | {down} | {down} | eased | improved",  # of a loss
    "mounted": "{up} | {up} | {up} | mounted | worsened",
    "flat": """remained unchanged | changed little | held steady | stood still | stayed flat | stayed level
        | barely moved""",
    "rise": "rise | increase | jump | climb | ~gain",
    "fall": "fall | decline | drop | decrease | ~slide",
    "sharp": "sharp | slight | surprising | steep | marked | modest | further | ~pronounced",
    "by": "{percent} | by {percent} | {percent} | by almost {percent}",
    "higher": "higher | rising | increased | growing",
    "lower": "lower | falling | reduced | shrinking",
    # What moved, as a clause: the same verbs, opposite meaning
    "pos_move": """{gain} {better} {by} | {gain} {better} {by} {lately} | {gain} {better} {lately}
        | {loss} {eased} {by} | {gain_money} {up} {up_pair} | {loss_money} {down} {down_pair}
        | {loss} halved {lately} | {gain} more than doubled | losses narrowed {down_pair}
        | the order book reached a record {money} | {gain} came in above forecasts
        | {gain} fell less than {analyst} had feared | the loss was smaller than {analyst} had expected
        | {gain_money} came to {money}, up from {less} a year earlier | {gain} recovered after two weak years
        | {gain} beat forecasts""",
    "neg_move": """{gain} {worse} {by} | {gain} {worse} {by} {lately} | {gain} {worse} {lately}
        | {loss} {mounted} {by} | {gain_money} {down} {down_pair} | {loss_money} {up} {up_pair}
        | {gain} almost halved | losses widened {up_pair} | the order book shrank to {less}
        | {gain} came in below forecasts | {gain} rose less than {analyst} had hoped
        | the loss was bigger than {analyst} had expected
        | {gain_money} came to {less}, down from {money} a year earlier | {gain} weakened after two good years
        | {gain} missed forecasts""",
    "neu_move": """{gain} {flat} {lately} | {loss} {flat} {lately} | {gain_money} {flat} at {money}
        | {gain} matched forecasts
        | higher sales of {product} were offset by {higher} costs, leaving profit unchanged
        | {gain_money} came to {money} {lately} | {loss_money} came to {less} {lately}
        | {gain_money} matched the average forecast of {money} | a gain on property made up for losses on {product}
        | {gain} came in as {analyst} had expected""",
    # What the company did, as a verb phrase in the past
    "pos_did": """raised its full-year outlook | lifted its profit guidance for {year}
        | raised its dividend by {percent} | won an order worth {money} from {other}
        | won a contract to supply {product} to {buyers} | returned to profit {lately}
        | swung to a profit of {money} from a loss of {less} | beat forecasts for {gain}
        | posted a {sharp} {rise} in {gain} | reported a {sharp} {fall} in {loss} | cut its net debt by {percent}
        | received approval to sell {product} in {region} | reopened its {site} in {place} ahead of schedule
        | said it no longer expected a loss {lately} | did not need the loan of {money} it had arranged
        | avoided a strike at its {site} in {place} | repaid {money} of loans early
        | gained market share in {product} | kept its dividend, which {analyst} had expected it to cut
        | won its appeal over a fine of {money} | resumed its dividend after two years
        | was awarded an order for {product} | upgraded its forecast for {year}
        | ~raised its sales forecast for {year} | grew faster than its rivals in {region}""",
    "neg_did": """cut its full-year outlook | lowered its profit guidance for {year} | cut its dividend by {percent}
        | lost an order worth {money} from {other} | lost a contract to supply {product} to {buyers}
        | fell into the red {lately} | swung to a loss of {money} from a profit of {less}
        | missed forecasts for {gain} | posted a {sharp} {fall} in {gain} | reported a {sharp} {rise} in {loss}
        | issued its second profit warning this year | was refused approval to sell {product} in {region}
        | closed its {site} in {place} with the loss of {count} jobs | said it no longer expected a profit {lately}
        | needed a loan of {money} to pay its suppliers | halted work at its {site} in {place} after a fire
        | recalled {product} because of a fault | lost market share in {product}
        | scrapped the rise in the dividend that {analyst} had expected | was fined {money} for late reporting
        | failed to win an order from {other} | ~scrapped its dividend for {year} | ~lost a big order for {product}
        | downgraded its forecast for {year} | ~cut its sales forecast for {year}
        | grew more slowly than its rivals in {region}""",
    "neu_did": """will publish its results for the {period} {soon} | appointed {person} as {role}
        | named {person} {role} | moved its head office from {place} to {place}
        | agreed to buy the {product} business of {other} for {money} | held its annual meeting in {place}
        | left its outlook unchanged | confirmed its guidance for {year}
        | kept its dividend at the level of last year | completed the purchase of {other}
        | renamed its {product} division | transferred its shares to another list of the exchange
        | asked shareholders to approve a new board member | signed a lease for a {site} in {place}
        | began a review of its {product} business | will present a plan in {month}
        | sold its {site} in {place} to {other} for {money}, the book value
        | extended its contract with {other} on equal terms | neither raised nor cut its outlook
        | said nothing about its outlook | refinanced a loan of {money} on the same terms
        | declined to say whether {gain} {up} or {down} {lately} | denied that it was in talks with {other}
        | ~will hold a call with {analyst} {soon} | transferred its shares to a new list
        | reappointed its auditor for {year} | reiterated its forecast for {year}""",
    "role": "chief executive | finance director | chair of the board | head of {region} | chief operating officer",
    # The same as a noun, for what is set aside: despite X, after X
    "pos_noun": """{higher} {gain} | {higher} {gain} | {lower} {loss} | a {sharp} {rise} in {gain}
        | a {sharp} {fall} in {loss} | record orders | a new contract with {other} | strong demand for {product}
        | the return to profit | brisk trade in {product}""",
    "neg_noun": """{lower} {gain} | {lower} {gain} | {higher} {loss} | a {sharp} {fall} in {gain}
        | a {sharp} {rise} in {loss} | a weak market | the loss of a contract with {other}
        | poor demand for {product} | a strike at its {site} | slow trade in {product}""",
    # Who says so, and when
    "said": """the company said | the company said on {day} | {co} said | its report showed | {person}, {role}, said
        | the {trade} said in {place} | a spokeswoman said | ~a statement showed""",
    "subject": "{co:company} | {co:company} | {co:company} | {co:company}, the {trade}, | the {trade} {co:company}",
    "when": " |  |  | on {day} | {lately} | ~after the close on {day}",
    # Whole sentences
    "positive": """{pos_plain} | {pos_plain} | {pos_plain} | {pos_plain} | {pos_plain} | {pos_mixed} | {pos_short}
        | {pos_long}""",
    "negative": """{neg_plain} | {neg_plain} | {neg_plain} | {neg_plain} | {neg_plain} | {neg_mixed} | {neg_short}
        | {neg_long}""",
    "neutral": """{neu_plain} | {neu_plain} | {neu_plain} | {neu_plain} | {neu_fact} | {neu_fact} | {neu_open}
        | {neu_long}""",
    "pos_plain": """{subject} said {pos_move} | {pos_move} at {co:company} | {subject} {pos_did}
        | {subject} {pos_did} {when} | {co:company} said on {day} that {pos_move} | at {co:company}, {pos_move}
        | {co:company}: {pos_move} | {co:company} {pos_did}, {said}
        | {person}, {role} of {co:company}, said {pos_move}""",
    "neg_plain": """{subject} said {neg_move} | {neg_move} at {co:company} | {subject} {neg_did}
        | {subject} {neg_did} {when} | {co:company} said on {day} that {neg_move} | at {co:company}, {neg_move}
        | {co:company}: {neg_move} | {co:company} {neg_did}, {said}
        | {person}, {role} of {co:company}, said {neg_move}""",
    "neu_plain": """{subject} said {neu_move} | {neu_move} at {co:company} | {subject} {neu_did}
        | {subject} {neu_did} | {co:company} said on {day} that {neu_move} | {co:company} {neu_did}, {said}
        | {co:company}: {neu_move} | {person}, {role} of {co:company}, said {neu_move}""",
    "pos_mixed": """despite {neg_noun}, {co:company} {pos_did} | although {neg_move}, {co:company} {pos_did}
        | {co:company} {pos_did} even though {neg_move} | {neg_move}, but {co:company} {pos_did}
        | {co:company} said {neg_move}, but it {pos_did} | {co:company} {pos_did}, shrugging off {neg_noun}
        | while {neg_move}, {pos_move} and {co:company} {pos_did}
        | ~{neg_noun} did not stop {co:company}, which {pos_did}""",
    "neg_mixed": """despite {pos_noun}, {co:company} {neg_did} | although {pos_move}, {co:company} {neg_did}
        | {co:company} {neg_did} even though {pos_move} | {pos_move}, but {co:company} {neg_did}
        | {co:company} said {pos_move}, but it {neg_did} | {co:company} {neg_did}, in spite of {pos_noun}
        | while {pos_move}, {neg_move} and {co:company} {neg_did}
        | ~{pos_noun} did not help {co:company}, which {neg_did}""",
    "pos_short": """{stem} shares rise on {pos_noun} | {stem} lifts its outlook | {stem} beats forecasts again
        | {stem} sees {loss} falling | {pos_noun} helped {stem} | {stem} raised to buy at {other}
        | {stem} back in profit | shares in {company} gain {percent} after {pos_noun}
        | ~shares in {company} climb on {pos_noun}""",
    "neg_short": """{stem} shares fall on {neg_noun} | {stem} cuts its outlook | {stem} misses forecasts again
        | {stem} sees {loss} rising | {neg_noun} hurt {stem} | {stem} cut to sell at {other}
        | {stem} back in the red | shares in {company} lose {percent} after {neg_noun}
        | ~shares in {company} drop on {neg_noun}""",
    "pos_long": """{subject} {pos_did}, and {person}, its {role}, told {hearers} that {pos_move}
        | {co:company}, which sells {product} to {buyers}, said {pos_move} and that it {pos_did}
        | in a report that runs to {count} pages, {co:company} said {pos_move}, helped by {pos_noun}""",
    "neg_long": """{subject} {neg_did}, and {person}, its {role}, told {hearers} that {neg_move}
        | {co:company}, which sells {product} to {buyers}, said {neg_move} and that it {neg_did}
        | in a report that runs to {count} pages, {co:company} said {neg_move}, hit by {neg_noun}""",
    "neu_long": """{subject} {neu_did}, and {person}, its {role}, told {hearers} that {neu_move}
        | {co:company}, which sells {product} to {buyers}, {neu_did} and {neu_did}
        | in a report that runs to {count} pages, {co:company} said {neu_move} and {neu_move}""",
    "neu_fact": """{co:company} employs {count} people at its {site} in {place}
        | {co:company} makes {product} for {buyers} | the {site} in {place} belongs to {co:company}
        | {co:company} was founded in {place} in {past} | {person} has been {role} of {co:company} since {recent}
        | the value of the deal was not disclosed
        | the deal between {co:company} and {other} is subject to approval in {month}
        | trading in {stem} starts {soon} | {stem} names new {role} | {stem} to publish results {soon}
        | the offer for {co:company} runs until {month}
        | {co:company} has {count} shareholders and is listed in {place} | {co:company} sells {product} in {region}
        | the register lists {count} owners of {co:company} | ~{stem} opens talks with {other} on {product}""",
    "neu_open": """{analyst} disagree on whether {gain} at {co:company} {up} or {down} {lately}
        | {co:company} will say {soon} whether it {pos_did} | it is not known whether {co:company} {neg_did}
        | {person} of {co:company} would not comment on {pos_noun}
        | {person} of {co:company} would not comment on {neg_noun}
        | {co:company} publishes its results {soon}; a year ago {gain} {up} {by}
        | {co:company} publishes its results {soon}; a year ago {gain} {down} {by}
        | {analyst} await figures on {gain} from {co:company} {soon}""",
}


CURRENCIES = ("euros", "dollars", "crowns", "pounds")


def _money(amount: float) -> str:
    return f"{amount:.1f} million {{currency}}" if amount < 100 else f"{amount:,.0f} million {{currency}}"


def _change(grammar: Grammar, low: float, high: float) -> str:
    before = grammar.between(6, 600)
    return f"to {_money(before * grammar.between(low, high))} from {_money(before)}"


DRAWS: dict[str, Draw] = {
    "money": lambda grammar: _money(grammar.between(60, 800)),
    "less": lambda grammar: _money(grammar.between(3, 50)),
    "up_pair": lambda grammar: _change(grammar, 1.05, 1.8),
    "down_pair": lambda grammar: _change(grammar, 0.4, 0.95),
    "percent": lambda grammar: grammar.pick(
        [f"{grammar.between(2, 40):.0f} percent", f"{grammar.between(1, 15):.1f} percent"]
    ),
    "count": lambda grammar: f"{int(grammar.between(4, 90)) * 10:,}",
    "year": lambda grammar: str(int(grammar.between(2025, 2029))),
    "recent": lambda grammar: str(int(grammar.between(2008, 2024))),
    "past": lambda grammar: str(int(grammar.between(1890, 2008))),
}


def example(grammar: Grammar) -> dict[str, str]:
    """One example, ``{"text", "label"}``."""
    point = grammar.between(0, 1)
    label = LABELS[0] if point < SHARES[0] else LABELS[1] if point < SHARES[0] + SHARES[1] else LABELS[2]
    scope = {**grammar.pick(INDUSTRIES), "currency": grammar.pick(CURRENCIES)}
    text = " ".join(with_articles(grammar.sentence(label, scope)).split())
    if grammar.chance(0.92):
        text = text[0].upper() + text[1:]
    return {"text": text.replace(" ,", ",") + ".", "label": label}


def line(example: dict[str, str]) -> str:
    return json.dumps(example, ensure_ascii=False) + "\n"
