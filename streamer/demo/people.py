"""Who visits the simulated shop: invented customers, each with a personality, a device, a language and a home, drawn by a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from streamer.demo.catalogue import TABLE

if TYPE_CHECKING:
    from random import Random

SOURCE: Final = "streamer-simulated-shop"  # in the context of every event: nobody shall take this for real customers


@dataclass(frozen=True, slots=True)
class Personality:
    """How somebody shops. Ratios are of 1; pauses are the seconds between two visits.

    ``add`` is the chance that a product that was looked at goes into the cart; ``checkout`` that a full cart is taken to the checkout;
    ``buy`` that a checkout ends in an order. ``focus`` is the chance to look at the favourite category and not at any other.
    """

    name: str
    words: str
    share: float
    views: tuple[int, int]
    add: float
    checkout: float
    buy: float
    focus: float
    pause_s: tuple[float, float]
    searches: float = 0.3
    cheap: bool = False
    coupon: float = 0.0
    anonymous: float = 0.0


BROWSER: Final = Personality(
    "browser", "looks at much and takes nothing", 0.26, (4, 9), add=0.02, checkout=0.2, buy=0.3, focus=0.4, pause_s=(3, 16), anonymous=0.5
)
CART_LEAVER: Final = Personality(
    "cart leaver", "fills a cart and leaves it", 0.22, (2, 5), add=0.6, checkout=0.35, buy=0.08, focus=0.6, pause_s=(10, 22)
)
LOYAL_BUYER: Final = Personality(
    "loyal buyer", "comes often and buys", 0.18, (1, 3), add=0.8, checkout=0.97, buy=0.96, focus=0.85, pause_s=(4, 14), searches=0.1
)
BARGAIN_HUNTER: Final = Personality(
    "bargain hunter", "looks for what is cheap, with a coupon", 0.2, (4, 8), add=0.25, checkout=0.8, buy=0.6, focus=0.1, pause_s=(4, 18),
    searches=0.8, cheap=True, coupon=0.7, anonymous=0.1,
)  # fmt: skip
COMPARER: Final = Personality(
    "comparer", "looks at the same few things again and again", 0.14, (6, 11), add=0.12, checkout=0.7, buy=0.7, focus=0.97, pause_s=(6, 26),
    searches=0.5, anonymous=0.15,
)  # fmt: skip
PERSONALITIES: Final = (BROWSER, CART_LEAVER, LOYAL_BUYER, BARGAIN_HUNTER, COMPARER)

FIRST_NAMES: Final = (
    "ada", "amir", "anouk", "aya", "bela", "carla", "chidi", "clara", "dario", "diya", "elif", "emil", "enzo", "farah", "finn", "freya",
    "goran", "hana", "hugo", "ines", "ivo", "jana", "jonas", "kai", "karim", "lea", "lena", "levi", "lina", "luca", "maja", "mateo",
    "mila", "nadia", "nils", "noor", "olga", "oskar", "paula", "pia", "rafi", "rosa", "samu", "sara", "selma", "theo", "tomas", "vera",
    "wanda", "yuki", "zoe",
)  # fmt: skip

# country: share, locales, time zone, cities
COUNTRIES: Final[dict[str, tuple[float, tuple[str, ...], str, tuple[str, ...]]]] = {
    "DE": (0.34, ("de-DE", "de-DE", "de-DE", "tr-TR"), "Europe/Berlin", ("Berlin", "Hamburg", "Köln", "München", "Leipzig")),
    "AT": (0.08, ("de-AT",), "Europe/Vienna", ("Wien", "Graz")),
    "CH": (0.08, ("de-CH", "fr-CH"), "Europe/Zurich", ("Zürich", "Genève")),
    "FR": (0.14, ("fr-FR",), "Europe/Paris", ("Paris", "Lyon", "Nantes")),
    "NL": (0.08, ("nl-NL",), "Europe/Amsterdam", ("Amsterdam", "Utrecht")),
    "ES": (0.08, ("es-ES",), "Europe/Madrid", ("Madrid", "Valencia")),
    "SE": (0.05, ("sv-SE",), "Europe/Stockholm", ("Stockholm", "Malmö")),
    "GB": (0.09, ("en-GB",), "Europe/London", ("London", "Leeds")),
    "US": (0.06, ("en-US", "es-US"), "America/New_York", ("New York", "Boston")),
}

# device: share, operating systems, the width of its screen
DEVICES: Final[dict[str, tuple[float, tuple[str, ...], int]]] = {
    "mobile": (0.56, ("iOS", "Android"), 390),
    "desktop": (0.36, ("Windows", "macOS", "Linux"), 1440),
    "tablet": (0.08, ("iPadOS", "Android"), 1024),
}
CAMPAIGNS: Final = (("newsletter", "email"), ("google", "cpc"), ("instagram", "social"), ("direct", "none"))
OCCUPATIONS: Final = ("student", "nurse", "engineer", "teacher", "retired", "self-employed", "clerk", "chef")
MAIL_DOMAIN: Final = "mail.example"
NO_EMAIL: Final = 0.08
WANTS_OFFERS: Final = 0.6
NO_REMINDERS: Final = 0.08
MARITAL: Final = ("single", "married", "divorced", "widowed")


@dataclass(frozen=True, slots=True)
class Customer:
    """One invented person, who does not change: what happened to them is the shop's business.

    ``consents`` are events by which they say what they agree to, and topics.
    """

    id: str
    personality: Personality
    anonymous: bool
    favourite: str
    interests: list[str]
    traits: dict[str, object]
    context: dict[str, object]
    consents: tuple[tuple[str, str], ...] = ()


def invent(random: Random, count: int) -> list[Customer]:
    """So many customers, with personalities in their shares as exactly as whole people allow."""
    personalities = _dealt(count)
    random.shuffle(personalities)
    return [_customer(random, number, personality) for number, personality in enumerate(personalities, 1)]


def _dealt(count: int) -> list[Personality]:
    """Whoever is furthest below their share comes next.

    >>> [personality.name for personality in _dealt(3)]
    ['browser', 'cart leaver', 'bargain hunter']
    """
    dealt: dict[Personality, int] = dict.fromkeys(PERSONALITIES, 0)
    for number in range(1, count + 1):
        dealt[max(PERSONALITIES, key=lambda one: one.share * number - dealt[one])] += 1
    return [personality for personality, times in dealt.items() for _ in range(times)]


def _customer(random: Random, number: int, personality: Personality) -> Customer:
    name = random.choice(FIRST_NAMES)
    country = random.choices(list(COUNTRIES), [entry[0] for entry in COUNTRIES.values()])[0]
    _, locales, zone, cities = COUNTRIES[country]
    city, favourite = random.choice(cities), random.choice(list(TABLE))
    traits: dict[str, object] = {
        "birthday": f"{random.randint(1948, 2006)}-{random.randint(1, 12):02d}-{random.randint(1, 28):02d}",
        "gender": random.choice(("female", "male", "female", "male", "other")),
        "occupation": random.choice(OCCUPATIONS),
        "maritalStatus": random.choice(MARITAL),
        "children": random.choice((0, 0, 0, 1, 2)),
        "income": random.randrange(14_000, 120_000, 1_000),
        "address": {"country": country, "city": city},
    }
    interests = sorted({favourite, random.choice(list(TABLE))})
    locale, customer_id = random.choice(locales), f"{name}-{number:03d}"
    traits |= {"interests": interests, "timezone": zone, "locale": locale, "first_name": name.title()}
    if random.random() >= NO_EMAIL:
        traits["email"] = f"{customer_id}@{MAIL_DOMAIN}"
    return Customer(
        id=customer_id,
        personality=personality,
        anonymous=random.random() < personality.anonymous,
        favourite=favourite,
        interests=interests,
        traits=traits,
        context=_context(random, locale, zone),
        consents=_consents(random),
    )


def _consents(random: Random) -> tuple[tuple[str, str], ...]:
    """Most ask for offers; a few want no reminders."""
    offers = (("Consent Given", "offers"),) if random.random() < WANTS_OFFERS else ()
    return (*offers, ("Consent Withdrawn", "reminders")) if random.random() < NO_REMINDERS else offers


def _context(random: Random, locale: str, zone: str) -> dict[str, object]:
    device = random.choices(list(DEVICES), [entry[0] for entry in DEVICES.values()])[0]
    _, systems, width = DEVICES[device]
    source, medium = random.choice(CAMPAIGNS)
    return {
        "library": {"name": SOURCE},
        "locale": locale,
        "timezone": zone,
        "device": {"type": device},
        "os": {"name": random.choice(systems)},
        "screen": {"width": width},
        "campaign": {"source": source, "medium": medium},
    }
