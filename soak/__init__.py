"""A storm of failing runs: `python -m soak` (`make soak`). What must hold afterwards is in :mod:`soak.storm`."""
