"""The user APIs: how to fetch a page, and how each of them words it. Never looks into a record."""
