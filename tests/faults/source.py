"""A user API whose people change from day to day, with everything that a page can hold."""

import json
from typing import Any

from local import people
from local.user_api import Headers, UserApi

PAGES, SIZE = 2, 20
_BAD = 0.1  # two records of a page, which MAX_REJECT_RATIO allows
_PERSONAL, _RECOGNISABLE = ("email", "phone_number", "social_insurance_number"), 8
_JSON = {"Content-Type": "application/json"}


class ChangingUserApi(UserApi):
    """The same people on the same pages every day; each day, every third of them has moved."""

    day = 0

    def receive(self, method: str, target: str) -> tuple[int, tuple[bytes, int, Headers] | None]:
        nth, scripted = super().receive(method, target)
        return nth, scripted or (self._page(_number(target)), 200, _JSON)

    def somebody(self) -> str:
        """The uid of a person who is sent every day."""
        return str(json.loads(self._page(1))[1]["uid"])

    def secrets(self) -> set[str]:
        """The personal values that are long enough to be recognised anywhere."""
        records = [record for page in range(1, PAGES + 1) for record in json.loads(self._page(page))]
        values = {record.get(name) for record in records if isinstance(record, dict) for name in _PERSONAL}
        return {value for value in values if isinstance(value, str) and len(value) >= _RECOGNISABLE}

    def _page(self, number: int) -> bytes:
        records = json.loads(people.random_data_api(people.Page("days", number, SIZE, _BAD)))
        for position, record in enumerate(records):
            if isinstance(record, dict) and (position + self.day) % 3 == 0:
                _move(record, self.day)
        return json.dumps([*records, records[0]]).encode()  # one person is sent twice


def _number(target: str) -> int:
    return int(target.partition("page=")[2].partition("&")[0])


def _move(record: dict[str, Any], day: int) -> None:
    if isinstance(record.get("address"), dict):
        record["address"]["city"] = f"City {day}"
