"""The ClientHello message: what is read from it, and what makes it malformed."""

from __future__ import annotations

import ssl
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.wire import hello as hello_message
from meshgate.wire.clienthello import BadHello, ClientHello, parse_hello, version_name
from meshgate.wire.hello import MAX_PROTOCOLS, read_client_hello
from tests.hello_builder import (
    ALPN,
    GREASE,
    SERVER_NAME,
    SUPPORTED_VERSIONS,
    Extension,
    alpn_extension,
    build_body,
    build_hello,
    ech_extension,
    handshake_message,
    padding_extension,
    post_quantum_key_share,
    record,
    sni_extension,
    uint,
    vector,
    versions_extension,
)


def read(*extensions: Extension) -> ClientHello:
    """The hello that carries these extensions."""
    return read_body(build_body(extensions))


def read_body(body: bytes) -> ClientHello:
    """The hello that has this body."""
    hello = parse_hello(record(handshake_message(body)))
    assert hello is not None
    return hello


def client_hello_of_openssl(name: str | None, protocols: list[str]) -> bytes:
    """The hello that the OpenSSL of this Python sends for a name and protocols."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(protocols)
    sent = ssl.MemoryBIO()
    connection = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=name)
    try:
        connection.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return sent.read()


class ServerNameTests(SynchronousTestCase):
    """The name that routes are looked up by."""

    def refused(self, *names: str | bytes) -> str:
        """Check that these names are refused; return the reason."""
        return str(self.assertRaises(BadHello, read, sni_extension(*names)))

    def test_it_is_lower_cased(self) -> None:
        """A name is the same in any case."""
        self.assertEqual(read(sni_extension("Echo.EXAMPLE.com")).sni, "echo.example.com")

    def test_one_trailing_dot_is_cut(self) -> None:
        """A fully qualified name is the name without its dot; a second dot is part of the name."""
        self.assertEqual(read(sni_extension("example.com.")).sni, "example.com")
        self.assertEqual(read(sni_extension("example.com..")).sni, "example.com.")

    def test_unusual_names_are_taken_as_they_are(self) -> None:
        """A single label, underscores, punycode and IP addresses are names like any other."""
        for name in (
            "localhost",
            "outbound_.80_._.web.default",
            "xn--bcher-kva.example",
            "192.0.2.1",
            "2001:db8::1",
        ):
            self.assertEqual(read(sni_extension(name)).sni, name)

    def test_no_extensions_at_all_is_no_name(self) -> None:
        """A hello without an extension block, or with an empty one, asks for no name."""
        self.assertIsNone(read_body(build_body(None)).sni)
        self.assertIsNone(read_body(build_body(())).sni)

    def test_other_extensions_alone_are_no_name(self) -> None:
        """A hello that offers protocols and versions only asks for no name."""
        self.assertIsNone(read(alpn_extension(["h2"]), versions_extension([0x0304])).sni)

    def test_an_empty_name_is_no_name(self) -> None:
        """An empty host name, the root's dot alone, and a list without entries ask for no name."""
        self.assertIsNone(read(sni_extension("")).sni)
        self.assertIsNone(read(sni_extension(".")).sni)
        self.assertIsNone(read(sni_extension()).sni)

    def test_an_entry_of_another_type_is_stepped_over(self) -> None:
        """An entry that is no host name counts for nothing, alone or before a host name."""
        other, host = b"\x07" + vector(2, b"\xff\x00"), b"\x00" + vector(2, b"example.com")
        self.assertIsNone(read((SERVER_NAME, vector(2, other))).sni)
        self.assertEqual(read((SERVER_NAME, vector(2, other + host))).sni, "example.com")
        self.assertEqual(read((SERVER_NAME, vector(2, host + other))).sni, "example.com")

    def test_two_host_names_are_refused(self) -> None:
        """Two entries of one type are forbidden, also if they agree or are empty."""
        self.assertIn("two host names", self.refused("a.example", "b.example"))
        self.refused("a.example", "a.example")
        self.refused("", "a.example")

    def test_two_extensions_are_refused(self) -> None:
        """The extension twice is forbidden, whichever of the two a server would take."""
        self.assertRaises(BadHello, read, sni_extension("a.example"), sni_extension("b.example"))

    def test_characters_that_no_host_has_are_refused(self) -> None:
        """NUL, other control characters, and bytes beyond ASCII are refused wherever they stand."""
        for bad in (b"\x00", b"\n", b"\r", b"\x1b", b"\x7f", b"\x80", "ü".encode(), b"\xff"):
            for name in (bad, b"a" + bad, bad + b".example", b"a.exam" + bad + b"ple"):
                self.refused(name)

    def test_its_length_is_limited(self) -> None:
        """A name of 255 bytes is read, one of 256 is refused."""
        self.assertEqual(read(sni_extension("a" * 255)).sni, "a" * 255)
        self.assertIn("256", self.refused("a" * 256))

    def test_lengths_that_disagree_are_refused(self) -> None:
        """List and name lengths have to fit the extension exactly, in both directions."""
        name = vector(2, b"example.com")
        entry = b"\x00" + name
        for content in (
            b"",
            b"\x00",
            uint(len(entry) - 1, 2) + entry,
            uint(len(entry) + 1, 2) + entry,
            vector(2, entry) + b"\x00",
            vector(2, entry[:-1]),
            vector(2, entry + b"\x00"),
            vector(2, b"\x00" + uint(12, 2) + b"example.com"),
            vector(2, b"\x00" + uint(10, 2) + b"example.com"),
            vector(2, b"\x00\x00"),
        ):
            self.assertRaises(BadHello, read, (SERVER_NAME, content))


class ProtocolsTests(SynchronousTestCase):
    """The application protocols offered."""

    def test_they_keep_their_order(self) -> None:
        """Every protocol of the list is there, first to last."""
        self.assertEqual(read(alpn_extension(["h2", "http/1.1", "acme-tls/1"])).alpn, ("h2", "http/1.1", "acme-tls/1"))

    def test_none_offered_is_an_empty_tuple(self) -> None:
        """A hello without the extension offers none."""
        self.assertEqual(read(sni_extension("example.com")).alpn, ())

    def test_grease_is_left_out(self) -> None:
        """Reserved values that mean nothing are not shown."""
        self.assertEqual(read(alpn_extension([b"\x0a\x0a", "h2", b"\xfa\xfa"])).alpn, ("h2",))

    def test_a_hostile_number_is_not_kept(self) -> None:
        """Of thousands of protocols the first 64 are reported, and the last one still has to fit."""
        wanted = [f"p{number}" for number in range(MAX_PROTOCOLS)]
        extension = alpn_extension(wanted + ["x"] * 5000)
        self.assertEqual(read(extension).alpn, tuple(wanted))
        broken = vector(2, extension[1][2:-2] + b"\x02x")
        self.assertRaises(BadHello, read, (ALPN, broken))

    def test_what_is_not_printable_is_escaped(self) -> None:
        """A protocol name of any bytes is safe in a log line."""
        self.assertEqual(read(alpn_extension([b"a\nb", b"\xff\x00"])).alpn, ("a\\nb", "\\xff\\x00"))

    def test_lengths_that_disagree_are_refused(self) -> None:
        """List and name lengths have to fit, and neither the list nor a name may be empty (RFC 7301)."""
        for content in (
            b"",
            b"\x00",
            vector(2, b""),
            vector(2, b"\x00"),
            vector(2, b"\x02h2\x00"),
            vector(2, b"\x03h2"),
            vector(2, b"\x02h2") + b"\x00",
            uint(4, 2) + b"\x02h2",
            uint(2, 2) + b"\x02h2",
        ):
            self.assertRaises(BadHello, read, (ALPN, content))


class VersionsTests(SynchronousTestCase):
    """The protocol versions offered."""

    def test_the_extension_counts(self) -> None:
        """With supported_versions, the message's own version does not count."""
        self.assertEqual(read(versions_extension([0x0304, 0x0303])).versions, (0x0304, 0x0303))

    def test_the_messages_own_version_counts_without_the_extension(self) -> None:
        """An older client offers what its message says, and any value is taken."""
        for version in (0, 0x0300, 0x0301, 0x0303, 0x0305, 0xFFFF):
            self.assertEqual(read_body(build_body(None, client_version=version)).versions, (version,))

    def test_grease_is_left_out(self) -> None:
        """Reserved values are not shown; with nothing else there, the message's own version counts."""
        self.assertEqual(read(versions_extension([0x7A7A, 0x0304, 0x7F1C])).versions, (0x0304, 0x7F1C))
        self.assertEqual(read(versions_extension([0xEAEA])).versions, (0x0303,))

    def test_lengths_that_disagree_are_refused(self) -> None:
        """The list has to fill the extension with at least one version, and whole ones only."""
        for content in (
            b"",
            b"\x00",
            b"\x01\x03",
            b"\x03\x03\x04\x03",
            b"\x04\x03\x04",
            b"\x02\x03\x04\x00",
            b"\x02\x03\x04\x03\x03",
        ):
            self.assertRaises(BadHello, read, (SUPPORTED_VERSIONS, content))

    def test_versions_have_names(self) -> None:
        """Known versions are shown in words, others in hexadecimal."""
        self.assertEqual(version_name(0x0304), "TLS 1.3")
        self.assertEqual(version_name(0x0300), "SSL 3.0")
        self.assertEqual(version_name(0x0305), "0x0305")


class FramingTests(SynchronousTestCase):
    """The fields around the extensions, and the extensions as a block."""

    def test_an_encrypted_hello_is_noticed(self) -> None:
        """The extension of Encrypted Client Hello is reported, and the name read is the outer one."""
        hello = read(sni_extension("public.example"), ech_extension())
        self.assertEqual((hello.sni, hello.ech), ("public.example", True))
        self.assertFalse(read(sni_extension("public.example")).ech)

    def test_grease_and_post_quantum_keys_change_nothing(self) -> None:
        """Unknown extensions around the known ones, and a large key share, leave the facts as they are."""
        hello = read(
            (GREASE, b""),
            post_quantum_key_share(),
            sni_extension("pq.example"),
            alpn_extension(["h2"]),
            versions_extension([0x1A1A, 0x0304]),
            (0x1A1A, b"\x00"),
        )
        self.assertEqual((hello.sni, hello.alpn, hello.versions), ("pq.example", ("h2",), (0x0304,)))
        self.assertGreater(hello.size, 1300)

    def test_empty_lists_are_for_the_server_to_judge(self) -> None:
        """A hello without session id, cipher suites and compression methods still has its name."""
        body = build_body([sni_extension("example.com")], session_id=b"", cipher_suites=b"", compression=b"")
        self.assertEqual(read_body(body).sni, "example.com")

    def test_a_long_session_id_is_refused(self) -> None:
        """A session id of 32 bytes is read, one of 33 is refused."""
        self.assertIsNone(read_body(build_body((), session_id=bytes(32))).sni)
        self.assertRaises(BadHello, read_body, build_body((), session_id=bytes(33)))

    def test_an_odd_size_of_cipher_suites_is_refused(self) -> None:
        """Cipher suites have two bytes each."""
        self.assertRaises(BadHello, read_body, build_body((), cipher_suites=bytes(3)))

    def test_a_body_that_ends_anywhere_is_refused(self) -> None:
        """Cut short at any byte, a body is malformed, save where its extensions would begin."""
        whole = build_body([sni_extension("example.com"), alpn_extension(["h2"])])
        head = build_body(None)
        for size in range(len(whole)):
            if size == len(head):
                self.assertIsNone(read_body(whole[:size]).sni)
            else:
                self.assertRaises(BadHello, read_body, whole[:size])

    def test_lengths_past_the_end_are_refused(self) -> None:
        """A session id, cipher suites or compression methods longer than the message are malformed."""
        start = b"\x03\x03" + bytes(32)
        for rest in (b"\x20", b"\x00\xff\xfe\x00", b"\x00\x00\x02\x13\x01\xff", b"\x00\x00\x02\x13\x01\x01"):
            self.assertRaises(BadHello, read_body, start + rest)

    def test_the_extension_block_fills_the_body(self) -> None:
        """Bytes after the block, or a block longer than the body, are malformed."""
        body, head = build_body([sni_extension("example.com")]), build_body(None)
        self.assertRaises(BadHello, read_body, body + b"\x00")
        self.assertRaises(BadHello, read_body, body + b"\x00\x17\x00\x00")
        self.assertRaises(BadHello, read_body, head + b"\x00\x01")
        self.assertRaises(BadHello, read_body, head + vector(2, b"\x00"))

    def test_a_broken_extension_after_the_name_spoils_the_hello(self) -> None:
        """A name is not used when a later extension does not fit, though a hasty reader would have it."""
        name, data = sni_extension("example.com")
        good = uint(name, 2) + vector(2, data)
        for bad in (b"\x00\x17\x00", b"\x00\x17\x00\x01", b"\x00\x17\xff\xff" + bytes(40)):
            self.assertRaises(BadHello, read_body, build_body(None) + vector(2, good + bad))

    def test_no_extension_may_come_twice(self) -> None:
        """RFC 8446, section 4.2 holds for every type, those that are not read included."""
        self.assertRaises(BadHello, read, (0x4469, b""), sni_extension("example.com"), (0x4469, b""))

    def test_bytes_around_the_message_are_not_read(self) -> None:
        """A message that lies within other bytes is read as if it stood alone, and so are its faults."""
        body = build_body([sni_extension("example.com")])
        alone = read_client_hello(body, 0, len(body), 1)
        self.assertEqual(read_client_hello(b"\xff" * 9 + body + b"\xff" * 9, 9, 9 + len(body), 1), alone)
        for size in set(range(len(body))) - {len(build_body(None))}:
            self.assertRaises(BadHello, read_client_hello, body, 0, size, 1)


class RoundTripTests(SynchronousTestCase):
    """Facts that go into a hello come out of it."""

    NAMES = st.from_regex(r"[a-z0-9_-]{1,20}(\.[a-z0-9-]{1,20}){0,5}", fullmatch=True)
    # Two of the values that are set aside for GREASE are made of letters.
    PROTOCOL = st.from_regex(r"[a-z0-9./-]{1,20}", fullmatch=True).filter(lambda name: name not in ("jj", "zz"))
    PROTOCOLS = st.lists(PROTOCOL, max_size=6)

    @settings(deadline=None, max_examples=200)
    @given(st.none() | NAMES, PROTOCOLS, st.lists(st.integers(0x0300, 0x0304), max_size=5), st.booleans())
    def test_a_built_hello_is_read_back(
        self, name: str | None, protocols: list[str], versions: list[int], ech: bool
    ) -> None:
        """Any name, protocols and versions that are built into a hello are read from it."""
        wire = build_hello(name, protocols, [ech_extension()] if ech else [], versions=versions)
        expected = ClientHello(name, tuple(protocols), tuple(versions) or (0x0303,), ech, 1, len(wire) - 5)
        self.assertEqual(parse_hello(wire), expected)

    @settings(deadline=None, max_examples=50)
    @given(st.none() | st.from_regex(r"[a-z]{1,20}(\.[a-z]{1,20}){1,5}", fullmatch=True), PROTOCOLS)
    def test_a_real_clients_hello_is_read_back(self, name: str | None, protocols: list[str]) -> None:
        """Any name and protocols that OpenSSL offers are read from its hello."""
        hello = parse_hello(client_hello_of_openssl(name, protocols))
        assert hello is not None
        self.assertEqual((hello.sni, hello.alpn), (name, tuple(protocols)))
        self.assertIn(0x0304, hello.versions)


def usual_body() -> bytes:
    """A hello as large as most are, 517 bytes with its record, with a little of everything in it."""
    extensions = [
        (GREASE, b""),
        sni_extension("Shop.example.com"),
        (23, b""),
        alpn_extension(["h2", "http/1.1"]),
        (51, vector(2, uint(29, 2) + vector(2, bytes(range(32))))),
        versions_extension([GREASE, 0x0304, 0x0303]),
        ech_extension(100),
    ]
    missing = 517 - 5 - 4 - 4 - len(build_body(extensions))
    return build_body([*extensions, padding_extension(missing)])


class CFormTests(SynchronousTestCase):
    """The form in C reads usual hellos, and accepts nothing that the module in Python refuses."""

    skip = None if hello_message._read_facts_in_c is not None else "only where it is compiled: make test-compiled"

    NAME = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=260)
    KNOWN = st.one_of(
        st.lists(NAME | st.binary(max_size=5), max_size=2).map(lambda names: sni_extension(*names)),
        st.tuples(st.integers(0, 9), NAME).map(
            lambda entry: (SERVER_NAME, vector(2, uint(entry[0], 1) + vector(2, entry[1].encode())))
        ),
        st.lists(st.binary(max_size=9), max_size=3).map(alpn_extension),
        st.lists(st.integers(0, 0xFFFF), max_size=3).map(versions_extension),
        st.integers(0, 9).map(ech_extension),
    )
    ANY = st.tuples(st.sampled_from([SERVER_NAME, ALPN, SUPPORTED_VERSIONS]), st.binary(max_size=9))
    OTHERS = st.lists(st.tuples(st.integers(60, 0xFFFF), st.binary(max_size=3)), max_size=80)
    EXTENSIONS = st.tuples(st.lists(KNOWN | ANY, max_size=4), OTHERS, st.booleans()).map(
        lambda parts: parts[1] + parts[0] if parts[2] else parts[0] + parts[1]
    )
    BODIES = st.builds(
        build_body,
        st.none() | EXTENSIONS,
        session_id=st.integers(0, 33).map(bytes),
        cipher_suites=st.integers(0, 9).map(bytes),
        compression=st.binary(max_size=2),
    )

    def is_read_in_c(self, data: bytes, start: int, end: int) -> bool:
        """Check that both forms agree on a message, unless the form in C leaves it to the other; return False then."""
        read_in_c = hello_message._read_facts_in_c
        assert read_in_c is not None
        facts = read_in_c(data, start, end)
        try:
            wanted = hello_message._read_facts(data, start, end)
        except BadHello:
            wanted = None
        if facts is not None and facts != wanted:
            self.fail(f"{data[start:end].hex()} means {facts} in C, {wanted} in Python")
        return facts is not None

    def test_the_usual_hello_is_read_in_c(self) -> None:
        """Hellos like a browser's, of OpenSSL, and minimal ones are read in C."""
        body = usual_body()
        self.assertEqual(len(body), 517 - 5 - 4)
        for openssl in (client_hello_of_openssl("a.example", ["h2"]), client_hello_of_openssl(None, [])):
            self.assertTrue(self.is_read_in_c(openssl, 9, len(openssl)))
        for bare in (
            body,
            build_body(None),
            build_body(()),
            build_body([sni_extension()]),
            build_body([(GREASE, b"")]),
        ):
            self.assertTrue(self.is_read_in_c(bare, 0, len(bare)))
        for name in ("a", "A.Example.", ".", "", "a" * 255, "a b", "[~!@^_`{|}", "192.0.2.1"):
            self.assertTrue(self.is_read_in_c(named := build_body([sni_extension(name)]), 0, len(named)))

    def test_any_byte_of_it_changed(self) -> None:
        """With any single byte changed, the form in C gives no facts that Python would not."""
        body = bytearray(usual_body())
        read_in_c = 0
        for at, usual in enumerate(body):
            for value in {0, 1, usual ^ 0x80, usual ^ 0x20, usual - 1 & 0xFF, usual + 1 & 0xFF, 0x2E, 0x7F, 0xFF}:
                body[at] = value
                read_in_c += self.is_read_in_c(bytes(body), 0, len(body))
            body[at] = usual
        self.assertGreater(read_in_c, len(body))

    def test_any_part_of_it_missing(self) -> None:
        """Cut short, begun late, or without any one of its bytes, there is nothing that is taken for facts."""
        body = usual_body()
        for at in range(len(body)):
            self.is_read_in_c(body, at, len(body))
            self.is_read_in_c(body[:at] + body[at + 1 :], 0, len(body) - 1)
            self.is_read_in_c(body[: at + 1] + body[at:], 0, len(body) + 1)
            if at != len(build_body(None)):
                self.assertFalse(self.is_read_in_c(body, 0, at))

    @settings(deadline=None, max_examples=500)
    @given(BODIES, st.binary(max_size=3), st.binary(max_size=3))
    def test_any_built_hello(self, body: bytes, before: bytes, after: bytes) -> None:
        """Both forms read any hello alike, whatever is around it."""
        self.is_read_in_c(before + body + after, len(before), len(before) + len(body))

    @settings(deadline=None, max_examples=200)
    @given(BODIES, st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=4))
    def test_any_built_hello_changed(self, body: bytes, changes: list[tuple[int, int]]) -> None:
        """Nor do they differ on what has become of it on its way."""
        changed = bytearray(body)
        for at, value in changes:
            changed[at % len(body)] = value
        self.is_read_in_c(bytes(changed), 0, len(changed))

    @settings(deadline=None, max_examples=200)
    @given(st.binary(max_size=200))
    def test_any_bytes(self, rest: bytes) -> None:
        """Bytes that are no hello are none to either form, also behind the beginning of one."""
        head = build_body(None)
        for data in (rest, head + rest, head + vector(2, rest)):
            self.is_read_in_c(data, 0, len(data))

    def test_it_reads_nothing_outside(self) -> None:
        """Positions outside the bytes are refused."""
        read_in_c: Any = hello_message._read_facts_in_c
        for start, end in ((-1, 9), (5, 4), (0, 10), (10, 11)):
            self.assertRaises(ValueError, read_in_c, bytes(9), start, end)
        for arguments in ((), (b"", 0), (bytearray(9), 0, 9), (b"", "0", 0), (b"", 0, None), (b"", 0, 0, 0)):
            self.assertRaises(TypeError, read_in_c, *arguments)
