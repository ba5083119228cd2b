"""What a run and its record consist of: data and pure functions. No I/O, no HTML, and nothing of LiteLLM."""
