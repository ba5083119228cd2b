"""Why a request got no answer, in a few words: what went wrong on the way to the endpoint."""

from __future__ import annotations

import errno
import socket
import ssl

import httpx

from composite_llm.backend.litellm_evidence import chain

_OF_ERRNO: dict[int | None, str] = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.EPIPE: "connection reset",
    errno.ECONNABORTED: "connection reset",
    errno.EHOSTUNREACH: "host unreachable",
    errno.ENETUNREACH: "network unreachable",
    errno.ETIMEDOUT: "connection timed out",
    errno.EMFILE: "too many open files",
}


def transport_cause(error: BaseException) -> str | None:
    """The deepest cause that an exception of a call was raised from, where that is the network's; else None."""
    words = [words_of_link for link in chain(error) if (words_of_link := _words(link))]
    return words[-1] if words else None


def _words(link: BaseException) -> str | None:
    match link:
        case ssl.SSLCertVerificationError():
            return "its certificate is not trusted"
        case ssl.SSLError():
            return "the TLS handshake failed"
        case socket.gaierror():
            return "host name not found"
        case OSError():
            return _OF_ERRNO.get(link.errno)
        case httpx.ConnectTimeout():
            return "connection timed out"
        case httpx.RemoteProtocolError():
            return "closed the connection within its answer"
        case _:
            return None
