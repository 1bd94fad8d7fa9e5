"""Invented names. Many are put together from parts, so that a test has names that training never saw, as news does."""

from .grammar import Rules

NAMES: Rules = {
    # One form for towns, families and firms: only the sentence says which it is
    "both": "{front}{back}",
    "front": """Ash | Mar | Win | Fair | Har | Whit | Kings | Den | West | Thorn | Hal | Sel | Wex | Lang | Hol | El
        | Brook | Red | Copper | Stone | Oak | Lin | Rad | Birk | Craw | Dun | Farn | Gar | Penn | Quar | Rook
        | Swan | Tem | Yar | Zel""",
    "back": "ford | ton | ley | field | worth | ham | by | wick | low | well | dale | combe | stead | burn | mere",
    # Firms
    "stem": """{both} | {both} | {both} | {coined}{coined_end} | {coined}{coined_end} | {coined}{coined_end}
        | {known} | {known} | {word_name}""",
    "known": """Solvanta | Kestrell | Norrgate | Vantorp | Quillmark | Ostrell | Meridale | Zentano | Corvane
        | Brennholm | Halvorsen | Tidewater | Castellane | Pellgrave | Marrowby | Lorimark | Silverlund | Stormont""",
    "word_name": "Summit | Harvest | Compass | Beacon | Juniper | Meridian | Harbour",
    "coined": "Sol | Vant | Corv | Lor | Kestr | Orr | Zent | Brenn | Tarn | Quill | Ostr | Verid | Nex | Alt | Pell",
    "coined_end": "vane | ora | ell | ium | ixa | mark | holm | ano | essa | grave",
}

COUNTRIES: list[Rules] = [
    {
        "country": "Valmark",
        "people": "Valmarkish",
        "city": "Kessmark | Kessmark | Ostenfeld | {german}{german_end} | Bad {german}{german_end} | Port {german}au",
        "german": "Alder | Kess | Ost | Grün | Ros | Eich | Falken | Stein | Birken | Hohen | Linden | Wolf",
        "german_end": "feld | bach | heim | stadt | berg | hausen | au | mark",
        "given": "Tobias | Ingrid | Lukas | Greta | Jonas | Clara | Matthias | Annika | Emil | Rosa",
        "surname": "{german}{family} | {german}{family} | Brandt | Moser | Ziegler | Reuter",
        "family": "berg | mann | thal | hauer | rath | stein | ner",
    },
    {
        "country": "Corvania",
        "people": "Corvanian",
        "city": "Trebovice | Trebovice | Lake Orre | {slavic}{slavic_end} | Novy {slavic}ov",
        "slavic": "Treb | Star | Mir | Bel | Zelen | Krasn | Vod | Kamen | Dobr | Lipn | Petr | Vran",
        "slavic_end": "ovice | ograd | itsa | ovo | ava | nik | any",
        "given": "Pavel | Elena | Dmitri | Zofia | Tomas | Irena | Milan | Katya | Stefan | Vera",
        "surname": "{slavic}{family} | {slavic}{family} | Varga | Kowal | Farkas | Horvat",
        "family": "ov | ova | ovic | enko | ski | ska | ek",
    },
    {
        "country": "Montara",
        "people": "Montaran",
        "city": "Rivasol | Rivasol | Puerto Alba | {spanish}{spanish_end} | {saint} {spanish}{spanish_end}",
        "spanish": "Riva | Monta | Cal | Alme | Torre | Villa | Sol | Bar | Carra | Mira | Vale | Lagu",
        "spanish_end": "dera | lto | mar | nza | rosa | sol | nilla",
        "saint": "San | Santa | Puerto | Novo | Rio",
        "given": "Elena | Marcos | Beatriz | Carmen | Victor | Sofia | Rafael | Lucía | Mateo | Florence",
        "surname": "{spanish}{family} | {spanish}{family} | Silveira | Ibarra | Castell | Moreau",
        "family": "no | res | z | ndez | dor | cedo | guez",
    },
    {
        "country": "Tashir",
        "people": "Tashiri",
        "city": "Qarun | Qarun | Al Medna | {arabic}{arabic_end} | Old {arabic}{arabic_end}",
        "arabic": "Med | Bash | Qar | Sam | Had | Naz | Raf | Zahr | Khal | Mans | Far | Jab",
        "arabic_end": "ra | una | erah | iyya | an | abad | oum",
        "given": "Noor | Yusuf | Leila | Samir | Amina | Karim | Jordan | Huda | Omar | Salma",
        "surname": "{arabic}{family} | {arabic}{family} | Haddad | Mansour | Aziz | Rahimi",
        "family": "i | awi | ani | our | allah | eh",
    },
    {
        "country": "Norland",
        "people": "Norlandic",
        "city": "Sandwick | Sandwick | Upper Holm | {nordic}{nordic_end} | Upper {nordic}{nordic_end}",
        "nordic": "Sand | Hall | Trom | Isa | Skar | Bjør | Holm | Eng | Eke | Våg | Lind | Ny",
        "nordic_end": "vik | sund | fjell | nes | lund | havn | dal",
        "given": "Håkon | Astrid | Henrik | Ingrid | Oskar | Signe | Lars | Freja | Nils | May",
        "surname": "{nordic}{family} | {nordic}{family} | Quist | Aalto | Lindqvist | Sørlie",
        "family": "qvist | strøm | sen | gaard | berg | ström",
    },
    {
        "country": "Kirungu",
        "people": "Kirungan",
        "city": "Zolani | Zolani | Nyeri Falls | {bantu}{bantu_end} | Lower {bantu}{bantu_end}",
        "bantu": "Mba | Nye | Zo | Oka | Ta | Ki | Lu | Wa | Cha | Mwe | Ndo | Ru",
        "bantu_end": "sa | ri | lani | nda | no | toro | kuru",
        "given": "Wanjiru | Samuel | Amara | Grace | Kato | Hope | Thabo | Nia | Peter | Zola",
        "surname": "{bantu}{family} | {bantu}{family} | Mwangi | Okafor | Njoroge | Abara",
        "family": "nga | roge | mbe | yo | kwe | bara | sonko",
    },
    {
        "country": "Hanseo",
        "people": "Hanseon",
        "city": "Daejin | Daejin | East Harbour | {korean}{korean_end} | {korean}{korean_end} Bay",
        "korean": "Dae | Song | Nam | Mi | Yeon | Gang | Chun | Po | Hwa | Jeon | Su | Il",
        "korean_end": "jin | po | hae | rae | won | do | san",
        "given": "Jae-won | Mi-rae | Sun | Haneul | Min-ji | Dong-ha | Yuna | Tae | Austin | Rose",
        "surname": "{korean}{family} | {korean}{family} | Nakano | Kang | Seo | Rho",
        "family": "g | moto | mura | wei | rin",
    },
    {
        "country": "Great Alden",
        "people": "Aldenite",
        "city": "Carlow | Carlow | Lower Brae | {both} | {both} | {both} Bridge",
        "given": "Anna | Marcus | Ruth | Oscar | Priya | Chester | Victor | May | Florence | Lincoln",
        "surname": "{both} | {both} | Hartley | Dunne | Mehta | {word_family}",
        "word_family": "Banks | Fields | Mills | Hope | Rivers",
    },
]
