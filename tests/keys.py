"""Keys that are valid only for what the tests start themselves."""

PII_KEY = b"a root key of thirty-two bytes, "
API_KEY = "key-that-opens-all-doors"
KEY_WITHOUT_SCOPES = "key-that-opens-none"
