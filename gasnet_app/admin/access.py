"""Who may administer: looked at when the page is built, and again in every callback."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import panel as pn

# A request that was passed on by another machine, or by a proxy on this one, comes from who knows where.
PASSED_ON = (
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
)
HOW = (
    "To switch administration on: open the page on the server's own machine at 127.0.0.1 (over SSH: "
    "ssh -L 5006:127.0.0.1:5006 SERVER), or serve with a login (gasnet serve --login-file FILE, or panel serve with an "
    "OAuth provider) and name the admins in GASNET_ADMINS, with commas between. docs/admin.md says more."
)


@dataclass(frozen=True)
class Visitor:
    """Who looks at this session. user : the login, "" without one; why : what keeps them from administering."""

    user: str
    address: str
    why: str = ""

    @property
    def admin(self) -> bool:
        """True when they may start, stop and promote."""
        return not self.why

    @property
    def name(self) -> str:
        """For the history and the audit log."""
        return self.user or f"local ({self.address})"


def judge(user: str | None, login: bool, address: str, headers: Iterable[str], admins: Iterable[str]) -> Visitor:
    """Who may. login : whether the server asks for one; headers : names of those that the request had."""
    if login or user:
        name = user or ""
        if not name:
            return Visitor("", address, "Nobody is logged in.")
        listed = name in admins and name != "guest"
        return Visitor(name, address, "" if listed else f"{name} is not among the admins (GASNET_ADMINS).")
    passed_on = sorted({h for h in map(str.lower, headers) if h in PASSED_ON or h.startswith("x-forwarded")})
    if passed_on:
        return Visitor("", address, f"This request was passed on by a proxy ({', '.join(passed_on)}), without a login.")
    if not _loopback(address):
        return Visitor("", address, f"This request came from {address or 'an unknown address'}, without a login.")
    return Visitor("", address)


def visitor() -> Visitor:
    """Of the session whose page is being built, or whose callback runs."""
    context = pn.state.curdoc.session_context if pn.state.curdoc else None
    request: Any = getattr(context, "request", None)
    if request is None:
        return Visitor("", "", "There is no session of a browser here.")
    real = getattr(request, "_request", request)  # as it came, before anything that a client may have put in a token
    headers = [*request.headers, *getattr(real, "headers", ())]
    admins = {name.strip() for name in os.environ.get("GASNET_ADMINS", "").split(",")} - {""}
    login = bool(pn.config.basic_auth or pn.config.oauth_provider)
    return judge(pn.state.user, login, str(getattr(real, "remote_ip", "") or ""), headers, admins)


def _loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return bool((mapped or found).is_loopback)
