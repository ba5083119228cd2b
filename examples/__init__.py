"""Runnable examples; each is run by a test or a make target."""
