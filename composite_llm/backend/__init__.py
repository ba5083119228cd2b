"""The seam between the engine and what sends an attempt."""
