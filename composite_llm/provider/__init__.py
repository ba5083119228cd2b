"""The way in: LiteLLM's custom-provider methods to one run, and what comes of it back into LiteLLM's forms."""
