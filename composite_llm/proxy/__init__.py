"""What exists on LiteLLM's proxy alone: its requests, its clients, what they may do and what they are charged."""
