"""Invents people for the stand-in user API, and writes pages of them in the dialects of the two real APIs.

A person is a pure function of seed, page and position: no clock and no state.
About a quarter of them are odd in the ways that real data is, but valid; invalid ones come only on request.
"""

import functools
import json
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

Person = dict[str, Any]  # flat, and the same for every dialect
Record = dict[str, Any]
Render = Callable[[Person, Random], Record]

# Four lines per country. First: name; ISO code; calling code; identity number; postcodes (# digit, @ letter).
# Second: first names. Third: last names. Fourth: cities with their states and, after the semicolon, streets.
_TABLE = """
United States; US; 1; SSN ###-##-####; #####|#####-####
Ann|Mary-Jane|D'Andre|Christopher|Xochitl
O'Neil|Washington|Smith-Rodriguez|Keihanaikukauakahihuliheekahaunaele
Coeur d'Alene, Idaho|Winston-Salem, North Carolina|New York, New York; Maple Avenue|St. John's Road|2nd Street
United Kingdom; GB; 44; NINO QQ ## ## ## C; @@# #@@|@## #@@
Siân|Nia|Alexander|Bo|Jean-Luc
Llewellyn-Jones|Featherstonehaugh|Li|Ó Súilleabháin
Stoke-on-Trent, Staffordshire|Bangor, Gwynedd|King's Lynn, Norfolk; School Lane|Queen's Parade|The Green
Germany; DE; 49; ; #####
Jürgen|Käthe|Björn-Ole|Ulf
Groß|Müller-Lüdenscheidt|von der Weiden|Öz
München, Bayern|Köln, Nordrhein-Westfalen|Aue, Sachsen; Große Straße|Am Mühlbach|Königsallee
France; FR; 33; INSEE # ## ## ## ### ### ##; #####
Zoé|Anaïs|Noël|Jean-François|Éva
L'Hôpital|d'Étampes|Lefèvre|Ño
Y, Hauts-de-France|L'Haÿ-les-Roses, Île-de-France|Besançon, Franche-Comté; Rue de l'Église|Allée Zénith
Denmark; DK; 45; CPR ######-####; ####
Søren|Åse|Bjørk|Ea
Ærø|Kjærgaard-Østerby|Ås
Ærøskøbing, Syddanmark|Å, Hovedstaden|Viby J., Midtjylland; Nordsøvej|Ågade|Æblehaven
Poland; PL; 48; ; ##-###
Łukasz|Żaneta|Małgorzata|Ewa
Szczęśniak|Brzęczyszczykiewicz|Wójcik-Źrebiec
Łódź, Łódzkie|Świętochłowice, Śląskie; ulica Żółkiewskiego|aleja Niepodległości
Turkey; TR; 90; ; #####
İbrahim|Işıl|Çağla|Gülşen
Yıldırım|Öztürkoğlu|Şen
İzmir, İzmir|Diyarbakır, Diyarbakır|Iğdır, Iğdır; İstiklal Caddesi|Çınarlı Sokak
Vietnam; VN; 84; ; ######
Thị Hồng Nhung|Đức|Phương Thảo|Ý
Nguyễn|Trần|Đặng|Vũ
Đà Nẵng, Đà Nẵng|Huế, Thừa Thiên Huế; Đường Lê Lợi|Phố Hàng Bạc
Brazil; BR; 55; CPF ###.###.###-##; #####-###|#####
João|Conceição|Antônio|Iêda
dos Santos e Silva|Gonçalves|Sá
São Paulo, São Paulo|Jequié, Bahia; Rua Vinte e Um|Avenida da Esperança
Ukraine; UA; 380; ; #####
Мар'яна|Олексій|Ія|Євген
Шевченко|Дем'яненко|Ґалаґан
Київ, Київ|Кам'янець-Подільський, Хмельницька область; вулиця Лесі Українки|Яблунева вулиця
Greece; GR; 30; ; ### ##
Αθηνά|Οδυσσέας|Λώρα
Παπαδόπουλος|Χατζηγεωργίου|Σπύρου
Αθήνα, Αττική|Θεσσαλονίκη, Κεντρική Μακεδονία; Οδός Ερμού|Λεωφόρος Νίκης
Egypt; EG; 20; ; #####
محمد|فاطمة الزهراء|نور
عبد الرحمن|المصري|حسن
القاهرة, القاهرة|الإسكندرية, الإسكندرية; شارع النيل|طريق الحرية
India; IN; 91; ; ######|### ###
प्रिया|अर्जुन|ओम
श्रीवास्तव|शर्मा|रॉय
मुंबई, महाराष्ट्र|दिल्ली, दिल्ली; महात्मा गांधी मार्ग|स्टेशन रोड
China; CN; 86; ; ######
伟|秀英|子轩
王|欧阳|司马
北京, 北京市|广州, 广东省; 人民路|解放大道
Japan; JP; 81; ; ###-####
さくら|健|ジョージ
佐藤|𠮷田|五十嵐
東京, 東京都|津, 三重県; 桜通り|中央一丁目
South Korea; KR; 82; ; #####
민준|서연|솔
김|남궁|이
서울, 서울특별시|부산, 부산광역시; 세종대로|해운대로
"""
_GENDERS = ("Male", "Female", "Agender", "Bigender", "Genderfluid", "Genderqueer", "Non-binary", "Polygender")
_RANKS = ("Chief", "Senior", "Junior", "Regional", "Night")
_TRADES = ("Accountant", "Baker", "Cartographer", "Electrician", "Librarian", "R&D Engineer", "Site Manager")
_SKILLS = ("Teamwork", "Proactive", "Self-motivated", "Work under pressure", "Listening", "Arithmetic")
_PLANS = ("Free Trial", "Basic", "Student", "Standard", "Business", "Premium")
_STATES = ("Active", "Idle", "Pending", "Blocked")
_PAYMENTS = ("Cash", "Paypal", "Bitcoins", "WeChat Pay", "Credit card", "Money transfer")
_TERMS = ("Monthly", "Annual", "Payment in advance", "Full subscription")
_PHONES = ("+{} (###) ###-####", "+{} ###-###-####", "+{} ###-###-#### x####", "+{} ###.###.#### x#####")
_LOCAL_PHONES = ("(###)-###-####", "0##### #####", "########", "(##) ####-####", "### ### ##-##")
_CARDS = ("4###-####-####-####", "5###-####-####-####", "4############")
_DOMAINS = ("example.com", "example.org", "mail.example.net")
_COLOURS, _ANIMALS = ("amber", "dusty", "pale", "violet"), ("heron", "marten", "newt", "yak")
_ZONES = (("-9:00", "Alaska"), ("-3:30", "Newfoundland"), ("0:00", "London, Lisbon"), ("+5:45", "Kathmandu"))
_PEOPLE = (("female", "Mrs", "women"), ("female", "Ms", "women"), ("male", "Mr", "men"))
_LETTERS = "ABCDEFGHJKLMNPRSTWXYZ"
_BORN = (date(1940, 1, 1).toordinal(), date(2009, 1, 1).toordinal())
_JOINED = (date(2002, 1, 1).toordinal(), date(2022, 1, 1).toordinal())
_THIS_YEAR = 2025  # ages are as of its last day, regardless of the clock

_MAX_SIZE, _MAX_NUMBER = 5_000, 10**9
_ODD, _TWIN = 0.24, 0.005  # shares of odd people, and of people who are on the page already
_ABSENT = object()  # stands for a field that is left out


class Land(NamedTuple):
    """One country's names, places and patterns."""

    country: str
    nation: str
    calling_code: str
    identity: tuple[str, str]
    postcodes: list[str]
    first_names: list[str]
    last_names: list[str]
    places: list[tuple[str, str]]
    streets: list[str]


@dataclass(frozen=True)
class Page:
    """The first `size` records of a page. The share `bad` of them is invalid, evenly spread."""

    seed: str
    number: int
    size: int
    bad: float

    def records(self, render: Render) -> list[object]:
        parts = round(self.bad * 1_000_000)  # as integers: 0.29 of 100 is 29, with floats it is 28
        rng = Random(self.seed)
        records: list[object] = []
        for position in range(self.size):
            person = _person(rng, self.seed, self.number, position)
            spoiled = position * parts // 1_000_000
            if (position + 1) * parts // 1_000_000 > spoiled:
                records.append(_spoil(render, person, rng, self.number + spoiled))
            else:
                records.append(render(person, rng))
        return records


def page_from_query(query: Mapping[str, str], size_name: str, default_size: int) -> Page:
    """The page that a URL's query asks for. Raises ValueError if the query is invalid."""
    bad = float(query.get("bad", "0"))
    if not 0 <= bad <= 1:
        raise ValueError("bad must be a share from 0 to 1")
    size = min(whole_number(query, size_name, default_size), _MAX_SIZE)
    return Page(query.get("seed", "decant"), whole_number(query, "page", 1), size, bad)


def whole_number(query: Mapping[str, str], name: str, default: int) -> int:
    """A number of at least 1, or 0 if that is the default. Raises ValueError for any other text."""
    text, least = query.get(name, str(default)), min(default, 1)
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and least <= int(text) <= _MAX_NUMBER):
        raise ValueError(f"{name} must be a whole number from {least} to {_MAX_NUMBER}")
    return int(text)


def random_data_api(page: Page) -> bytes:
    """A page as version 2 of random-data-api.com formats it: a list."""
    return _encode(page.records(_random_data_api_user))


def randomuser(page: Page) -> bytes:
    """A page as version 1.4 of randomuser.me formats it: an envelope."""
    info = {"seed": page.seed, "results": page.size, "page": page.number, "version": "1.4"}
    return _encode({"results": page.records(_randomuser_user), "info": info})


def _encode(document: object) -> bytes:
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace")  # a lone surrogate becomes its JSON escape


def _person(rng: Random, seed: str, number: int, position: int) -> Person:
    """Leaves ``rng`` in the state for rendering the person. A twin gets the same state as its original."""
    rng.seed(f"{seed}/{number}/{position}")
    if position and rng.random() < _TWIN:
        return _person(rng, seed, number, rng.randrange(position)) | {"plan": "Lifetime", "city": "Newtown"}
    person = _invent(rng)
    if rng.random() < _ODD:
        rng.choice(_ODDITIES)(person, rng)
    return person


def _invent(rng: Random) -> Person:
    pick, land, number = rng.choice, rng.choice(LANDS), rng.randrange(1_000_000)
    first, last, (city, state) = pick(land.first_names), pick(land.last_names), pick(land.places)
    return {
        "land": land,
        "uid": str(UUID(int=rng.getrandbits(128), version=4)),
        "first_name": first,
        "last_name": last,
        "username": f"{first}.{last}{number}".lower().replace(" ", ""),
        "email": f"{_ascii(first)}.{_ascii(last)}{number}@{pick(_DOMAINS)}",
        "phone": _fill(pick(_PHONES).format(land.calling_code), rng),
        "insurance": _fill("#########", rng),
        "born": _day(_BORN, rng),
        "city": city,
        "state": state,
        "zip_code": _fill(pick(land.postcodes), rng),
        "latitude": rng.uniform(-90, 90),
        "longitude": rng.uniform(-180, 180),
        "title": f"{pick(_RANKS)} {pick(_TRADES)}",
        "skill": pick(_SKILLS),
        "plan": pick(_PLANS),
        "status": pick(_STATES),
        "payment": pick(_PAYMENTS),
        "term": pick(_TERMS),
        "extra": {},
    }


def _land(lines: list[str]) -> Land:
    country, nation, calling_code, identity, postcodes = lines[0].split("; ")
    places, streets = lines[3].split("; ")
    kind, _, pattern = identity.partition(" ")
    return Land(
        *(country, nation, calling_code, (kind, pattern), postcodes.split("|")),
        *(lines[1].split("|"), lines[2].split("|")),
        [(city, state) for city, state in (place.split(", ") for place in places.split("|"))],
        streets.split("|"),
    )


def _lands(lines: list[str]) -> list[Land]:
    return [_land(lines[start : start + 4]) for start in range(0, len(lines), 4)]


LANDS = _lands(_TABLE.strip().splitlines())


def _fill(pattern: str, rng: Random) -> str:
    while "@" in pattern:
        pattern = pattern.replace("@", rng.choice(_LETTERS), 1)
    return _dial(pattern, f"{rng.getrandbits(63):019d}")


def _dial(pattern: str, digits: str) -> str:
    return pattern.replace("#", "{}").format(*digits)


@functools.lru_cache(maxsize=1024)
def _ascii(name: str) -> str:
    """A name reduced to ASCII letters for an e-mail address, or a fixed word if none are left."""
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return "".join(filter(str.isalpha, letters)) or "user"


def _day(between: tuple[int, int], rng: Random) -> str:
    return str(date.fromordinal(rng.randrange(*between)))


def _random_data_api_user(person: Person, rng: Random) -> Record:
    return {
        "id": rng.randrange(1, 10_000),
        "uid": person["uid"],
        "password": f"{rng.getrandbits(52):013x}",
        "first_name": person["first_name"],
        "last_name": person["last_name"],
        "username": person["username"],
        "email": person["email"],
        "avatar": f"https://robohash.org/{rng.getrandbits(40)}.png?size=300x300&set=set1",
        "gender": rng.choice(_GENDERS),
        "phone_number": person["phone"],
        "social_insurance_number": person["insurance"],
        "date_of_birth": person["born"],
        "employment": {"title": person["title"], "key_skill": person["skill"]},
        "address": _address(person, rng),
        "credit_card": {"cc_number": _fill(rng.choice(_CARDS), rng)},
        "subscription": {
            "plan": person["plan"],
            "status": person["status"],
            "payment_method": person["payment"],
            "term": person["term"],
        },
        **person["extra"],
    }


def _address(person: Person, rng: Random) -> Record:
    land = person["land"]
    return {
        "city": person["city"],
        "street_name": rng.choice(land.streets),
        "street_address": f"{rng.randrange(1, 10_000)} {rng.choice(land.streets)}",
        "zip_code": person["zip_code"],
        "state": person["state"],
        "country": land.country,
        "coordinates": {"lat": person["latitude"], "lng": person["longitude"]},
    }


def _randomuser_user(person: Person, rng: Random) -> Record:
    gender, title, folder = rng.choice(_PEOPLE)
    portrait = f"{folder}/{rng.randrange(100)}.jpg"
    return {
        "gender": gender,
        "name": {"title": title, "first": person["first_name"], "last": person["last_name"]},
        "location": _location(person, rng),
        "email": person["email"],
        "login": _login(person, rng),
        "dob": _moment(person["born"], rng),
        "registered": _moment(_day(_JOINED, rng), rng),
        "phone": _fill(rng.choice(_LOCAL_PHONES), rng) if _is_real(person["phone"]) else person["phone"],
        "cell": _fill(rng.choice(_LOCAL_PHONES), rng),
        "id": _identity(person["land"], person["insurance"]),
        "picture": {
            "large": f"https://randomuser.me/api/portraits/{portrait}",
            "medium": f"https://randomuser.me/api/portraits/med/{portrait}",
            "thumbnail": f"https://randomuser.me/api/portraits/thumb/{portrait}",
        },
        "nat": person["land"].nation,
        **person["extra"],
    }


def _location(person: Person, rng: Random) -> Record:
    land, zip_code, (offset, zone) = person["land"], person["zip_code"], rng.choice(_ZONES)
    return {
        "street": {"number": rng.randrange(1, 10_000), "name": rng.choice(land.streets)},
        "city": person["city"],
        "state": person["state"],
        "country": land.country,
        "postcode": int(zip_code) if zip_code.isdigit() else zip_code,
        "coordinates": {
            "latitude": f"{person['latitude']:.4f}",
            "longitude": f"{person['longitude']:.4f}",
        },
        "timezone": {"offset": offset, "description": zone},
    }


def _login(person: Person, rng: Random) -> Record:
    noise = f"{rng.getrandbits(624):0156x}"
    return {
        "uuid": person["uid"],
        "username": f"{rng.choice(_COLOURS)}{rng.choice(_ANIMALS)}{rng.randrange(1_000_000)}",
        "password": noise[:12],
        "salt": noise[12:20],
        "md5": noise[20:52],
        "sha1": noise[52:92],
        "sha256": noise[92:],
    }


def _moment(day: str, rng: Random) -> Record:
    clock = _fill("T1#:2#:3#.###Z", rng)  # a valid time of day for any digits
    return {"date": f"{day}{clock}", "age": _THIS_YEAR - int(day[:4])}


def _identity(land: Land, insurance: str | None) -> Record:
    """The insurance number in the country's own format; most countries have none."""
    kind, pattern = land.identity
    if insurance is None or not _is_real(insurance):
        return {"name": kind, "value": insurance}
    return {"name": kind, "value": _dial(pattern, insurance * 2) if kind else None}


def _is_real(text: str | None) -> bool:
    return text is not None and any(map(str.isdigit, text))


def _padded(person: Person, rng: Random) -> None:
    field = rng.choice(("first_name", "last_name", "email", "city"))
    person[field] = rng.choice((" {}", "{}  ", "\t{}", "{}\r\n", "\u00a0{}\u3000")).format(person[field])


def _shouted(person: Person, rng: Random) -> None:
    person["email"] = person["email"].upper()


def _decomposed(person: Person, rng: Random) -> None:
    for field in ("first_name", "last_name", "username", "city", "state"):
        person[field] = unicodedata.normalize("NFD", person[field])


def _blanked(person: Person, rng: Random) -> None:
    person[rng.choice(("phone", "insurance"))] = rng.choice(("", "n/a", "N/A"))


def _unsaid(person: Person, rng: Random) -> None:
    field = rng.choice(("title", "skill", "plan", "status", "payment", "term", "first_name"))
    person[field] = rng.choice(("", "n/a", "N/A"))


def _nulled(person: Person, rng: Random) -> None:
    person[rng.choice(("phone", "insurance"))] = None


def _extended(person: Person, rng: Random) -> None:
    person["extra"] = {"maiden_name": rng.choice(person["land"].last_names)}


def _at_a_limit(person: Person, rng: Random) -> None:
    person.update(latitude=rng.choice((-90.0, 90.0)), longitude=rng.choice((-180.0, 180.0)))


_ODDITIES = (
    _padded,
    _padded,
    _shouted,
    _decomposed,
    _decomposed,
    _blanked,
    _unsaid,
    _nulled,
    _extended,
    _at_a_limit,
)

_SPOILED: tuple[dict[str, object], ...] = (
    {"uid": _ABSENT},
    {"last_name": _ABSENT},
    {"email": _ABSENT},
    {"uid": "6f1d3c9a-not-a-uuid"},
    {"email": "nobody.at.example.com"},
    {"born": "2999-01-01"},
    {"born": "2001-02-30"},
    {"latitude": 123.4},
    {"last_name": 7},
    {"city": "Llan" * 2_500},
    {"first_name": "Nul\x00a"},
    {"last_name": "Half \ud800 a pair"},
    {},  # not an object at all
)


def _spoil(render: Render, person: Person, rng: Random, kind: int) -> object:
    spoiled = _SPOILED[kind % len(_SPOILED)]
    return _present(render(person | spoiled, rng)) if spoiled else "not an object"


def _present(record: Record) -> Record:
    """The record without the fields marked as absent, at any depth."""
    return {
        name: _present(value) if isinstance(value, dict) else value
        for name, value in record.items()
        if value is not _ABSENT
    }
