"""The signatures that a server has put under what its models thought."""

import hashlib


class Signatures:
    """Which text each signature was given for; only these are taken back."""

    def __init__(self) -> None:
        """Start with none given."""
        self._texts: dict[str, str] = {}

    def give(self, text: str, signature: str | None = None) -> str:
        """Return the signature of a text: the one named, or one of its own."""
        given = signature if signature is not None else _digest(text)
        self._texts[given] = text
        return given

    def given(self, signature: object) -> bool:
        """Whether it is one of ours."""
        return isinstance(signature, str) and signature in self._texts

    def fits(self, signature: object, text: object) -> bool:
        """Whether it is one of ours, and given for this text."""
        return isinstance(signature, str) and self._texts.get(signature) == text


def _digest(text: str) -> str:
    # Hexadecimal digits are Base64 too, which clients take a signature for.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
