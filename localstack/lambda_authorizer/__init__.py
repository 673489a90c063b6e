"""Lambda authorizers for LocalStack's API Gateway, whose free edition does not invoke them."""
