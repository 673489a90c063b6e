"""A runtime executor for LocalStack: each execution environment of a Lambda is a local process."""
