"""Records as a script without Decant would store them: flat, parsed by the standard library, unchecked."""

import base64
import hmac
from typing import Any

from bench.settings import PII_KEY

HASHED = ("first_name", "last_name", "username", "email", "phone_number", "social_insurance_number", "street")


def user(record: dict[str, Any]) -> dict[str, Any]:
    """The row of the users table."""
    employment, subscription = record.get("employment") or {}, record.get("subscription") or {}
    return {
        "uid": record["uid"],
        "first_name": record["first_name"].strip(),
        "last_name": record["last_name"].strip(),
        "username": record["username"].strip().lower(),
        "email": record["email"].strip().lower(),
        "phone_number": record.get("phone_number"),
        "social_insurance_number": record.get("social_insurance_number"),
        "birth_year": int(record["date_of_birth"][:4]),
        "gender": record.get("gender"),
        "employment_title": employment.get("title"),
        "employment_key_skill": employment.get("key_skill"),
        "subscription_plan": subscription.get("plan"),
        "subscription_status": subscription.get("status"),
        "subscription_payment_method": subscription.get("payment_method"),
        "subscription_term": subscription.get("term"),
    }


def address(record: dict[str, Any]) -> dict[str, Any]:
    """The row of the addresses table."""
    source = record["address"]
    return {
        "uid": record["uid"],
        "city": source["city"].strip(),
        "state": source["state"].strip(),
        "country": source["country"].strip(),
        "zip_prefix": str(source["zip_code"]).strip()[:3],
        "lat": round(float(source["coordinates"]["lat"]), 1),
        "lng": round(float(source["coordinates"]["lng"]), 1),
        "street": f"{source['street_address']}, {source['street_name']}",
    }


def hashed(row: dict[str, Any]) -> dict[str, Any]:
    """The row with an HMAC in place of each personal value, in the form that Decant's tables require."""
    return row | {name: _hmac(row[name]) for name in HASHED if row.get(name) is not None}


def _hmac(value: str) -> str:
    digest = hmac.digest(PII_KEY, value.encode("utf-8", "surrogatepass"), "sha256")
    return "v1_" + base64.urlsafe_b64encode(digest[:18]).decode()
