"""The Random Data API's v2 users: a bare list of records in the form of a ``User``.

Source: https://random-data-api.com/documentation
"""

from chalicelib.dialect import Dialect
from chalicelib.paging import Paging
from chalicelib.users import Address, BirthDate, Coordinates, Email, Latitude, Longitude, Text, User


class CompleteCoordinates(Coordinates):
    lat: Latitude
    lng: Longitude


class CompleteAddress(Address):
    city: Text
    street_name: Text
    street_address: Text
    zip_code: Text
    state: Text
    country: Text
    coordinates: CompleteCoordinates


class CompleteUser(User, kw_only=True):
    first_name: Text
    last_name: Text
    username: Text
    email: Email
    date_of_birth: BirthDate
    address: CompleteAddress


def query(page: int, size: int) -> dict[str, int]:
    """The API returns random records at each call and ignores ``page``; a deterministic source may use it."""
    return {"size": size, "page": page}


DIALECT = Dialect(
    "random-data-api",
    CompleteUser,
    lambda user: user,
    Paging(query, ends=False),
    uid="uid",
    dropped=("id", "password", "avatar", "credit_card"),
)
