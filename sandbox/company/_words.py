"""What people and assistants remember: texts by category and key."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import random


class Remark(NamedTuple):
    """Something worth remembering."""

    category: str
    key: str
    text: str
    tags: tuple[str, ...]


def _listed(words: str) -> list[str]:
    return words.split(", ")


_FIRST = _listed(
    "Anna, Ben, Carla, David, Elif, Farid, Greta, Hugo, Ines, Jonas, Kira, Lena, Marco, Nadia, Otto, Petra"
)
_LAST = _listed("Keller, Meier, Rossi, Novak, Silva, Haddad, Lindt, Okafor, Park, Weber, Zhang, Costa, Dubois, Fischer")
_CITIES = _listed("Zurich, Basel, Bern, Geneva, Lugano, Lausanne, Vienna, Berlin, Milan, Lyon, Porto, Oslo")
_TOPICS = _listed("onboarding, pricing, billing, mobile, search, exports, sign-in, reporting, imports, support")
_DRINKS = _listed("green tea, black coffee, oat-milk cappuccino, sparkling water, ginger lemonade, hot chocolate")
_DAYS = _listed("Monday, Tuesday, Wednesday, Thursday, Friday")
_COMPANIES = _listed("Alpenglow, Brightwater, Cobalt, Driftwood, Everline, Foxglove, Granite, Halcyon, Juniper")
_KINDS = _listed("Labs, Studio, Logistics, Health, Analytics, Robotics, Foods, Energy")

#: category, key, text; `{}` are filled in from the lists above.
_REMARKS = (
    ("FACT", "drink", "{name} drinks {drink} in the morning."),
    ("FACT", "home_city", "{name} lives in {city} and commutes on {day}."),
    ("FACT", "diet", "{name} eats no fish and asks for {drink} with lunch."),
    ("EVENT", "workshop", "A workshop on {topic} took place in {city} on {day}, {number} people came."),
    ("EVENT", "incident", "The {topic} service failed for {number} minutes; {name} wrote the report."),
    ("STATUS", "release", "The {topic} release is at {number} percent and waits for {name}."),
    ("STATUS", "budget", "The budget for {topic} is spent to {number} percent."),
    ("RELATIONSHIP", "manager", "{name} reports to {other} since the move to {city}."),
    ("RELATIONSHIP", "partner", "{name} looks after the partner in {city} together with {other}."),
    ("POLICY", "approval", "Changes of {topic} need the approval of {name} and {number} working hours."),
    ("POLICY", "meetings", "No meetings on {day}; {topic} is discussed in writing."),
    ("DECISION", "roadmap", "{name} decided to put {topic} before exports, to be looked at again in {number} weeks."),
    ("DECISION", "vendor", "The vendor in {city} was chosen for {topic}; {other} disagreed."),
    ("ENTITY", "customer", "The customer in {city} has {number} seats and cares about {topic}."),
    ("ENTITY", "office", "The office in {city} opens at {hour} and is closed on {day}."),
)
_TAGS = (("work",), ("work", "customer"), ("private",), ())


def remark(rng: random.Random) -> Remark:
    """One of them."""
    category, key, text = rng.choice(_REMARKS)
    filled = text.format(
        name=rng.choice(_FIRST),
        other=rng.choice(_FIRST),
        drink=rng.choice(_DRINKS),
        city=rng.choice(_CITIES),
        topic=rng.choice(_TOPICS),
        day=rng.choice(_DAYS),
        number=rng.randrange(2, 99),
        hour=rng.randrange(7, 11),
    )
    return Remark(category, key, filled, rng.choice(_TAGS))


def person(rng: random.Random) -> str:
    """A full name."""
    return f"{rng.choice(_FIRST)} {rng.choice(_LAST)}"


def company(rng: random.Random) -> str:
    """A firm's name."""
    return f"{rng.choice(_COMPANIES)} {rng.choice(_KINDS)}"


def topic(rng: random.Random) -> str:
    """What people work on."""
    return rng.choice(_TOPICS)
