"""Theme of translation: what people say on a journey and every day, from English to German.

A phrase is a pair ``English = German`` with slots in angle brackets. A kind of word is drawn once for a phrase and
stands on both sides, so the two always say the same. The German side writes the masculine form, ``<den sight>``, and
the word in front bends to the noun that was drawn: den Dom, die Brücke, das Schloss. "You" is always the polite "Sie".
"""

import json
import re

from .grammar import Draw, Grammar, Rules, with_articles

# How a word in front bends: to a masculine, feminine or neuter noun
GENDERS = ("der", "die", "das")
BY_GENDER: dict[str, tuple[str, str, str]] = {
    "der": ("der", "die", "das"),
    "den": ("den", "die", "das"),
    "dem": ("dem", "der", "dem"),
    "ein": ("ein", "eine", "ein"),
    "einen": ("einen", "eine", "ein"),
    "mein": ("mein", "meine", "mein"),
    "meinen": ("meinen", "meine", "mein"),
    "meinem": ("meinem", "meiner", "meinem"),
    "Ihr": ("Ihr", "Ihre", "Ihr"),
    "Ihren": ("Ihren", "Ihre", "Ihr"),
    "Ihrem": ("Ihrem", "Ihrer", "Ihrem"),
    "keinen": ("keinen", "keine", "kein"),
    "dieser": ("dieser", "diese", "dieses"),
    "diesen": ("diesen", "diese", "dieses"),
    "zum": ("zum", "zur", "zum"),
    "im": ("im", "in der", "im"),
    "er": ("er", "sie", "es"),
    "ihn": ("ihn", "sie", "es"),
}
# The ending of an adjective after them
ENDINGS: dict[str, tuple[str, str, str]] = {
    "der": ("e", "e", "e"),
    "den": ("en", "e", "e"),
    "ein": ("er", "e", "es"),
    "einen": ("en", "e", "es"),
    "Ihr": ("er", "e", "es"),
    "keinen": ("en", "e", "es"),
    "dieser": ("e", "e", "e"),
}
PRONOUNS = ("er", "ihn")  # they stand for the noun
# How a verb bends: to "ich", to one other, and to several, among them "Sie"
BY_PERSON: dict[str, tuple[str, str, str]] = {
    "kann": ("kann", "kann", "können"),
    "muss": ("muss", "muss", "müssen"),
    "sollte": ("sollte", "sollte", "sollten"),
    "darf": ("darf", "darf", "dürfen"),
    "möchte": ("möchte", "möchte", "möchten"),
    "habe": ("habe", "hat", "haben"),
    "bin": ("bin", "ist", "sind"),
}
SEVERAL = ("wir", "Sie", "meine Eltern", "die Kinder")

RULES: Rules = {
    # Things
    "sight": """museum = das Museum | castle = das Schloss | cathedral = der Dom | bridge = die Brücke
        | market = der Markt | church = die Kirche | zoo = der Zoo | harbour = der Hafen | theatre = das Theater
        | tower = der Turm | palace = der Palast | gallery = die Galerie""",
    "show": "museum = das Museum | castle = das Schloss | zoo = der Zoo | theatre = das Theater | tower = der Turm",
    "place": """station = der Bahnhof | hotel = das Hotel | bank = die Bank | pharmacy = die Apotheke
        | airport = der Flughafen | supermarket = der Supermarkt | restaurant = das Restaurant
        | hospital = das Krankenhaus | bakery = die Bäckerei | library = die Bibliothek | cinema = das Kino
        | post office = die Post""",
    "stop": """station = der Bahnhof | airport = der Flughafen | hospital = das Krankenhaus | school = die Schule
        | harbour = der Hafen | university = die Universität | stadium = das Stadion | library = die Bibliothek""",
    "vehicle": """train = der Zug | bus = der Bus | tram = die Straßenbahn | taxi = das Taxi
        | underground = die U-Bahn""",
    "food": """soup = die Suppe | salad = der Salat | cake = der Kuchen | fish = der Fisch | bread = das Brot
        | cheese = der Käse | pizza = die Pizza | meat = das Fleisch
        | rice = der Reis | sausage = die Wurst""",
    "drink": """coffee = der Kaffee | tea = der Tee | juice = der Saft | beer = das Bier | lemonade = die Limonade
        | cocoa = der Kakao""",
    "thing": """suitcase = der Koffer | bag = die Tasche | key = der Schlüssel | passport = der Pass
        | umbrella = der Regenschirm | book = das Buch | phone = das Handy | camera = die Kamera
        | wallet = die Brieftasche | bicycle = das Fahrrad""",
    "garment": """jacket = die Jacke | shirt = das Hemd | coat = der Mantel | hat = der Hut | dress = das Kleid
        | skirt = der Rock | scarf = der Schal | blouse = die Bluse""",
    "room": """kitchen = die Küche | bathroom = das Bad | car = das Auto | garden = der Garten | office = das Büro
        | cellar = der Keller""",
    "rental": "car = das Auto | boat = das Boot | flat = die Wohnung | tent = das Zelt | house = das Haus",
    # People: those who do something, and those to whom it is done
    "person": """brother = der Bruder | sister = die Schwester | father = der Vater | mother = die Mutter
        | son = der Sohn | daughter = die Tochter""",
    "relative": """aunt = die Tante | uncle = der Onkel | grandmother = die Großmutter | teacher = der Lehrer
        | grandfather = der Großvater | doctor = der Arzt""",
    "who": """I = ich | he = er | she = sie | my <person> = <mein person> | we = wir | you = Sie
        | my parents = meine Eltern | the children = die Kinder""",
    # What they are like
    "colour": """red = rot | blue = blau | green = grün | black = schwarz | white = weiß | grey = grau | brown = braun
        | yellow = gelb""",
    "flaw": "big = groß | small = klein | expensive = teuer | long = lang | warm = warm",
    "state": "broken = kaputt | new = neu | old = alt | heavy = schwer | dirty = schmutzig",
    "taste": "cold = kalt | hot = heiß | salty = salzig | fatty = fett",
    "heat": "cold = kalt | hot = heiß",
    "hours": "open = geöffnet | closed = geschlossen",
    "ease": "easy = einfach | important = wichtig | nice = schön | possible = möglich",
    # When, where, how many
    "time": """today = heute | tomorrow = morgen | on Monday = am Montag | on Tuesday = am Dienstag
        | on Wednesday = am Mittwoch | on Friday = am Freitag | on Sunday = am Sonntag
        | in the evening = am Abend | next week = nächste Woche
        | at the weekend = am Wochenende""",
    "past": "yesterday = gestern | last week = letzte Woche | on Monday = am Montag | on Sunday = am Sonntag",
    "hour": "two = zwei | three = drei | five = fünf | six = sechs | nine = neun | ten = zehn",
    "spot": """next to the <mark> = neben <dem mark> | behind the <mark> = hinter <dem mark>
        | in front of the <mark> = vor <dem mark> | opposite the <mark> = gegenüber <dem mark>""",
    "mark": "fountain = der Brunnen | park = der Park | town hall = das Rathaus | school = die Schule",
    "stay": "days = Tage | nights = Nächte | weeks = Wochen",
    # What one does: the star is where "zu" and "nicht" go
    "plan": """visit the <sight> = <den sight> * besuchen | see the <sight> = <den sight> * sehen
        | take the <vehicle> = <den vehicle> * nehmen | try the <food> = <den food> * probieren
        | order the <food> = <den food> * bestellen | buy the <garment> = <den garment> * kaufen
        | wash the <garment> = <den garment> * waschen | visit my <relative> = <meinen relative> * besuchen
        | sell the <colour> <garment> = <den colour garment> * verkaufen
        | ~sell the <garment> = <den garment> * verkaufen""",
    "errand": """buy a <colour> <garment> = <einen colour garment> * kaufen
        | order a <drink> = <einen drink> * bestellen | rent a <rental> = <einen rental> * mieten
        | ~buy a <garment> = <einen garment> * kaufen""",
    "walk": """go to the <place> = <zum place> * gehen | travel by <vehicle> = mit <dem vehicle> * fahren
        | wait <spot> = <spot> * warten | speak to my <relative> = mit <meinem relative> * sprechen
        | help my <relative> = <meinem relative> * helfen | drink a <drink> = <einen drink> * trinken""",
    "did": """bought a <colour> <garment> = <einen colour garment> gekauft | visited the <sight> = <den sight> besucht
        | saw the <sight> = <den sight> gesehen | ordered the <food> = <den food> bestellt
        | missed the <vehicle> = <den vehicle> verpasst | found the <thing> = <den thing> gefunden
        | met my <relative> = <meinen relative> getroffen | helped my <relative> = <meinem relative> geholfen
        | rented a <rental> = <einen rental> gemietet | drank a <drink> = <einen drink> getrunken
        | ~found my <thing> = <meinen thing> gefunden""",
    "went": """went to the <place> = <zum place> gegangen | travelled by <vehicle> = mit <dem vehicle> gefahren""",
    "deed": "<plan> = <plan> | <errand> = <errand> | <walk> = <walk>",
    "modal": "can = kann | must = muss | should = sollte | may = darf | would like to = möchte",
    "ask": "can = kann | must = muss | should = sollte",
    "if": """if it rains = wenn es regnet | if it is cold = wenn es kalt ist
        | if the sun shines = wenn die Sonne scheint | if we have time = wenn wir Zeit haben""",
    "because": """because it is raining = weil es regnet | because it is late = weil es spät ist
        | because the shop is closed = weil das Geschäft geschlossen ist
        | because we have time = weil wir Zeit haben""",
    # Phrases
    "phrase": """{doing} | {doing} | {doing} | {doing} | {done} | {done} | {town} | {town} | {travel} | {travel}
        | {shop} | {shop} | {table} | {belongings} | {belongings}""",
    "doing": """<who> <modal> <deed>. = <who> <modal who> <deed>.
        | <who> <modal> <deed> <time>. = <who> <modal who> <time> <deed>.
        | <time> <who> <modal> <deed>. = <time> <modal who> <who> <deed>.
        | <who> cannot <plan>. = <who> <kann who> <nicht plan>.
        | <who> cannot <plan> <time>. = <who> <kann who> <time> <nicht plan>.
        | <ask> <who> <deed>? = <ask who> <who> <deed>?
        | <ask> <who> <deed> <time>? = <ask who> <who> <time> <deed>?
        | why must <who> <deed>? = warum <muss who> <who> <deed>?
        | when can <who> <deed>? = wann <kann who> <who> <deed>?
        | where can <who> <errand>? = wo <kann who> <who> <errand>?
        | I think that <who> should <deed>. = ich glaube, dass <who> <deed> <sollte who>.
        | <if>, <who> <modal> <deed>. = <if>, <modal who> <who> <deed>.
        | <who> cannot <plan> <because>. = <who> <kann who> <nicht plan>, <because>.
        | it is <ease> to <deed>. = es ist <ease>, <zu deed>.
        | please do not forget to <deed>. = bitte vergessen Sie nicht, <zu deed>.
        | we hope to <deed> <time>. = wir hoffen, <time> <zu deed>.
        | I have no time to <deed>. = ich habe keine Zeit, <zu deed>.
        | ~I think that <who> can <deed> <time>. = ich glaube, dass <who> <time> <deed> <kann who>.
        | ~when must <who> <deed>? = wann <muss who> <who> <deed>?
        | ~it is <ease> to <deed> <time>. = es ist <ease>, <time> <zu deed>.""",
    "done": """<who> <did> <past>. = <who> <habe who> <past> <did>.
        | <who> <did>. = <who> <habe who> <did>.
        | <past> <who> <did>. = <past> <habe who> <who> <did>.
        | <who> never <did>. = <who> <habe who> nie <did>.
        | I know that <who> <did>. = ich weiß, dass <who> <did> <habe who>.
        | I have heard that <who> <did>. = ich habe gehört, dass <who> <did> <habe who>.
        | <who> <went> <past>. = <who> <bin who> <past> <went>.
        | <past> <who> <went>. = <past> <bin who> <who> <went>.
        | I know that <who> <went>. = ich weiß, dass <who> <went> <bin who>.
        | ~I have heard that <who> <went>. = ich habe gehört, dass <who> <went> <bin who>.
        | ~I know that <who> <did> <past>. = ich weiß, dass <who> <past> <did> <habe who>.""",
    "town": """where is the <place>, please? = wo ist bitte <der place>?
        | the <sight> is <spot>. = <der sight> ist <spot>.
        | how do I get to the <place>? = wie komme ich <zum place>?
        | is there a <place> <spot>? = gibt es <spot> <einen place>?
        | the <sight> is <hours> <time>. = <der sight> ist <time> <hours>.
        | is the <place> <hours> <time>? = ist <der place> <time> <hours>?
        | do you know whether the <place> is <hours> <time>? = wissen Sie, ob <der place> <time> <hours> ist?
        | I do not know where the <place> is. = ich weiß nicht, wo <der place> ist.
        | the <sight> is older than the <place>. = <der sight> ist älter als <der place>.
        | we met in front of the <sight>. = wir haben uns vor <dem sight> getroffen.
        | ~do you know where the <place> is? = wissen Sie, wo <der place> ist?""",
    "travel": """when does the <vehicle> to the <stop> leave? = wann fährt <der vehicle> <zum stop> ab?
        | the next <vehicle> leaves at <hour>. = <der nächst vehicle> fährt um <hour> Uhr ab.
        | does this <vehicle> go to the <stop>? = fährt <dieser vehicle> <zum stop>?
        | the <vehicle> to the <stop> leaves at <hour>. = <der vehicle> <zum stop> fährt um <hour> Uhr ab.
        | we came by <vehicle> <past>. = wir sind <past> mit <dem vehicle> gekommen.
        | a seat in the <vehicle> to the <stop>, please. = einen Platz <im vehicle> <zum stop>, bitte.
        | the <vehicle> to the <stop> is late. = <der vehicle> <zum stop> hat Verspätung.
        | I hope that the <vehicle> to the <stop> is not late. = ich hoffe, dass <der vehicle> <zum stop> keine
          Verspätung hat.
        | <hour> tickets for the <show>, please. = <hour> Karten für <den show>, bitte.
        | we are staying for <hour> <stay>. = wir bleiben <hour> <stay>.
        | I have booked a room for <hour> <stay>. = ich habe ein Zimmer für <hour> <stay> gebucht.
        | we have rented a <rental> for <hour> <stay>. = wir haben <einen rental> für <hour> <stay> gemietet.
        | ~does the next <vehicle> go to the <stop>? = fährt <der nächst vehicle> <zum stop>?""",
    "shop": """I like the <colour> <garment>, but it is too <flaw>. = <der colour garment> gefällt mir, aber
          <er garment> ist zu <flaw>.
        | this <garment> is too <flaw>. = <dieser garment> ist zu <flaw>.
        | do you have a <colour> <garment>? = haben Sie <einen colour garment>?
        | how much does the <colour> <garment> cost? = wie viel kostet <der colour garment>?
        | my <person> is looking for a <colour> <garment>. = <mein person> sucht <einen colour garment>.
        | is this <garment> too <flaw> for my <person>? = ist <dieser garment> zu <flaw> für <meinen person>?
        | I will take this <garment>, it is not too <flaw>. = ich nehme <diesen garment>,
          <er garment> ist nicht zu <flaw>.
        | we do not need a new <garment>. = wir brauchen <keinen neu garment>.
        | ~this <colour> <garment> is too <flaw>. = <dieser colour garment> ist zu <flaw>.""",
    "table": """I would like the <food> and a <drink>, please. = ich hätte gern <den food> und <einen drink>, bitte.
        | could you bring my <person> a <drink>? = könnten Sie <meinem person> <einen drink> bringen?
        | the <food> is too <taste>. = <der food> ist zu <taste>.
        | the <drink> is too <heat> for my <person>. = <der drink> ist zu <heat> für <meinen person>.
        | how does the <food> taste to your <person>? = wie schmeckt <Ihrem person> <der food>?
        | a <drink> for my <person>, please. = <einen drink> für <meinen person>, bitte.
        | is the <drink> <heat>? = ist <der drink> <heat>?
        | the <food> was <heat>, but the <drink> was not. = <der food> war <heat>, aber <der drink> nicht.
        | ~could you bring me a <drink> and the <food>? = könnten Sie mir <einen drink> und <den food> bringen?""",
    "belongings": """I have lost my <thing> in the <place>. = ich habe <meinen thing> <im place> verloren.
        | where is my <thing>? I cannot find it. = wo ist <mein thing>? Ich kann <ihn thing> nicht finden.
        | is this your <thing>? = ist das <Ihr thing>?
        | your <thing> is in the <room>. = <Ihr thing> ist <im room>.
        | my <thing> is <state>. = <mein thing> ist <state>.
        | the <thing> belongs to my <person>. = <der thing> gehört <meinem person>.
        | have you seen my <thing>? It is <colour>. = haben Sie <meinen thing> gesehen? <er thing> ist <colour>.
        | this is my <thing>, and it is <state>. = das ist <mein thing>, und <er thing> ist <state>.
        | your <colour> <thing> is in the <room>. = <Ihr colour thing> ist <im room>.
        | my <person> forgot the <thing> in the <place>. = <mein person> hat <den thing> <im place> vergessen.
        | ~your <thing> is in the <room>, and it is <state>. = <Ihr thing> ist <im room>, und
          <er thing> ist <state>.""",
}

DRAWS: dict[str, Draw] = {}

SLOT = re.compile(r"<([^<>]+)>")


def example(grammar: Grammar) -> dict[str, str]:
    """One phrase in both languages, ``{"source", "target"}``."""
    english, german = grammar.sentence("phrase").split(" = ")
    phrase = Phrase(grammar)
    return {"source": _sentences(with_articles(phrase.english(english))), "target": _sentences(phrase.german(german))}


class Phrase:
    """The words of one phrase: of each kind one, drawn when it is first met."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self._drawn: dict[str, tuple[str, str]] = {}

    def english(self, text: str) -> str:
        return SLOT.sub(lambda slot: self.english(self._draw(slot[1])[0]), text)

    def german(self, text: str) -> str:
        return SLOT.sub(lambda slot: self._in_form(*slot[1].split()), text).replace(" * ", " ")

    def _draw(self, kind: str) -> tuple[str, str]:
        """The word of a kind, English and German."""
        if kind not in self._drawn:
            english, german = self._grammar.sentence(kind).split(" = ")
            self._drawn[kind] = english, german
        return self._drawn[kind]

    def _in_form(self, *words: str) -> str:
        """The German word of the kind that comes last, with what stands in front in the form that goes with it."""
        *front, kind = words
        word = SLOT.sub(lambda slot: self._in_form(*slot[1].split()), self._draw(kind)[1])
        match front:
            case []:
                return word
            case ["zu" | "nicht" as infix]:
                return word.replace("*", infix)
            case [verb] if kind == "who":
                person = 0 if word == "ich" else 2 if word in SEVERAL else 1
                return BY_PERSON[self._draw(verb)[1] if verb in RULES else verb][person]
            case [article, *adjectives]:
                of, noun = word.split()
                gender = GENDERS.index(of)
                stems = [self._draw(stem)[1] if stem in RULES else stem for stem in adjectives]
                bent = [BY_GENDER[article][gender], *(f"{stem}{ENDINGS[article][gender]}" for stem in stems)]
                return " ".join(bent if article in PRONOUNS else [*bent, noun])
        raise ValueError(words)


def _sentences(text: str) -> str:
    """The text with capitals where sentences start."""
    return re.sub(r"(^|[.?] )(\w)", lambda start: start[1] + start[2].upper(), text)


def line(example: dict[str, str]) -> str:
    return json.dumps(example, ensure_ascii=False) + "\n"
