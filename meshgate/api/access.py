"""
The access of clients: decisions about the head of a request, and the rights of the two users.

A page of a browser reaches any port of its machine, by a name of its own that it has resolved to a loopback address or
by a request from another site. So the Host header has to name this API, and a request of another site's page is
refused whatever its credentials are. And no client may send more requests than it should.

``admin`` may do everything, ``reader`` may read everything but Secrets. That is fixed, so the questions of ``kubectl
auth can-i`` are answered from the same function that decides on requests.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from meshgate.api.refusal import RefusedError
from meshgate.api.requests import ApiRequest
from meshgate.api.resource_types import READING_VERBS, TYPES
from meshgate.api.store_interface import value_at
from meshgate.api.target import Target

RATE: Final = 500.0
"""The requests a second that one client may send for long."""

BURST: Final = 5_000.0
"""The requests that one client may send at once, after a rest."""

FAILED_RATE: Final = 10.0
FAILED_BURST: Final = 100.0
"""The same for requests without valid credentials, by address."""

MOST_CLIENTS: Final = 1_000
"""The number of clients whose rates are remembered."""

_BEARER: Final = "bearer "
_IMPERSONATE: Final = "impersonate-"
_OWN_SITE: Final = ("", "none", "same-origin")


class RequestRates:
    """
    Token buckets, one for each client.

    :param rate: the tokens that come in a second.
    :param burst: the tokens that a bucket holds.
    """

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, client: str, now: float) -> None:
        """
        Count a request.

        :param now: seconds of a clock that never goes back.
        :raises RefusedError: if the client has sent too many.
        """
        tokens, before = self._buckets.pop(client, (self._burst, now))
        tokens = min(self._burst, tokens + (now - before) * self._rate)
        # The client that was silent the longest is forgotten first.
        if len(self._buckets) >= MOST_CLIENTS:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[client] = (max(tokens - 1, 0.0), now)
        if tokens < 1:
            raise RefusedError(429, "this client sends too many requests; try again", headers={"retry-after": "1"})


class Access:
    """
    The users and their rights.

    :param tokens: the users by their tokens; the last value says if the user may write.
    :param hosts: the names and addresses in Host headers that are this API's own, without a port.
    :param anonymous: the rights of requests without credentials, as the name of the user and if that one may write;
        None if there are none.
    """

    def __init__(
        self,
        tokens: Iterable[tuple[str, str, bool]],
        hosts: Iterable[str],
        anonymous: tuple[str, bool] | None = None,
    ) -> None:
        self._tokens = tuple(tokens)
        self._hosts = frozenset(host.lower() for host in hosts)
        self._anonymous = anonymous
        self._rates = RequestRates(RATE, BURST)
        self._failures = RequestRates(FAILED_RATE, FAILED_BURST)

    def use_tokens(self, tokens: Iterable[tuple[str, str, bool]]) -> None:
        """Take other tokens from now on, and no longer those of before."""
        self._tokens = tuple(tokens)

    def user(self, headers: Mapping[str, str], client: str, now: float) -> tuple[str, bool]:
        """
        The user who sends a request, and if that user may write.

        :param client: the address that it comes from.
        :param now: seconds of a clock that never goes back.
        :raises RefusedError: if there is none, or the client sends too many requests.
        """
        found = self._anonymous
        given = headers.get("authorization", "")
        if found is None and given.lower().startswith(_BEARER):
            token = given[len(_BEARER) :].strip().encode()
            for user, own, writes in self._tokens:  # each is compared, so that the time tells nothing
                if hmac.compare_digest(token, own.encode()):
                    found = (user, writes)
        if found is None:
            self._failures.take(client, now)
            raise RefusedError(401, "Unauthorized", headers={"www-authenticate": "Bearer"})
        self._rates.take(f"{found[0]} {client}", now)
        return found

    def acting(self, user: str, writes: bool, headers: Mapping[str, str]) -> tuple[str, bool]:
        """
        The user as whom a request is to be answered: the sender, or the one whom its headers impersonate.

        :raises RefusedError: if the sender may not do that, or there is no such user.
        """
        asked = [name for name in headers if name.startswith(_IMPERSONATE)]
        if not asked:
            return user, writes
        name = headers.get(f"{_IMPERSONATE}user", "")
        known = {each: may_write for each, _, may_write in self._tokens}
        if not writes and name != user:
            raise RefusedError(403, f"the user {user} cannot impersonate others")
        if name not in known:
            raise RefusedError(403, f"there is no user {name[:60]!r} to impersonate, only {' and '.join(known)}")
        return name, known[name]

    def check_origin(self, headers: Mapping[str, str], address: str) -> None:
        """
        Check that no page of a browser sends a request by a name of its own, or from another site.

        :param address: the address of this API that the client has connected to.
        :raises RefusedError: if one does.
        """
        if not self._is_own(headers.get("host", ""), address):
            raise RefusedError(403, "the Host header does not name this API")
        origin = headers.get("origin")
        if origin is not None and not self._is_own(_host_of(origin), address):
            raise RefusedError(403, "the API is not for pages of other sites: the Origin header names one")
        if headers.get("sec-fetch-site", "").strip().lower() not in _OWN_SITE:
            raise RefusedError(403, "the API is not for pages of other sites: the Sec-Fetch-Site header names one")

    def _is_own(self, host: str, address: str) -> bool:
        """True for a Host header of this API: a name of it, or the address itself, which no other site can have."""
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        name = name.removeprefix("[").removesuffix("]").lower()
        return name in self._hosts or name == address.lower()


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


READS: Final = ("GET", "HEAD")

_SECRETS: Final = "secrets"


def is_allowed(writes: bool, verb: str, group: str, plural: str) -> bool:
    """
    True if a user may do something.

    :param writes: True for a user who may write.
    :param plural: the name of the type, or ``*``.
    """
    if writes:
        return True
    return verb in READING_VERBS and not (group in ("", "*") and plural in (_SECRETS, "*"))


def check_access(request: ApiRequest, target: Target) -> None:
    """
    Check that the user may do what a request asks for, and that its type takes it.

    :raises RefusedError: if not.
    """
    type_, reads = target.type, request.method in READS
    if not reads and not request.writes:
        raise RefusedError(403, "this user may only read", type=type_, name=target.name)
    if not is_allowed(request.writes, "get" if reads else "", type_.group, type_.plural):
        raise RefusedError(403, "this user may not read Secrets", type=type_, name=target.name)
    if type_.instead and not reads:
        raise RefusedError(405, f"{type_.qualified_name} cannot be written: {type_.instead}", type=type_)


def access_review(request: ApiRequest, spec: Any) -> dict[str, Any]:
    """The status of a SelfSubjectAccessReview."""
    attributes = value_at(spec, ("resourceAttributes",))
    if not isinstance(attributes, Mapping):
        verb = str(value_at(spec, ("nonResourceAttributes", "verb")) or "")
        return {"allowed": request.writes or verb == "get"}
    verb, group, plural = (str(attributes.get(key) or "") for key in ("verb", "group", "resource"))
    return {"allowed": is_allowed(request.writes, verb, group, plural)}


def rules_review(request: ApiRequest) -> dict[str, Any]:
    """The status of a SelfSubjectRulesReview: all that the user may do."""
    rules = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}] if request.writes else list(_reading_rules())
    paths = {"verbs": ["*" if request.writes else "get"], "nonResourceURLs": ["*"]}
    return {"resourceRules": rules, "nonResourceRules": [paths], "incomplete": False}


def _reading_rules() -> Iterator[dict[str, Any]]:
    found: dict[str, list[str]] = {}
    for each in TYPES:
        if each.listed and is_allowed(False, "get", each.group, each.plural):
            found.setdefault(each.group, []).append(each.plural)
    for group, plurals in found.items():
        yield {"verbs": list(READING_VERBS), "apiGroups": [group], "resources": plurals}
