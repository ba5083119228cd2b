"""What things cost: one command per question, each runnable with `python -m benchmarks.NAME`."""
