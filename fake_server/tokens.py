"""The one rule by which this server counts tokens."""

CHARS_PER_TOKEN = 4


def count_tokens(text: str) -> int:
    """Return ``ceil(len(text) / 4)``, and 1 for an empty text: nothing is free."""
    return max(1, token_ceiling(len(text)))


def token_ceiling(chars: int) -> int:
    """Return the tokens that so many characters make, 0 for none."""
    return -(-chars // CHARS_PER_TOKEN)
