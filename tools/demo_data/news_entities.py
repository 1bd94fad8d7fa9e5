"""Theme of token-classification: people (PER), organisations (ORG), places (LOC) and other names (MISC) in short news.

A list of names does not solve it: ``Ashford`` is a town, a surname and a football club, ``May`` and ``Banks`` are names
and words, and most names of the test were never seen in training. All names are invented.
"""

import re

from .grammar import Draw, Grammar, Rules, with_articles
from .names import COUNTRIES, NAMES

Tagged = list[tuple[str, str]]

RULES: Rules = {
    **NAMES,
    # People
    "last": "{surname} | {surname} | {surname} | {surname} | {surname} | {surname} | {both}",
    "initial": "A. | B. | E. | J. | K. | M. | R. | T.",
    "PERSON": """[PER {given} {last}] | [PER {given} {last}] | [PER {given} {last}] | [PER {initial} {last}]
        | [PER {given} {initial} {last}]""",
    "SURNAME": "[PER {last}]",
    # Places
    "LOC": "[LOC {city}] | [LOC {city}] | [LOC {city}] | [LOC {country}] | {REGION}",
    "CITY": "[LOC {city}] | [LOC {city}] | [LOC {city}] | [LOC {city}] | [LOC {both}]",
    "COUNTRY": "[LOC {country}]",
    "REGION": """[LOC {compass} {country}] | [LOC {both} Valley] | [LOC River {both}] | [LOC Lake {last}]
        | [LOC Mount {last}] | [LOC Gulf of {country}] | [LOC {both} Island] | [LOC {last} Street]
        | ~[LOC Cape {last}]""",
    "compass": "North | South | East | West | Central",
    # Organisations
    "ORG": "{COMPANY} | {COMPANY} | {AGENCY} | {COLLEGE} | {PARTY} | {CLUB}",
    "COMPANY": """[ORG {stem} {line}] | [ORG {stem} {line}] | [ORG {stem} {line}] | [ORG {known}] | [ORG {known}]
        | [ORG {last} & Sons] | [ORG Bank of {country}] | [ORG {people} {line}] | [ORG {acronym}]""",
    # Where only a firm can stand, its name may be one that others have
    "FIRM": "{COMPANY} | {COMPANY} | {COMPANY} | {COMPANY} | [ORG {both}] | [ORG {word_name}]",
    "line": """Bank | Motors | Airlines | Steel | Foods | Energy | Shipping | Insurance | Telecom | Pharma | Group
        | Holdings | Ltd. | Media | Software | Inc. | Railways | Logistics""",
    "acronym": "KLB | NTW | ASV | TGK | RFO | BNM | VDK | OPW",
    "AGENCY": """[ORG Ministry of {matter}] | [ORG {country} Central Bank] | [ORG {people} {matter} Agency]
        | [ORG {both} City Council] | [ORG High Court] | [ORG {matter} Committee] | [ORG National {matter} Board]
        | [ORG {city} Police] | [ORG {people} Coast Guard]""",
    "matter": "Health | Finance | Transport | Education | Trade | Water | Labour | Energy | Fisheries | ~Justice",
    "COLLEGE": """[ORG University of {city}] | [ORG {both} University] | [ORG {last} Institute]
        | [ORG {city} General Hospital] | [ORG {both} College] | [ORG Museum of {city}] | ~[ORG {city} Conservatory]""",
    "PARTY": """[ORG {colour} Party] | [ORG {country} Union] | [ORG {last} Foundation] | [ORG {colour} Alliance]
        | [ORG {people} {colour} Party]""",
    "colour": "Green | Liberal | Farmers' | Labour | National | People's | Progressive | ~Reform",
    "CLUB": """[ORG {both} {team}] | [ORG {both} {team}] | [ORG {city} {team}] | [ORG {city} {team}]
        | [ORG FC {city}] | [ORG {both}] | [ORG {city}]""",
    "team": "United | Rovers | City | Athletic | Wanderers | Town | Rangers | Albion",
    # Other names: nationalities, events, works, products
    "OF": "[MISC {people}]",
    "EVENT": """[MISC {both} Cup] | [MISC {people} Open] | [MISC {both} Marathon] | [MISC {city} Book Fair]
        | [MISC {last} Trophy] | [MISC Harvest Festival] | [MISC {city} Film Festival] | [MISC Winter Games]
        | [MISC {both} Rally]""",
    "PACT": "[MISC Treaty of {city}] | [MISC {city} Accord] | [MISC {last} Protocol] | [MISC {city} Pact]",
    "PRIZE": "[MISC {last} Prize] | [MISC {city} Book Fair] | [MISC {people} Book Award]",
    "BOOK": """[MISC The {adjective} {noun}] | [MISC The {adjective} {noun}] | [MISC {noun} of {city}]
        | [MISC {adjective} {noun}]""",
    "adjective": "Silent | Glass | Northern | Last | Broken | Silver | Crooked | Distant | Borrowed | ~Hollow",
    "noun": "River | Garden | Winter | Bridge | House | Letter | Orchard | Harbour | ~Lighthouse",
    "MODEL": """[MISC {stem} {model}] | [MISC {stem} {model}] | [MISC {acronym} {model}]
        | [MISC {coined}{coined_end} {model}]""",
    "model": "200 | X5 | Mark II | 7 | Pro | GT | Z9 | 640 | Mark IV | ~S3",
    # Words
    "day": "Monday | Tuesday | Wednesday | Thursday | Friday | Saturday | Sunday",
    "month": "January | February | March | April | May | June | July | August | October | November",
    "ago": """on {day} | on {day} | last week | in {month} | late on {day} | early on {day} | this year
        | after {few} days""",
    "soon": "on {day} | next week | in {month} | next year | in {few} days | by {month}",
    "role": """chief executive | finance director | spokesman | spokeswoman | chair | president | director
        | head of research | legal adviser | deputy head | ~treasurer""",
    "office": """prime minister | foreign minister | finance minister | mayor | governor | senator | ambassador
        | opposition leader | police chief | health secretary""",
    "Title": """Prime Minister | President | Mayor | Governor | Senator | Judge | Ambassador | Dr. | Mr. | Ms.
        | Captain | Professor""",
    "trade": """economist | nurse | engineer | farmer | teacher | driver | painter | pilot | lawyer | historian
        | cook | builder | goalkeeper | striker | novelist | beekeeper | translator""",
    "said": "said | said | said | told reporters | told {COMPANY} | announced | confirmed | warned | added",
    "fact": """talks would resume {soon} | the bridge would open {soon} | {percent} of the votes had been counted
        | the plan would cost {money} | no one had been hurt | prices would rise by {percent} | the ferry was late
        | rain was expected in {LOC} | the school would close {soon} | {COMPANY} had made no offer
        | there was no hurry | {PERSON} would stand again | the road to {CITY} was closed
        | {COUNTRY} would sign the {PACT} | {SURNAME} had been told | {AGENCY} had not been asked
        | the {PACT} was dead | the tunnel was safe | the well in {CITY} had run dry""",
    "aside": """, {PERSON} said {ago} | , according to {AGENCY} | , a move that {PERSON} of {COLLEGE} called late
        | , while {COMPANY} said {fact} | , and {SURNAME} said {fact} | , {few} months after {PERSON} left {LOC}""",
    "goods": """grain | cars | timber | medicines | machine parts | coffee | steel | fish | books | cloth | bicycles
        | salt""",
    "disaster": "flood | fire | storm | landslide | power cut | gas leak | drought | heatwave | earthquake",
    "building": "factory | station | library | school | market | harbour | theatre | warehouse | town hall",
    # Sentences
    "news": "{story} | {story} | {story} | {story} | {story} | {story}{aside} | {short}",
    "story": """{politics} | {politics} | {business} | {business} | {business} | {sport} | {sport} | {sport}
        | {events} | {events} | {culture} | {people_news} | {people_news} | {same}""",
    "politics": """{Title} {SURNAME} {said} {ago} that {fact} | {OF} {office} {PERSON} {said} {fact}
        | {PERSON}, the {office} of {LOC}, {said} that {fact}
        | {COUNTRY} and {COUNTRY} signed the {PACT} in {CITY} {ago}
        | the {PARTY} won {few} of {count} seats in {LOC}, ahead of the {PARTY}
        | {PARTY} leader {PERSON} {said} {fact} | {Title} {PERSON} met {OF} {office} {PERSON} in {CITY} {ago}
        | the {AGENCY} in {CITY} {said} {ago} that {fact} | voters in {LOC} go to the polls {soon}
        | {COUNTRY} has recalled its ambassador from {CITY} | {OF} troops left {LOC} {ago}, the {AGENCY} {said}
        | {few} {OF} lawmakers voted against the budget {ago} | {SURNAME}, {age}, was elected in {CITY} {ago}
        | critics of {SURNAME} {said} the {PARTY} had lost {LOC} | {PERSON} of the {PARTY} resigned {ago}
        | talks between {COUNTRY} and {COUNTRY} broke down in {CITY}""",
    "business": """{FIRM} reported a profit of {money} {ago} | {COMPANY} will open a {building} in {CITY} {soon}
        | {FIRM} agreed to buy {FIRM} for {money} | {FIRM} shares fell {percent} in {CITY} {ago}
        | {PERSON}, {role} of {FIRM}, {said} {fact} | {FIRM} named {PERSON} as {role} {ago}
        | {OF} carmaker {FIRM} will build the {MODEL} in {LOC} | the {role} of {FIRM}, {PERSON}, {said} {fact}
        | {FIRM} cut {count} jobs at its {building} in {CITY}
        | {OF} exports of {goods} to {COUNTRY} fell {percent} {ago}
        | {SURNAME} left {COMPANY} {ago} to join {COMPANY} in {CITY} | {FIRM} {role} {PERSON} {said} {fact}
        | the {OF} market closed {percent} higher, led by {FIRM} and {FIRM}
        | {COMPANY} of {COUNTRY} sells {goods} in {LOC} and {LOC}
        | a {building} owned by {FIRM} was sold for {money} | the {MODEL} costs {money}, {COMPANY} {said}
        | {COMPANY}, based in {CITY}, {said} {fact} | shares of {FIRM} fell in {CITY} {ago}
        | {FIRM} will close its {building} in {LOC}""",
    "sport": """{CLUB} beat {CLUB} {score} in {CITY} {ago} | {CLUB} {digit} {CLUB} {digit}
        | {CLUB} drew {d:digit}-{d} with {CLUB} {ago} | {PERSON} scored twice as {CLUB} beat {CLUB} {score}
        | {CLUB} coach {PERSON} {said} {fact} | {PERSON} ( {COUNTRY} ) beat {PERSON} ( {COUNTRY} ) {sets}
        | {PERSON} of {COUNTRY} won the {EVENT} {ago} | {OF} {trade} {PERSON} signed for {CLUB} from {CLUB}
        | {SURNAME} missed a penalty against {CLUB} | {CLUB} lead the table with {age} points, {few} ahead of {CLUB}
        | the {EVENT} starts in {CITY} {soon} | {CLUB} host {CLUB} in the {EVENT} {soon}
        | {SURNAME} headed in the winner for {CLUB} after a cross from {SURNAME}
        | {CLUB} striker {PERSON} is out until {month} | {digit}. {PERSON} ( {COUNTRY} ) {sets}
        | {CLUB} were relegated {ago} after losing {score} to {CLUB}
        | fans of {CLUB} sang as {SURNAME} left the field | {SURNAME} scored for {CLUB} against {CLUB}
        | ~{CLUB} signed {PERSON} {ago}""",
    "events": """a {disaster} in {LOC} left {count} homes without power {ago}
        | {CITY}, {day}: a {disaster} closed the {building}
        | {count} people were hurt when a {disaster} hit {LOC} {ago}, {AGENCY} {said}
        | the {disaster} reached {CITY} {ago} | police in {CITY} arrested {PERSON}, a {trade}, {ago}
        | a train from {CITY} to {CITY} was late by {few} hours
        | {CITY} - {PERSON}, a {OF} {trade}, was found safe in {LOC} {ago}
        | a court in {CITY} fined {COMPANY} {money} | heavy rain fell on {LOC} and {LOC} {ago}
        | a ship carrying {goods} ran aground off {LOC} {ago}
        | {PERSON} was on the ferry from {CITY} when the {disaster} began
        | the {building} in {CITY} will stay shut, {SURNAME} {said} | roads around {LOC} were flooded
        | rescue teams from {COUNTRY} flew to {LOC} {ago}""",
    "culture": """{BOOK}, a novel by {PERSON}, won the {PRIZE} {ago} | {PERSON} will sing at the {EVENT} in {CITY}
        | the {COLLEGE} will show paintings by {PERSON} until {month} | {OF} film {BOOK} opened the {EVENT} {ago}
        | {BOOK} was filmed in {LOC} by {OF} director {PERSON} | {SURNAME} wrote {BOOK} in {CITY} in {past}
        | a {OF} dance group opens the {EVENT} {soon} | {PERSON} plays a {trade} in the {OF} film {BOOK}""",
    "people_news": """{PERSON}, a {trade} from {CITY}, {said} {fact}
        | {PERSON} was born in {CITY}, {COUNTRY}, in {past} | {PERSON}, {age}, studied law at {COLLEGE}
        | {SURNAME} and {SURNAME} met in {CITY} {ago} | {SURNAME} lives in {LOC}
        | scientists at {COLLEGE} led by {PERSON} found water under {LOC} | {SURNAME} {said} {fact}
        | {PERSON} of {COLLEGE} {said} {fact} | " {quote}, " said {PERSON}, a {trade} in {CITY}
        | {PERSON} works for {ORG} | friends of {PERSON} {said} {fact} | ~{SURNAME} moved from {LOC} to {LOC} {ago}""",
    # The same name in two roles
    "same": """[PER {given} {n:both}] moved to [LOC {n}] {ago} | [ORG {n:both}] will play in [LOC {n}] {soon}
        | [PER {n:both}] {said} that [ORG {both}] would leave [LOC {both}]
        | [PER {n:both}] left [ORG {n} {line}] {ago}
        | [ORG {both} {team}] signed [PER {both}] from [ORG {both}] {ago}
        | [LOC {both}] is {count} miles from [LOC {both}] | [ORG {both}] raised its dividend {ago}
        | snow fell in [LOC {both}] while [PER {both}] was in [LOC {n:both}]
        | [PER {both}] scored for [ORG {both}] in [LOC {both}] {ago}
        | [PER {both}] flew from [LOC {both}] to [LOC {both}]""",
    # Names that are words, and sentences without a name
    "short": "{word} | {word} | {plain} | {plain} | {plain}",
    "word": """[PER May {last}] {said} {fact} | May was the wettest month in [LOC {both}] | [PER May] {said} {fact}
        | Roses from {COUNTRY} cost {percent} more {ago} | [PER Grace] and [PER Rose] run a shop in {CITY}
        | Hope is fading for {few} miners in {LOC} | [PER Hope] {said} {fact} | Banks in {LOC} closed {ago}
        | [PER Banks] {said} {fact} | Fields near {CITY} are under water | [PER Fields] scored for {CLUB}
        | Mills in {LOC} closed {ago} | [PER Mills] plays for {CLUB} | Rivers in {LOC} burst their banks {ago}
        | [PER Rivers] lives in {CITY} | Harvest is late in {LOC} | [ORG Harvest] opened an office in {CITY}
        | Summit talks in {CITY} ended {ago} | [ORG Summit] sells {goods} in {LOC} | [ORG Beacon] hired {PERSON}""",
    "plain": """prices of {goods} rose {percent} {ago} | the weather will stay dry until {day}
        | there were {count} entries this year | the {building} reopened {ago} after a {disaster}
        | nearly {count} people attended the meeting {ago} | exports of {goods} fell for the third month
        | results are due {soon} | tickets cost {money} | {count} workers went on strike over pay {ago}
        | the {trade} was not named | details were not given {ago} | the {trade} {said} {fact}
        | a {trade} and a {trade} were hurt in the {disaster} {ago}""",
    "quote": """We had no time to pack | It was only a matter of time | I have never seen such rain
        | We will be back | Nobody asked us | The road is gone | Ask me in the spring""",
}

DRAWS: dict[str, Draw] = {
    "country": lambda grammar: grammar.pick(COUNTRIES)["country"],
    "money": lambda grammar: f"{grammar.between(1, 900):.0f} million {grammar.pick(['crowns', 'dollars', 'pesos'])}",
    "percent": lambda grammar: f"{grammar.between(1, 30):.1f} percent",
    "few": lambda grammar: str(int(grammar.between(3, 20))),
    "count": lambda grammar: str(int(grammar.between(20, 400))),
    "digit": lambda grammar: str(int(grammar.between(1, 6))),
    "score": lambda grammar: grammar.pick(["1-0", "2-0", "2-1", "3-0", "3-1", "3-2", "4-1"]),
    "sets": lambda grammar: f"6-{int(grammar.between(0, 5))} 6-{int(grammar.between(0, 5))}",
    "age": lambda grammar: str(int(grammar.between(19, 84))),
    "past": lambda grammar: str(int(grammar.between(1950, 2024))),
}

ENTITY = re.compile(r"\[([A-Z]+) ([^\]]+)\]")
TOKEN = re.compile(r"'s|(?:Dr|Mr|Ms|Inc|Ltd|Co|[A-Z])\.|\d+(?:[.,-]\d+)*|\w+(?:-\w+)*(?:'(?!s))?|\S")


def example(grammar: Grammar) -> Tagged:
    """One sentence as (token, tag) pairs, tags in IOB2."""
    text = with_articles(grammar.sentence("news", grammar.pick(COUNTRIES))) + " ."
    tagged: Tagged = []
    end = 0
    for entity in ENTITY.finditer(text):
        tagged += [(token, "O") for token in TOKEN.findall(text[end : entity.start()])]
        tagged += [(token, f"{'I' if i else 'B'}-{entity[1]}") for i, token in enumerate(TOKEN.findall(entity[2]))]
        end = entity.end()
    tagged += [(token, "O") for token in TOKEN.findall(text[end:])]
    if grammar.chance(0.93):
        first, tag = tagged[0]
        tagged[0] = (first[0].upper() + first[1:], tag)
    return tagged


def line(example: Tagged) -> str:
    return "".join(f"{token} {tag}\n" for token, tag in example) + "\n"
