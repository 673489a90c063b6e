"""How much Hypothesis tries: enough to find what a reviewer would not, little enough to run at every save."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "decant",
    max_examples=40,
    deadline=None,  # the machine may be busy with something else
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("decant")
