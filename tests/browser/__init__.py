"""A package, so that its browser and its servers end with the last of its tests."""
