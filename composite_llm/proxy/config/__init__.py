"""The configuration file of LiteLLM's proxy, checked for what concerns composites before a client finds out."""
