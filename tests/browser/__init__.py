"""A package, so that its browser and its servers are stopped after its last test."""
