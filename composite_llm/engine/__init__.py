"""How calls are made: stages, subcalls, attempts, retries, limits and the record of all of it. Knows no strategy and no LiteLLM."""
