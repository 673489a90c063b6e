"""What a caller may send: query strings and bodies, as types that both check and describe them."""

from datetime import datetime
from typing import Annotated, Any, NamedTuple

from msgspec import UNSET, Meta, Struct, UnsetType

from chalicelib.ledger import Status
from chalicelib.users import MAX_PAGE_SIZE, MAX_PAGES


class PathParameter(NamedTuple):
    """The pattern of a path parameter, and the rule in words."""

    pattern: str
    rule: str


UUID = PathParameter("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", "the id in the path must be a UUID")
PATH_PARAMETERS = {  # by parameter; all others are UUIDs
    "version": PathParameter("^[0-9a-f]{16}$", "the version in the path must be 16 hexadecimal digits"),
    "asset": PathParameter(
        r"^[a-z]{1,20}\.(css|js)$", "the name in the path must be that of a .css or .js file"
    ),
}


_NEXT = Meta(description="The `next` of the previous page.")
_Uuid = Annotated[str, Meta(pattern=UUID.pattern, max_length=36)]  # else a newline may follow

Limit = Annotated[int, Meta(ge=1, le=1000, description="Maximum number of items.")]
Cursor = Annotated[str, Meta(max_length=100, pattern="^[A-Za-z0-9_-]+={0,2}$"), _NEXT]
Filter = Annotated[
    str,
    Meta(
        min_length=1, max_length=200, pattern=r"^[^\x00]+$", description="Matches the stored value exactly."
    ),
]
Moment = Annotated[
    datetime,
    Meta(
        tz=True,
        description="Changed at or after this moment. Overlap by a minute: people carry the time at which "
        "the load of their page began.",
        examples=["2026-01-31T00:00:00Z"],
    ),
]
Raw = Annotated[str, Meta(min_length=1, max_length=320)]
Email = Annotated[str, Meta(min_length=1, max_length=320, examples=["someone@example.com"])]
Street = Annotated[
    str, Meta(min_length=1, max_length=702, description="Street address, comma, space, street name.")
]

# JSON has one type of number: 5.0 is as whole as 5.
Pages = Annotated[float, Meta(ge=1, le=MAX_PAGES, multiple_of=1, examples=[20])]
PageSize = Annotated[float, Meta(ge=1, le=MAX_PAGE_SIZE, multiple_of=1, examples=[1000])]
RunId = Annotated[_Uuid, Meta(description="The id of a run.")]

RunCursor = Annotated[_Uuid, _NEXT]
RunStatus = Annotated[Status, Meta(description="Only the runs with this status.")]
RejectCursor = Annotated[str, Meta(pattern="^[0-9]{1,9}-[0-9]{1,9}$"), _NEXT]

CustomFilter = Annotated[
    dict[str, Annotated[str, Meta(min_length=1, max_length=500, pattern=r"^[^\x00]+$")]],
    Meta(
        description="Kept custom fields, as in `custom[language]=pt`; each must have this value, or be a "
        "list that holds it."
    ),
]
CustomValues = Annotated[
    dict[str, Annotated[str, Meta(min_length=1, max_length=500)]],
    Meta(min_length=1, description="Custom fields that are stored as tokens, by name."),
]


class NoQuery(Struct, forbid_unknown_fields=True):
    """A route without a query."""


class AnyQuery(Struct):
    """A page to look at, whose links others may have decorated with parameters of their own."""


class Page(Struct, forbid_unknown_fields=True):
    limit: Limit = 50
    cursor: Cursor | UnsetType = UNSET


class Users(Page, forbid_unknown_fields=True):
    country: Filter | UnsetType = UNSET
    state: Filter | UnsetType = UNSET
    city: Filter | UnsetType = UNSET
    gender: Filter | UnsetType = UNSET
    plan: Filter | UnsetType = UNSET
    updated_since: Moment | UnsetType = UNSET
    custom: CustomFilter | UnsetType = UNSET


class Runs(Struct, forbid_unknown_fields=True):
    limit: Limit = 50
    cursor: RunCursor | UnsetType = UNSET
    status: RunStatus | UnsetType = UNSET


class Rejects(Struct, forbid_unknown_fields=True):
    limit: Limit = 50
    cursor: RejectCursor | UnsetType = UNSET


class Lookup(Struct, forbid_unknown_fields=True):
    """Raw values, at least one; all must match. They are tokenised immediately and go no further."""

    first_name: Raw | UnsetType = UNSET
    last_name: Raw | UnsetType = UNSET
    username: Raw | UnsetType = UNSET
    email: Email | UnsetType = UNSET
    phone_number: Raw | UnsetType = UNSET
    social_insurance_number: Raw | UnsetType = UNSET
    street: Street | UnsetType = UNSET
    custom: CustomValues | UnsetType = UNSET

    def __repr__(self) -> str:
        return "<Lookup>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []


class NewRun(Struct, forbid_unknown_fields=True):
    """A run over the first ``pages`` pages of ``page_size`` records each; both default to the settings.

    Or a replay: the records that the quarantine holds of an earlier run go through the current rules.
    """

    pages: Pages | UnsetType = UNSET
    page_size: PageSize | UnsetType = UNSET
    replay: RunId | UnsetType = UNSET

    @property
    def whole_pages(self) -> int | None:
        """``pages`` as an int, although JSON may write it as 5.0; None if it was not sent."""
        return int(self.pages) if self.pages else None

    @property
    def whole_page_size(self) -> int | None:
        return int(self.page_size) if self.page_size else None
