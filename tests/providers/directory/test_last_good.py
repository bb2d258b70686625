"""Tests of :mod:`meshgate.providers.directory.last_good`."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from meshgate.providers.directory import last_good
from meshgate.providers.directory.last_good import LastGood, content_of, read_file
from meshgate.providers.directory.tree import FileState, scan
from meshgate.resources.phases import at_once, no_rest
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.reader import DOCUMENTS_AT_ONCE, read_text
from tests.route_files import UNPARSABLE, RecordingSink, broken_gateway, gateway, large_gateway
from tests.support import new_folder


def state_of(path: Path) -> FileState:
    """The state of the file, by a scan."""
    return scan([str(path)]).files[str(path)]


class FileReadingTests(SynchronousTestCase):
    """One real file."""

    def setUp(self) -> None:
        """A file of one Gateway."""
        self.path = new_folder(self) / "a.yaml"
        self.path.write_text(gateway("a"))

    def test_its_bytes(self) -> None:
        """A file that can be read is its bytes."""
        self.assertEqual(content_of(str(self.path), state_of(self.path)), gateway("a").encode())

    def test_one_that_has_grown(self) -> None:
        """The limit holds for what is there, not only for what was seen."""
        state = state_of(self.path)
        self.patch(last_good, "MAX_FILE_SIZE", 1024)
        self.path.write_text("#" * 2000)
        self.assertEqual(content_of(str(self.path), state), "the file is larger than 0 MiB and is not read")

    def test_what_it_says(self) -> None:
        """The same as the text, with unknown fields as warnings."""
        text = gateway("a") + "  colour: red\n"
        self.path.write_text(text)
        reading = at_once(read_file(str(self.path), state_of(self.path), "files", "edge", no_rest))
        self.assertEqual(reading, read_text(text, str(self.path), "files", "edge", Severity.WARNING))

    def test_one_that_cannot_be_read(self) -> None:
        """The reason is the only problem, of the file as a whole."""
        reading = at_once(read_file(str(self.path), "it is not there", "files", "edge", no_rest))
        self.assertEqual((reading.readable, reading.documents), (False, ()))
        (problem,) = reading.problems
        self.assertEqual(problem.message, "the file cannot be read: it is not there")
        self.assertEqual(problem.provider, "files")

    def test_it_is_read_in_phases(self) -> None:
        """A file of many documents is read with rests between them."""
        self.path.write_text("".join(gateway(f"g{number}") for number in range(2 * DOCUMENTS_AT_ONCE + 1)))
        rests: list[None] = []

        async def rest() -> None:
            rests.append(None)

        reading = at_once(read_file(str(self.path), state_of(self.path), "files", "edge", rest))
        self.assertEqual((len(reading.documents), len(rests)), (2 * DOCUMENTS_AT_ONCE + 1, 2))


class LastGoodTests(SynchronousTestCase):
    """:class:`LastGood`, over the files of a real folder."""

    def setUp(self) -> None:
        """No files yet."""
        self.folder = new_folder(self)
        self.files = LastGood("files", "default")
        self.sink = RecordingSink()

    def write(self, name: str, *documents: str) -> Path:
        """Write a file of these documents with a fresh inode, so that its signature is new."""
        path = self.folder / name
        fresh = self.folder / "fresh"
        fresh.write_text("".join(documents))
        fresh.rename(path)
        return path

    def update(self) -> int:
        """Look at everything and read what changed; the number of files that were."""
        changes = self.files.changes(scan([str(self.folder)]).files)
        at_once(self.files.update(changes))
        self.sink.publish(self.files.snapshot())
        return len(changes)

    def problem(self, code: str) -> Problem:
        """The only problem with a code."""
        (problem,) = (problem for problem in self.sink.last.problems if problem.code == code)
        return problem

    def test_files_stand_in_the_order_of_their_paths(self) -> None:
        """The order is that in which kubectl would apply them: by path, then by document."""
        self.write("b.yaml", gateway("b1"), gateway("b0"))
        self.write("a.json", gateway("a"))
        self.update()
        self.assertEqual(list(self.sink.ports), ["a", "b1", "b0"])

    def test_resources_know_their_origin(self) -> None:
        """Provider, file and line are those of the document."""
        path = self.write("a.yaml", gateway("a"), gateway("b"))
        self.update()
        origin = self.sink.last.resources[1].origin
        self.assertEqual((origin.provider, origin.file, origin.document), ("files", str(path), 1))
        self.assertEqual(origin.line, gateway("a").count("\n") + 2)

    def test_the_default_namespace(self) -> None:
        """A document without a namespace gets the gateway's default."""
        self.files = LastGood("files", "edge")
        self.write("a.yaml", gateway("a"), gateway("b", namespace="other"))
        self.update()
        self.assertEqual([each.namespace for each in self.sink.last.resources], ["edge", "other"])

    def test_unknown_fields_are_warnings(self) -> None:
        """A running gateway serves a resource with an unknown field, and warns."""
        self.write("a.yaml", gateway("a") + "  colour: red\n")
        self.update()
        self.assertEqual(list(self.sink.ports), ["a"])
        self.assertIs(self.problem("MG1001").severity, Severity.WARNING)

    def test_only_what_changed_is_read(self) -> None:
        """A file with the same signature is not parsed again."""
        self.write("a.yaml", gateway("a"))
        self.write("b.yaml", gateway("b"))
        self.assertEqual(self.update(), 2)
        self.write("b.yaml", gateway("b", 8443))
        self.assertEqual(self.update(), 1)
        self.assertEqual(self.sink.ports, {"a": 443, "b": 8443})
        self.assertEqual(self.update(), 0)

    def test_reading_rests_after_each_document(self) -> None:
        """A file of many documents does not hold up the reactor: there is a rest after each."""
        self.write("a.yaml", *(gateway(f"g{number}", number + 1) for number in range(20)))
        self.update()

    def test_comparing(self) -> None:
        """A large resource is the same only if its last part is."""
        self.write("a.yaml", large_gateway("a", 500))
        self.update()
        self.write("a.yaml", large_gateway("a", 500))
        self.update()
        self.write("a.yaml", large_gateway("a", 500, last=444))
        self.update()
        ports = [snapshot.resources[0].spec.servers[-1].port.number for snapshot in self.sink.snapshots]
        self.assertEqual(ports, [443, 443, 444])
        self.write("a.yaml", large_gateway("a", 499))
        self.update()
        self.assertEqual(len(self.sink.last.resources[0].spec.servers), 499)

    def test_invalidate_reads_everything(self) -> None:
        """Also files with the same signature are read again."""
        self.write("a.yaml", gateway("a"))
        self.update()
        self.files.invalidate()
        self.assertEqual(self.update(), 1)
        self.assertEqual(list(self.sink.ports), ["a"])

    def test_what_is_the_same_stays_the_same(self) -> None:
        """A resource read again without a change is the same object, which is compared at once."""
        self.write("a.yaml", gateway("a"))
        self.update()
        self.write("a.yaml", gateway("a"))
        self.update()
        self.assertIs(self.sink.snapshots[1].resources[0], self.sink.snapshots[0].resources[0])

    def test_an_unparsable_file_stays_as_it_was(self) -> None:
        """The whole file keeps its last good version; the problems name the fault, and that."""
        path = self.write("a.yaml", gateway("a"), gateway("b"))
        self.update()
        self.write("a.yaml", gateway("a", 8443), UNPARSABLE)
        self.update()
        self.assertEqual(self.sink.ports, {"a": 443, "b": 443})
        fault = self.problem("MG0001")
        self.assertEqual((fault.file, fault.severity), (str(path), Severity.ERROR))
        self.assertGreater(fault.line, 0)
        self.assertEqual(self.problem("MG3012").message, "the last good version of the file keeps serving")

    def test_a_repaired_file_takes_effect(self) -> None:
        """The problems go with their cause."""
        self.write("a.yaml", gateway("a"))
        self.update()
        self.write("a.yaml", UNPARSABLE)
        self.update()
        self.write("a.yaml", gateway("a", 8443))
        self.update()
        self.assertEqual((self.sink.ports, self.sink.codes), ({"a": 8443}, []))

    def test_a_file_that_was_never_good(self) -> None:
        """There is no last good version, and no problem about one."""
        self.write("a.yaml", UNPARSABLE)
        self.write("b.yaml", gateway("b"))
        self.update()
        self.assertEqual((list(self.sink.ports), self.sink.codes), (["b"], ["MG0001"]))

    def test_an_invalid_document_stays_as_it_was(self) -> None:
        """Only that resource keeps its last good version; the file's others take effect."""
        self.write("a.yaml", gateway("a"), gateway("b"))
        self.update()
        self.write("a.yaml", gateway("c"), broken_gateway("a"), gateway("b", 8443))
        self.update()
        self.assertEqual(self.sink.ports, {"c": 443, "a": 443, "b": 8443})
        self.assertEqual(self.sink.codes, ["MG1003", "MG3012"])
        self.assertEqual(self.problem("MG3012").subject(), "Gateway default/a")

    def test_what_is_kept_stands_where_it_is_now(self) -> None:
        """A kept resource has the location of its present, invalid document, which is to be repaired."""
        self.write("a.yaml", gateway("a"))
        self.update()
        self.write("a.yaml", gateway("new"), broken_gateway("a"))
        self.update()
        kept = self.sink.last.resources[1]
        self.assertEqual((kept.name, kept.origin.document), ("a", 1))
        self.assertEqual(self.problem("MG3012").line, kept.origin.line)

    def test_it_is_kept_over_several_faults(self) -> None:
        """The last good version is not lost by a second fault, of whatever sort."""
        self.write("a.yaml", gateway("a"))
        for faulty in (broken_gateway("a"), UNPARSABLE, broken_gateway("a")):
            self.update()
            self.write("a.yaml", faulty)
        self.update()
        self.assertEqual(self.sink.ports, {"a": 443})

    def test_an_invalid_new_document(self) -> None:
        """One that was never good is left out, and the others serve."""
        self.write("a.yaml", broken_gateway("a"), gateway("b"))
        self.update()
        self.assertEqual((list(self.sink.ports), self.sink.codes), (["b"], ["MG1003"]))
        self.assertEqual([each.name for each in self.sink.last.refused], ["a"])

    def test_what_is_kept_is_not_refused(self) -> None:
        """The analysis looks at the version that serves, and at none once that is gone."""
        self.write("a.yaml", gateway("a"))
        self.update()
        self.write("a.yaml", broken_gateway("a"))
        self.update()
        self.assertEqual(self.sink.last.refused, ())
        self.write("a.yaml", gateway("a"))
        self.update()
        self.assertEqual(self.sink.last.refused, ())

    def test_problems_go_with_their_lines(self) -> None:
        """A comment in front moves the fields of a resource, which is the same otherwise."""
        self.write("a.yaml", gateway("a"))
        self.update()
        line, _ = self.sink.last.resources[0].origin.position("spec.servers[0].port.number")
        self.write("a.yaml", gateway("a").replace("  servers:", "  # all of them\n  servers:"))
        self.update()
        moved, _ = self.sink.last.resources[0].origin.position("spec.servers[0].port.number")
        self.assertEqual(moved, line + 1)

    def test_a_document_that_is_gone_is_withdrawn(self) -> None:
        """A resource that a readable file no longer contains no longer serves."""
        self.write("a.yaml", gateway("a"), gateway("b"))
        self.update()
        self.write("a.yaml", gateway("b"))
        self.update()
        self.assertEqual((list(self.sink.ports), self.sink.codes), (["b"], []))

    def test_an_emptied_file_withdraws(self) -> None:
        """An empty file is readable."""
        self.write("a.yaml", gateway("a"))
        self.update()
        self.write("a.yaml", "")
        self.update()
        self.assertEqual(self.sink.ports, {})

    def test_a_removed_file_withdraws(self) -> None:
        """Its routes and its problems go."""
        path = self.write("a.yaml", gateway("a"), broken_gateway("b"))
        self.update()
        path.unlink()
        self.update()
        self.assertEqual((self.sink.ports, self.sink.codes), ({}, []))

    def test_renamed_and_broken_at_once(self) -> None:
        """A resource is the same one in a file of another name, and keeps its last good version."""
        path = self.write("a.yaml", gateway("a"))
        self.update()
        path.unlink()
        self.write("b.yaml", broken_gateway("a"))
        self.update()
        self.assertEqual(self.sink.ports, {"a": 443})

    def test_an_unreadable_file_stays_as_it_was(self) -> None:
        """A file that cannot be read is like an unparsable one."""
        path = self.write("a.yaml", gateway("a"))
        self.update()
        path.unlink()
        os.symlink("nowhere", path)
        self.update()
        self.assertEqual(self.sink.ports, {"a": 443})
        shown = [str(problem).replace(str(self.folder), "FOLDER") for problem in self.sink.last.problems]
        self.assertEqual(
            shown,
            [
                "FOLDER/a.yaml: error[MG3010]: the file cannot be read: a symbolic link that leads nowhere",
                "FOLDER/a.yaml: info[MG3012]: the last good version of the file keeps serving",
            ],
        )

    def test_a_file_that_goes_before_it_is_read(self) -> None:
        """Between the scan and the reading a file may become unreadable."""
        path = self.write("a.yaml", gateway("a"))
        tree = scan([str(self.folder)])
        path.unlink()
        at_once(self.files.update(self.files.changes(tree.files)))
        (problem,) = self.files.snapshot().problems
        self.assertEqual(problem.message, "the file cannot be read: No such file or directory")

    def test_a_file_that_is_too_large(self) -> None:
        """Something huge is there by mistake, and is not read."""
        self.write("a.yaml", gateway("a"))
        self.update()
        self.patch(last_good, "MAX_FILE_SIZE", 1024 * 1024)
        self.write("a.yaml", gateway("a", 8443), "#" * 1024 * 1024)
        self.update()
        self.assertEqual(self.sink.ports, {"a": 443})
        self.assertEqual(self.problem("MG3010").message, "the file is larger than 1 MiB and is not read")

    def test_a_file_that_is_not_text(self) -> None:
        """Bytes that are not UTF-8 are a fault of the file, with a location."""
        (self.folder / "a.yaml").write_bytes(b"kind: \xff\n")
        self.update()
        self.assertEqual(self.sink.codes, ["MG0001"])

    def test_other_documents_are_no_fault(self) -> None:
        """ConfigMaps and the like lie in the same files; they are infos."""
        other = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: echo}\n"
        self.write("a.yaml", other, gateway("a"))
        self.update()
        self.assertEqual(list(self.sink.ports), ["a"])
        self.assertIs(self.problem("MG0006").severity, Severity.INFO)
