"""The REST APIs that people come from, one dialect a file: how a page is asked for, and how it is worded."""

from chalicelib.sources import random_data_api, randomuser

BY_NAME = {module.DIALECT.name: module for module in (random_data_api, randomuser)}
