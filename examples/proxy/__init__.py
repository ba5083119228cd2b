"""A proxy with composites, to start and to copy."""
