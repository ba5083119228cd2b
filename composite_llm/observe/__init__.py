"""What is told about a run: one sink per file, each an `Observer`."""
