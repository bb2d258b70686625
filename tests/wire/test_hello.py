"""The ClientHello message: what is read from it, and what makes it malformed."""

from __future__ import annotations

import ssl

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

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
