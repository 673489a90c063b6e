"""Hypothesis settings: enough examples to find what a reviewer would miss, few enough for every save."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "decant",
    max_examples=40,
    deadline=None,  # the machine may be busy with other work
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("decant")
