"""Tests of :mod:`meshgate.routing.table_edits` and of its edits as bytes: any table is made of any other."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.routing.addresses import EVERYWHERE, Network
from meshgate.routing.table import (
    ANYWHERE,
    Addresses,
    ByAddress,
    Chain,
    Destination,
    Endpoint,
    Listener,
    ListenerKey,
    RoutingTable,
)
from meshgate.routing.table_edits import Draft, Edit, RemoveEntry, RemoveListener, SetEntry, SetField, edits_between
from meshgate.workers.messages import EDITS_IN_CHUNK, Unpacker, pack_edits
from tests import examples

NAMES = st.sampled_from(["a.example.com", "b.example.com", "c.example.com", "example.org"])
DESTINATIONS = st.builds(
    Destination,
    NAMES,
    st.just(443),
    endpoints=st.lists(st.builds(Endpoint, st.sampled_from(["10.0.0.1", "10.0.0.2"]), st.just(443)), max_size=2).map(
        tuple
    ),
)
CHAINS = st.builds(
    Chain,
    names=st.lists(NAMES, max_size=2).map(tuple),
    gateway=st.just("ns/gw"),
    server=st.just("tls"),
    virtual_service=st.sampled_from(["ns/one", "ns/two"]),
    rule=st.just("spec.tls[0].match[0]"),
    destinations=st.lists(DESTINATIONS, max_size=2).map(tuple),
)
LIMITED = st.dictionaries(st.sampled_from([ANYWHERE, Addresses(Network(8, 10), EVERYWHERE)]), CHAINS).map(ByAddress.of)
KEYS = st.builds(ListenerKey, st.sampled_from(["0.0.0.0", "::1"]), st.sampled_from([443, 8443]))


def listener(key: ListenerKey) -> st.SearchStrategy[Listener]:
    """Any listener of this address."""
    return st.builds(
        Listener,
        st.just(key),
        dual_stack=st.booleans(),
        sniffs=st.booleans(),
        exact=st.dictionaries(NAMES, CHAINS, max_size=4),
        suffixes=st.dictionaries(NAMES, CHAINS, max_size=2),
        catch_all=st.none() | CHAINS,
        by_address=st.dictionaries(NAMES, LIMITED, max_size=1),
    )


LISTENERS = st.sets(KEYS, max_size=3).flatmap(lambda keys: st.tuples(*map(listener, sorted(keys))))
TABLES = st.builds(
    RoutingTable, st.integers(0, 9), LISTENERS.map(lambda listeners: {each.key: each for each in listeners})
)


def copied(table: RoutingTable) -> RoutingTable:
    """A table of the same routes whose mappings may be edited."""
    listeners = table.listeners.values()
    copies = [
        replace(each, exact={**each.exact}, suffixes={**each.suffixes}, by_address={**each.by_address})
        for each in listeners
    ]
    return replace(table, listeners={each.key: each for each in copies})


def applied(before: RoutingTable, edits: list[Edit]) -> RoutingTable:
    """The table that the edits make of a copy of another."""
    draft = Draft(copied(before))
    draft.apply(edits)
    return draft.table()


def chain(name: str) -> Chain:
    """A chain that is told apart by its name."""
    return Chain((name,), "ns/gw", "tls", "ns/vs", "spec.tls[0].match[0]", ())


KEY = ListenerKey("0.0.0.0", 443)


def table_of(number: int) -> RoutingTable:
    """A table of so many routes on one port."""
    names = [f"host-{n}.example.com" for n in range(number)]
    return RoutingTable(1, {KEY: Listener(KEY, True, True, {name: chain(name) for name in names})})


class DifferenceTests(SynchronousTestCase):
    """Edits from one table to another."""

    @settings(deadline=None, max_examples=examples(200))
    @given(TABLES, TABLES)
    def test_the_edits_make_the_second_table(self, before: RoutingTable, after: RoutingTable) -> None:
        """Over random tables, the second comes out, and until then the first stays as it was."""
        mine, edits = copied(before), list(edits_between(before, after))
        draft = Draft(mine)
        draft.apply(edits)
        self.assertEqual(mine, before)
        self.assertEqual(draft.table(), after)

    @settings(deadline=None, max_examples=examples(100))
    @given(TABLES, TABLES)
    def test_edits_as_chunks(self, before: RoutingTable, after: RoutingTable) -> None:
        """Packed to chunks and applied to the first table one chunk after the other, they make the second."""
        draft, unpacker = Draft(copied(before)), Unpacker()
        for chunk in pack_edits(edits_between(before, after)):
            draft.apply(unpacker.unpack(chunk))
        self.assertEqual(draft.table(), after)

    @settings(deadline=None, max_examples=examples(100))
    @given(TABLES)
    def test_nothing_new_is_nothing(self, table: RoutingTable) -> None:
        """An equal table, be it of other objects, needs no edits."""
        equal = applied(RoutingTable(), list(edits_between(RoutingTable(), table)))
        self.assertEqual(list(edits_between(table, equal)), [])

    def test_one_route_of_many_is_one_edit(self) -> None:
        """The edits do not grow with the size of the table, and what stays is the same object afterwards."""
        before = table_of(1000)
        old = before.listeners[KEY]
        changed = replace(chain("host-7.example.com"), virtual_service="ns/other")
        exact = {**old.exact, "host-7.example.com": changed, "new.example.com": chain("new.example.com")}
        del exact["host-8.example.com"]
        after = RoutingTable(2, {KEY: replace(old, exact=exact)})
        edits = list(edits_between(before, after))
        self.assertEqual(
            edits,
            [
                SetField(None, "generation", 2),
                RemoveEntry(KEY, "exact", "host-8.example.com"),
                SetEntry(KEY, "exact", "host-7.example.com", changed),
                SetEntry(KEY, "exact", "new.example.com", chain("new.example.com")),
            ],
        )
        draft = Draft(before)
        draft.apply(edits)
        made = draft.table()
        self.assertEqual(made, after)
        self.assertIs(made.listeners[KEY].exact, old.exact)

    def test_a_listener_that_goes(self) -> None:
        """It is one edit, however many routes it had."""
        before = table_of(1000)
        self.assertEqual(list(edits_between(before, RoutingTable(1))), [RemoveListener(KEY)])

    def test_a_listener_that_stays_is_the_same_object(self) -> None:
        """Nothing is copied of a listener that does not change."""
        before = table_of(10)
        other = Listener(ListenerKey("::1", 1), True, True)
        after = RoutingTable(2, {**before.listeners, other.key: other})
        draft = Draft(before)
        draft.apply(edits_between(before, after))
        made = draft.table()
        self.assertEqual(made, after)
        self.assertIs(made.listeners[KEY], before.listeners[KEY])


class ChunkTests(SynchronousTestCase):
    """Edits as bytes."""

    def test_a_large_table_comes_in_many_chunks(self) -> None:
        """No chunk has more edits than can be applied in a moment."""
        chunks = list(pack_edits(edits_between(RoutingTable(), table_of(1000))))
        unpacker = Unpacker()
        sizes = [len(unpacker.unpack(chunk)) for chunk in chunks]
        self.assertEqual(max(sizes), EDITS_IN_CHUNK)
        self.assertGreater(len(sizes), 1000 / EDITS_IN_CHUNK)

    def test_what_is_shared_stays_so(self) -> None:
        """A chain of several names is one object again, wherever its names stand."""
        shared = chain("shared")
        names = [f"host-{n}.example.com" for n in range(3 * EDITS_IN_CHUNK)]
        table = RoutingTable(1, {KEY: Listener(KEY, True, True, dict.fromkeys(names, shared))})
        draft, unpacker = Draft(RoutingTable()), Unpacker()
        for chunk in pack_edits(edits_between(RoutingTable(), table)):
            draft.apply(unpacker.unpack(chunk))
        self.assertEqual(len(set(map(id, draft.table().listeners[KEY].exact.values()))), 1)
