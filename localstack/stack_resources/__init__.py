"""CloudFormation resource types that LocalStack's free edition does not know and that others stand on."""
