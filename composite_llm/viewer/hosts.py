"""Whom the viewer answers: addresses of this machine, under names that no other site can take."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

LOCAL_NAME = "localhost"


def is_loopback(host: str) -> bool:
    """Whether a server that listens there is reached from this machine alone."""
    if host == LOCAL_NAME:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def names_this_machine(host_header: str) -> bool:
    """Whether a `Host` header names the loopback.

    A page of another site can give its own name the address 127.0.0.1 and then read what is served there as if it were
    its own ("DNS rebinding"); the header still holds that name. The port is not looked at: a tunnel may change it.
    """
    try:
        name = urlsplit(f"//{host_header}").hostname
    except ValueError:
        return False
    return name is not None and "@" not in host_header and is_loopback(name)
