"""Tests of :mod:`meshgate.api.access`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshgate.api.access import BURST, FAILED_BURST, MOST_CLIENTS, RATE, Access, RequestRates
from meshgate.api.refusal import RefusedError

USERS = [("admin", "secret-a", True), ("reader", "secret-r", False)]


class AccessTests(SynchronousTestCase):
    """Users, hosts and origins."""

    def test_users(self) -> None:
        """The token decides; other schemes, and a part of a token, are nobody."""
        access = Access(USERS, ["localhost"])
        for given, user in (("Bearer secret-a", ("admin", True)), ("bearer  secret-r ", ("reader", False))):
            self.assertEqual(access.user({"authorization": given}, "", 0), user)
        for given in ("", "Bearer", "Bearer ", "Bearer secret", "Basic secret-a", "secret-a", "Bearer \xff"):
            refused = self.assertRaises(RefusedError, access.user, {"authorization": given}, "", 0)
            self.assertEqual(refused.code, 401)

    def test_other_tokens(self) -> None:
        """A token that is replaced counts no longer."""
        access = Access(USERS, [])
        access.use_tokens([("admin", "secret-b", True)])
        self.assertRaises(RefusedError, access.user, {"authorization": "Bearer secret-a"}, "", 0)
        self.assertEqual(access.user({"authorization": "Bearer secret-b"}, "", 0), ("admin", True))

    def test_nobody(self) -> None:
        """Without credentials, everybody is the same user."""
        access = Access((), [], ("anonymous", False))
        for given in ("", "Bearer secret-a"):
            self.assertEqual(access.user({"authorization": given}, "", 0), ("anonymous", False))

    def test_hosts(self) -> None:
        """A Host header names the API, or the address that the client has connected to."""
        access = Access(USERS, ["localhost", "::1", "API.example.com"])
        for host in ("localhost", "LOCALHOST:1", "[::1]:18443", "192.0.2.1:18443", "api.example.com"):
            access.check_origin({"host": host}, "192.0.2.1")
        for host in ("", "evil.example.com", "localhost.evil.example.com", "192.0.2.2", "[::2]", "a:b:c", ":1"):
            self.assertRaises(RefusedError, access.check_origin, {"host": host}, "192.0.2.1")


class RateTests(SynchronousTestCase):
    """Requests that come too fast."""

    def test_a_burst(self) -> None:
        """A client may send many at once, and then as many as the rate allows; another one is not concerned."""
        rates = RequestRates(10, 5)
        for _ in range(5):
            rates.take("a", 0)
        refused = self.assertRaises(RefusedError, rates.take, "a", 0)
        self.assertEqual((refused.code, refused.headers["retry-after"]), (429, "1"))
        rates.take("b", 0)
        for _ in range(2):
            rates.take("a", 0.2)
        self.assertRaises(RefusedError, rates.take, "a", 0.2)

    def test_many_clients(self) -> None:
        """The memory for clients is limited."""
        rates = RequestRates(1, 1)
        for number in range(MOST_CLIENTS * 3):
            rates.take(str(number), number)
        self.assertEqual(len(rates._buckets), MOST_CLIENTS)

    def test_guesses(self) -> None:
        """Who guesses tokens is slowed down; who has one at the same address is not."""
        access = Access(USERS, [])
        refusals = [self.assertRaises(RefusedError, access.user, {}, "::1", 0) for _ in range(int(FAILED_BURST) + 1)]
        self.assertEqual([each.code for each in refusals[-2:]], [401, 429])
        for _ in range(int(BURST)):
            access.user({"authorization": "Bearer secret-a"}, "::1", 0)
        self.assertRaises(RefusedError, access.user, {"authorization": "Bearer secret-a"}, "::1", 0)
        access.user({"authorization": "Bearer secret-r"}, "::1", 0)
        access.user({"authorization": "Bearer secret-a"}, "::1", 1 / RATE)
