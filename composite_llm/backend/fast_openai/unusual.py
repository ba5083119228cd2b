"""Says that a call is none of ours."""


class Unusual(Exception):  # no error: LiteLLM makes the call
    """Nothing was sent, and LiteLLM's own way is to be taken."""
