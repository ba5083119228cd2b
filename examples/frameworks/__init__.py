"""A composite as the model of an agent framework, one framework a file; each is run by `make test-ecosystem`."""
