"""CloudFormation resource types that LocalStack's free edition does not support and others depend on."""
