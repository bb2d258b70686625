"""Tests of :mod:`meshgate.api.sqlite_store`."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import gatherResults
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from meshgate.api import sqlite_store
from meshgate.api.sqlite_store import SqliteStore
from meshgate.api.store_interface import Author, IObjectStore, StoreError, StoreFullError
from tests.api.api_objects import gateway
from tests.api.store_suite import GATEWAYS, StoreSuite, change
from tests.support import IMPORT_ROOT, new_folder, reactor

WRITER = """
import sys
from pathlib import Path
from twisted.internet import reactor
from meshgate.api.sqlite_store import SqliteStore
from meshgate.api.store_interface import Author, Change

store = SqliteStore(Path(sys.argv[1]), reactor)
number = store.open().revision

def write(_=None):
    global number
    if _ is None and number:
        print(number, flush=True)
    number += 1
    name = f"g{number % 7}"
    object_ = {"apiVersion": "v1", "kind": "K", "metadata": {"name": name, "number": number}}
    store.write([Change(number, 0.0, "k", "", name, None, object_, Author())]).addCallback(write)

reactor.callWhenRunning(write, 0)
reactor.run()
"""
"""Writes one change after the other, and prints the number of each that is acknowledged."""


class StorePageTests(SynchronousTestCase):
    """The page for authors of stores."""

    def test_the_table(self) -> None:
        """It has every method of the interface with its arguments, and no other."""
        page = IMPORT_ROOT / "docs" / "howto" / "write-a-store.rst"
        if not page.exists():
            raise SkipTest("these tests are not run from a checkout")
        found = re.findall(r"(?m)^``(\w+)\((.*?)\)``", page.read_text(encoding="utf-8"))
        methods = {name: IObjectStore[name].getSignatureInfo()["positional"] for name in IObjectStore.names()}
        self.assertEqual(dict(found), {name: ", ".join(arguments) for name, arguments in methods.items()})


class SqliteStoreTests(StoreSuite, TestCase):
    """The store in a file."""

    timeout = 120

    def setUp(self) -> None:
        """The file."""
        self.file = Path(new_folder(self)) / "api.sqlite"

    def make(self) -> SqliteStore:
        """A store in the file."""
        return SqliteStore(self.file, reactor)

    async def test_only_its_owner_reads_it(self) -> None:
        """The file is readable by its owner alone, since Secrets are in it."""
        store = self.make()
        store.open()
        self.assertEqual(self.file.stat().st_mode & 0o777, 0o600)
        await store.close()

    async def test_a_refused_write(self) -> None:
        """A write that the file refuses fails with a sentence, leaves the file as it was, and the next one works."""
        store = self.make()
        store.open()
        await store.write([change(1, "a", gateway("a"))])
        error: Any = await self.assertFailure(store.write([change(2, "b", gateway("b")), change(1, "c")]), StoreError)
        self.assertIn(str(self.file), str(error))
        await store.write([change(3, "c", gateway("c"))])
        await store.close()
        again = self.make()
        content = again.open()
        self.assertEqual([each.object["metadata"]["name"] for each in content.objects], ["a", "c"])
        await again.close()

    async def test_a_full_disk(self) -> None:
        """A write without space for it fails with a sentence, and so does all of its group; later ones work."""
        store = self.make()
        store.open()
        await store.write([change(1, "a", gateway("a"))])
        await self.work(store, "PRAGMA max_page_count = 12")  # SQLite refuses as it does when the disk is full
        large = gateway("b", annotations={"text": "x" * 100_000})
        both = [store.write([change(2, "b", large)]), store.write([change(3, "c", gateway("c"))])]
        for each in both:
            error: Any = await self.assertFailure(each, StoreFullError)
            self.assertRegex(
                str(error), rf"^nothing was written: the disk of {re.escape(str(self.file.parent))} is full; "
            )
        self.assertEqual([each.revision for each in await store.history(9)], [1])
        await self.work(store, "PRAGMA max_page_count = 10000")
        await store.write([change(4, "b", large)])
        await store.close()
        again = self.make()
        self.assertEqual([each.object["metadata"]["name"] for each in again.open().objects], ["a", "b"])
        await again.close()

    async def work(self, store: SqliteStore, statement: str) -> None:
        """Run a statement in the store's connection, which alone it affects."""
        await store._ask(lambda connection: connection.execute(statement).fetchone())

    async def test_a_group_commit(self) -> None:
        """Writes that wait at once share a transaction, and so an fsync; each of them is acknowledged."""
        store = self.make()
        store.open()
        commits: list[str] = []
        await store._ask(lambda connection: connection.set_trace_callback(commits.append))
        waiting = [store.write([change(number, f"g{number}", gateway("a", number))]) for number in range(1, 101)]
        await gatherResults(waiting)
        await store.close()
        self.assertLessEqual(commits.count("COMMIT"), 10)

    async def test_durable(self) -> None:
        """The file is in WAL mode, and each commit waits until the disk has it."""
        store = self.make()
        store.open()
        found = await store._ask(
            lambda connection: [
                connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
            ]
        )
        self.assertEqual(found, ["wal", 2])
        await store.close()

    def refused(self) -> str:
        """The message of a store that cannot be opened."""
        return str(self.assertRaises(StoreError, self.make().open))

    def test_a_damaged_file(self) -> None:
        """A file that is no database, or of which some bytes are damaged, is refused with a way out."""
        self.file.write_bytes(b"this is no database, but longer than its header" * 20)
        message = self.refused()
        self.assertIn("not a database", message)
        self.assertIn("move the file away", message)

    async def test_a_newer_file(self) -> None:
        """So is a file that a newer meshgate has written."""
        store = self.make()
        store.open()
        await store.close()
        with sqlite3.connect(self.file) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
        self.assertIn("a newer meshgate has written it (format 99", self.refused())

    async def test_an_older_file(self) -> None:
        """A file that the first migration alone has made gets the later ones by number, and keeps its content."""
        with sqlite3.connect(self.file) as connection:
            connection.executescript(f"{sqlite_store._MIGRATIONS[0]}; PRAGMA user_version = 1;")
            document = json.dumps(gateway("old"))
            connection.execute("INSERT INTO objects VALUES (?, 'default', 'old', ?)", (GATEWAYS, document))
            connection.execute(
                "INSERT INTO history VALUES (7, 7.0, ?, 'default', 'old', NULL, ?, 'admin', 'kubectl')",
                (GATEWAYS, document),
            )
            connection.execute("UPDATE counters SET value = 7")
        connection.close()
        second = "ALTER TABLE objects ADD COLUMN note TEXT NOT NULL DEFAULT ''; INSERT INTO counters VALUES ('two', 2)"
        third = "INSERT INTO counters SELECT 'three', value + 1 FROM counters WHERE name = 'two'"
        present = sqlite_store._MIGRATIONS
        for wrong in ("SELECT * FROM nowhere", "INSERT INTO counters VALUES ('two', 2)"):
            self.patch(sqlite_store, "_MIGRATIONS", (*present, second, wrong))
            self.assertIn("cannot be used", self.refused())
        self.patch(sqlite_store, "_MIGRATIONS", (*present, second, third))
        for _ in range(2):  # the second time there is nothing to do
            store = self.make()
            content = store.open()
            self.assertEqual((content.revision, [each.object for each in content.objects]), (7, [gateway("old")]))
            (known,) = await store.history(10)
            self.assertEqual((known.revision, known.author), (7, Author("admin", "kubectl")))
            counters = await store._ask(lambda connection: connection.execute("SELECT * FROM counters").fetchall())
            self.assertEqual(sorted(counters), [("revision", 7), ("three", 3), ("two", 2)])
            await store.close()

    def test_no_folder(self) -> None:
        """So is a file in a folder that does not exist."""
        self.file = self.file.parent / "nowhere" / "api.sqlite"
        self.assertIn("cannot be used", self.refused())

    async def test_killed_writers(self) -> None:
        """Whatever a writer that is killed has acknowledged is there afterwards, and nothing is half there."""
        randomness = random.Random(os.getpid())
        for _ in range(5):
            process = subprocess.Popen(
                [sys.executable, "-c", WRITER, self.file],
                env={**os.environ, "PYTHONPATH": str(IMPORT_ROOT)},
                stdout=subprocess.PIPE,
                text=True,
            )
            output = process.stdout
            assert output is not None
            acknowledged = 0
            for _ in range(randomness.randint(2, 40)):
                acknowledged = int(output.readline())
            process.send_signal(signal.SIGKILL)
            acknowledged = max([acknowledged, *map(int, output.read().split("\n")[:-1])])
            output.close()
            process.wait()
            store = self.make()
            content = store.open()
            self.assertGreaterEqual(content.revision, acknowledged)
            numbers = {each.object["metadata"]["number"] for each in content.objects}
            self.assertEqual(numbers, set(range(max(1, content.revision - 6), content.revision + 1)))
            await store.close()
