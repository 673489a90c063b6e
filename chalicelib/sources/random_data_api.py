"""The Random Data API's v2 users: a bare list of records with the field names of ``User``.

Source: https://random-data-api.com/documentation
"""

from chalicelib.dialect import Dialect
from chalicelib.users import User


def query(page: int, size: int) -> dict[str, int]:
    """The API returns random records at each call and ignores ``page``; a deterministic source may use it."""
    return {"size": size, "page": page}


DIALECT = Dialect(
    "random-data-api",
    User,
    lambda user: user,
    uid="uid",
    dropped=("id", "password", "avatar", "credit_card"),
)
