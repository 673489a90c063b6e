"""The minimal Chalice app, with boto3 beside it."""

import boto3

from bench.handlers.minimal_chalice import handler

__all__ = ["boto3", "handler"]
