"""randomuser.me 1.4: an envelope of records whose names, nesting and types differ from a ``User``'s.

Coordinates are strings, a postcode is a number or a string, an id may be null. It has no employment and no
subscription. Source: https://randomuser.me/documentation
"""

from uuid import UUID

from chalicelib.dialect import Dialect
from chalicelib.paging import Paging
from chalicelib.users import (
    Address,
    BirthMoment,
    Coordinates,
    Email,
    LatitudeText,
    LongitudeText,
    Personal,
    Text,
    User,
    Whole,
)


class Name(Personal):
    first: Text
    last: Text


class Street(Personal):
    number: Whole | Text
    name: Text


class Position(Personal):
    latitude: LatitudeText
    longitude: LongitudeText


class Location(Personal):
    street: Street
    city: Text
    state: Text
    country: Text
    postcode: Whole | Text
    coordinates: Position


class Login(Personal):
    uuid: UUID
    username: Text


class Birth(Personal):
    date: BirthMoment


class Id(Personal):
    value: Text | None = None


class RandomUser(Personal, kw_only=True):
    gender: Text | None = None
    name: Name
    location: Location
    email: Email
    login: Login
    dob: Birth
    phone: Text | None = None
    id: Id | None = None


def query(page: int, size: int) -> dict[str, int]:
    return {"results": size, "page": page}


def to_user(record: RandomUser) -> User:
    """Converts a record to a ``User``. A seed in the source's URL makes its pages deterministic."""
    return User(
        uid=record.login.uuid,
        first_name=record.name.first,
        last_name=record.name.last,
        username=record.login.username,
        email=record.email,
        date_of_birth=record.dob.date.date(),
        address=_address(record.location),
        phone_number=record.phone,
        social_insurance_number=record.id.value if record.id else None,
        gender=record.gender,
    )


def _address(location: Location) -> Address:
    return Address(
        city=location.city,
        street_name=location.street.name,
        street_address=f"{location.street.number} {location.street.name}",
        zip_code=str(location.postcode),
        state=location.state,
        country=location.country,
        coordinates=Coordinates(lat=location.coordinates.latitude, lng=location.coordinates.longitude),
    )


DIALECT = Dialect(
    "randomuser",
    RandomUser,
    to_user,
    Paging(query, ends=False),
    uid="login.uuid",
    dropped=(
        "cell",
        "dob.age",
        "id.name",
        "location.timezone",
        "login.md5",
        "login.password",
        "login.salt",
        "login.sha1",
        "login.sha256",
        "name.title",
        "nat",
        "picture",
        "registered",
    ),
    envelope="results",
)
