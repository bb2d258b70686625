"""
A hundred situations that an L4 gateway meets, each with the tests that show what happens then.

They are those that the test suites of other gateways and proxies are about. A scenario without a test says why.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from twisted.python.reflect import namedAny
from twisted.trial.unittest import SynchronousTestCase


class Scenario(NamedTuple):
    """
    One situation.

    :ivar number: from 1 to 100.
    :ivar words: what happens, or what is asked for.
    :ivar tests: the tests of it, by their names below ``tests``.
    :ivar reason: why there is no test; empty if there is one.
    """

    number: int
    words: str
    tests: tuple[str, ...] = ()
    reason: str = ""


SCENARIOS: Final = (
    Scenario(
        1,
        "A server name leads to its endpoint, and does so again for the next client.",
        ("proxy.test_dataplane.DataplaneTests.test_names_lead_to_their_endpoints",),
    ),
    Scenario(
        2,
        "Another server name leads to another endpoint.",
        ("test_end_to_end.LabTests.test_curl_reaches_both_https_services",),
    ),
    Scenario(
        3,
        "A hello without a server name takes the chain without names.",
        ("proxy.test_connection.DecisionTests.test_a_catch_all_takes_what_has_no_name",),
    ),
    Scenario(
        4,
        "A listener that does not look at the first bytes dials at once.",
        ("proxy.test_connection.DecisionTests.test_a_plain_listener_dials_at_once",),
    ),
    Scenario(
        5,
        "A hello over the limit is refused, and its record says so.",
        (
            "wire.test_clienthello.RecordTests.test_the_limit_of_bytes_is_exact",
            "proxy.test_connection.EndingTests.test_each_script_has_its_ending",
        ),
    ),
    Scenario(
        6,
        "A first byte that is no handshake's is plain text.",
        ("wire.test_clienthello.RecordTests.test_every_other_first_byte_is_not_tls",),
    ),
    Scenario(
        7,
        "A message length that is too short gives no name of what lies behind it.",
        ("wire.test_clienthello.RecordTests.test_a_hello_cut_short_by_its_length_is_refused",),
    ),
    Scenario(
        8, "A record of version 3.0 is read.", ("wire.test_clienthello.RecordTests.test_any_minor_version_is_taken",)
    ),
    Scenario(
        9,
        "A server name that is cut by a record is found.",
        ("wire.test_clienthello.VectorTests.test_a_client_that_fragments_is_read",),
    ),
    Scenario(
        10,
        "A hello in several records is read.",
        ("wire.test_clienthello.VectorTests.test_other_records_say_the_same",),
    ),
    Scenario(
        11,
        "A byte at a time gives the same answer at every length.",
        (
            "wire.test_clienthello.VectorTests.test_one_byte_at_a_time_says_the_same",
            "wire.test_clienthello.PropertyTests.test_any_pieces_give_the_same_hello",
            "proxy.test_connection.RealTests.test_one_byte_per_segment",
        ),
    ),
    Scenario(
        12,
        "A hello without extensions has no name.",
        ("wire.test_hello.ServerNameTests.test_no_extensions_at_all_is_no_name",),
    ),
    Scenario(
        13,
        "Name and protocols of a hello are counted once.",
        ("proxy.test_connection_counts.LiveTests.test_a_connection_by_name",),
    ),
    Scenario(
        14,
        "Too large a hello is closed and counted.",
        (
            "proxy.test_connection.DecisionTests.test_a_catch_all_never_takes_what_is_malformed",
            "proxy.test_connection_counts.LiveTests.test_connections_without_a_route",
        ),
    ),
    Scenario(
        15,
        "Plain text that is larger than the limit, in one read, is still plain text.",
        ("wire.test_clienthello.RecordTests.test_plain_text_over_the_limit_is_not_tls",),
    ),
    Scenario(
        16,
        "What is kept of a hello grows with it, and never past the limit.",
        ("wire.test_clienthello.PropertyTests.test_a_waiting_parser_holds_no_more_than_the_limit",),
    ),
    Scenario(
        17,
        "A client that leaves in the midst of its hello leaves a record and nothing else.",
        (
            "proxy.test_connection.EndingTests.test_each_script_has_its_ending",
            "proxy.test_dataplane.DataplaneTests.test_random_lives",
        ),
    ),
    Scenario(
        18,
        "Versions below and above those that are known are read.",
        (
            "wire.test_hello.VersionsTests.test_the_messages_own_version_counts_without_the_extension",
            "wire.test_hello.VersionsTests.test_versions_have_names",
        ),
    ),
    Scenario(
        19,
        "Records without content, leading, between others and in great numbers.",
        ("wire.test_clienthello.RecordTests.test_an_empty_record_is_refused",),
    ),
    Scenario(
        20,
        "Session id, cipher suites and compression methods that are longer than the message.",
        ("wire.test_hello.FramingTests.test_lengths_past_the_end_are_refused",),
    ),
    Scenario(
        21,
        "A message that announces 16 MiB.",
        ("wire.test_clienthello.RecordTests.test_a_length_bomb_is_refused_at_its_header",),
    ),
    Scenario(
        22,
        "A server name with bytes beyond ASCII.",
        ("wire.test_hello.ServerNameTests.test_characters_that_no_host_has_are_refused",),
    ),
    Scenario(23, "A server name in capital letters.", ("wire.test_hello.ServerNameTests.test_it_is_lower_cased",)),
    Scenario(
        24,
        "A record that announces more than TLS allows blocks nobody.",
        ("wire.test_clienthello.RecordTests.test_a_record_over_the_limit_is_refused",),
    ),
    Scenario(
        25, "Half a hello and silence ends in time.", ("proxy.test_connection.RealTests.test_half_a_hello_and_silence",)
    ),
    Scenario(
        26,
        "Lists of application protocols, their order, and many of them.",
        (
            "wire.test_hello.ProtocolsTests.test_they_keep_their_order",
            "wire.test_hello.ProtocolsTests.test_a_hostile_number_is_not_kept",
        ),
    ),
    Scenario(
        27, "A hello in the format of SSL 2.0.", ("wire.test_clienthello.RecordTests.test_an_ssl2_hello_is_not_tls",)
    ),
    Scenario(
        28,
        "A hello that offers TLS 1.3 by its extension.",
        ("wire.test_hello.VersionsTests.test_the_extension_counts",),
    ),
    Scenario(
        29,
        "Full names before wildcards before the chain without names; there are no regular expressions.",
        (
            "proxy.test_connection.DecisionTests.test_the_name_decides",
            "routing.test_lookup.LookupTests.test_it_agrees_with_a_slow_one",
        ),
    ),
    Scenario(30, "Several names of one rule.", ("routing.compile.test_listeners.BuildingTests.test_chains_by_name",)),
    Scenario(
        31,
        "Names with a leading dot or star, as far as Istio has them.",
        (
            "routing.compile.test_listeners.RefusalTests.test_names",
            "resources.kinds.test_virtualservice.ServerNameTests.test_names_outside_hosts",
        ),
    ),
    Scenario(
        32,
        "Letter case of regular expressions.",
        reason="There are no regular expressions in server names, as in Istio.",
    ),
    Scenario(
        33,
        "A catch-all takes an empty server name.",
        (
            "wire.test_hello.ServerNameTests.test_an_empty_name_is_no_name",
            "proxy.test_connection.DecisionTests.test_a_catch_all_takes_what_has_no_name",
        ),
    ),
    Scenario(
        34,
        "Routes by the client's network, of both families.",
        (
            "routing.compile.test_extended.PlainTests.test_sources_tell_virtual_services_apart",
            "routing.compile.test_extended.AddressTests.test_families_do_not_mix",
            "routing.compile.test_gateway_annotations.ExplanationTests.test_gateways",
        ),
    ),
    Scenario(
        35,
        "Clients that are let in and turned away by their network.",
        (
            "routing.test_access_lists.AccessListTests.test_it_judges_as_one_network_after_the_other_does",
            "routing.test_access_lists.AccessListTests.test_families_are_told_apart",
            "routing.test_access_lists.AccessListTests.test_an_unreadable_address_is_in_no_network",
            "proxy.test_guard.AccessTests.test_lists_of_the_settings",
            "proxy.test_guard.AccessTests.test_ipv6",
            "workers.test_workers_together.LimitTests.test_rates_and_access_lists_of_all_workers",
        ),
    ),
    Scenario(
        36,
        "Weighted destinations get their shares.",
        (
            "proxy.test_dataplane.DataplaneTests.test_weights_split_connections",
            "routing.test_balance.RandomTests.test_shares_follow_weights",
        ),
    ),
    Scenario(
        37,
        "The order of rules, and which of two equals counts.",
        (
            "routing.compile.test_chains.PlainTests.test_the_first_claim_wins",
            "routing.compile.test_precedence.ReasonTests.test_ages",
        ),
    ),
    Scenario(
        38,
        "The same route from several providers.",
        (
            "providers.test_feed.FeedTests.test_providers_stand_in_the_order_of_their_names",
            "resources.test_latest.LatestTests.test_the_later_one_counts",
        ),
    ),
    Scenario(
        39,
        "HTTP, TLS and TCP on one port.",
        (
            "routing.compile.test_servers.MergedServersTests.test_a_plain_server_keeps_its_port",
            "routing.compile.test_chains.PlainTests.test_http_is_refused",
        ),
    ),
    Scenario(
        40,
        "Endpoints in turn get the same number of connections.",
        ("proxy.test_dataplane.DataplaneTests.test_endpoints_take_turns",),
    ),
    Scenario(
        41,
        "With a dead endpoint, the living ones share evenly.",
        ("test_dead_endpoints.DeadEndpointTests.test_the_living_share_evenly",),
    ),
    Scenario(
        42,
        "Endpoints that are used only if others fail.",
        ("proxy.test_clusters.LocalityTests.test_far_endpoints_take_what_near_ones_cannot",),
    ),
    Scenario(
        43,
        "An endpoint that lives again is used again.",
        ("test_dead_endpoints.DeadEndpointTests.test_it_is_back_within_its_back_off",),
    ),
    Scenario(
        44,
        "An endpoint that is switched off is never tried.",
        ("routing.compile.test_catalog.ServiceTests.test_endpoint_slices",),
    ),
    Scenario(
        45,
        "Without a second attempt, a refusal is the end.",
        ("proxy.test_reaching.AttemptTests.test_a_single_attempt",),
    ),
    Scenario(46, "The limit of attempts holds.", ("proxy.test_reaching.AttemptTests.test_attempts_are_limited",)),
    Scenario(
        47,
        "A further attempt carries what was already read.",
        (
            "proxy.test_reaching.AttemptTests.test_the_next_endpoint_is_tried",
            "test_dead_endpoints.DeadEndpointTests.test_where_the_client_speaks_first",
        ),
    ),
    Scenario(
        48,
        "Fewest connections, hash, consistent hash, and nothing to hash.",
        (
            "routing.test_balance.LeastRequestTests.test_the_one_with_fewer_of_two",
            "routing.test_balance.ConsistentHashTests.test_the_same_for_the_same",
            "routing.test_balance.ConsistentHashTests.test_without_a_source_chance_decides",
        ),
    ),
    Scenario(
        49,
        "A limit of connections to a destination.",
        (
            "proxy.test_reaching.RealTests.test_max_connections",
            "proxy.test_clusters.ClusterTests.test_a_limit_over_all_workers",
            "workers.test_workers_together.LimitTests.test_connections_of_all_workers_count",
        ),
    ),
    Scenario(
        50,
        "By hash, a client whose endpoint is not to be had gets the next one, and others keep theirs.",
        ("proxy.test_clusters.ClusterTests.test_only_clients_of_a_dead_endpoint_move",),
    ),
    Scenario(
        51,
        "Attempts that fail by refusal, timeout and shortages of our own.",
        (
            "proxy.test_reaching.AttemptTests.test_why_dials_failed",
            "proxy.test_reaching.AttemptTests.test_a_shortage_of_local_ports",
            "test_dead_endpoints.DeadEndpointTests.test_a_silent_endpoint_costs_one_client_once",
        ),
    ),
    Scenario(
        52,
        "A dial that fails within the call that begins it.",
        (
            "transport.lean.test_connecting.FailureTests.test_what_is_no_address",
            "proxy.test_reaching.AttemptTests.test_an_endpoint_that_cannot_be_dialed_at_all",
        ),
    ),
    Scenario(
        53,
        "Outlier detection hears of every outcome.",
        (
            "routing.test_failing_endpoints.EjectionTests.test_as_if_somebody_had_looked",
            "proxy.test_clusters.ClusterTests.test_a_success_starts_over",
        ),
    ),
    Scenario(
        54,
        "Without an endpoint the client is closed.",
        (
            "proxy.test_reaching.NameTests.test_a_name_without_an_address",
            "proxy.test_connection.EndingTests.test_each_script_has_its_ending",
        ),
    ),
    Scenario(
        55,
        "Weights of zero, alone and among others, and destinations that fail.",
        (
            "routing.test_balance.ChoiceTests.test_single_destination_ignores_its_weight",
            "routing.test_balance.ChoiceTests.test_nothing_to_choose",
        ),
    ),
    Scenario(
        56,
        "Active health checks: rise and fall, send and expect, another port, live connections that are kept or ended.",
        (
            "health.test_health_checks.HealthChecksTests.test_failures_and_successes",
            "health.test_probing.ProbeTests.test_send_and_expect",
            "health.test_probing.ProbeTests.test_another_port",
            "test_health_workers.HealthTests.test_an_endpoint_killed_under_load",
        ),
    ),
    Scenario(
        57,
        "An endpoint that is taken out and put back, with its live connections kept.",
        (
            "proxy.test_dataplane.DataplaneTests.test_a_reload_leaves_live_connections_alone",
            "proxy.test_clusters.ClusterTests.test_what_is_gone_is_forgotten",
        ),
    ),
    Scenario(
        58,
        "Names: A, a changed A, AAAA, CNAME, empty answers and errors.",
        (
            "transport.dns.test_resolver_servers.RealServerTests.test_every_kind_of_answer",
            "transport.dns.test_resolver_servers.RealServerTests.test_a_changed_record_is_noticed",
            "transport.dns.test_resolver_servers.RealServerTests.test_every_failure_keeps_the_last_good_answer",
        ),
    ),
    Scenario(
        59,
        "Bytes go both ways, and all of them arrive before the endpoint's end.",
        (
            "proxy.test_relay.RealTests.test_bytes_go_both_ways",
            "proxy.test_relay.RealTests.test_endpoint_finishes_first",
        ),
    ),
    Scenario(
        60,
        "All bytes of a client arrive before its end.",
        ("proxy.test_relay.RealTests.test_finish_comes_after_a_big_tail",),
    ),
    Scenario(
        61,
        "Half-closed connections still carry data, either way.",
        (
            "proxy.test_relay.RealTests.test_client_finishes_first",
            "proxy.test_relay.RealTests.test_endpoint_finishes_first",
        ),
    ),
    Scenario(
        62,
        "Much data against a reader that pauses: nothing is lost, and memory stays bounded.",
        (
            "proxy.test_relay.RealTests.test_slow_reader_bounds_memory",
            "test_end_to_end.VolumeTests.test_64_mib_each_way_against_a_slow_reader",
        ),
    ),
    Scenario(
        63,
        "Writes that are larger than the buffers.",
        (
            "transport.lean.test_connected_socket.WritingTests.test_what_is_kept_leaves_in_order",
            "proxy.test_relay.OrderTests.test_finish_comes_through_a_full_buffer",
        ),
    ),
    Scenario(
        64,
        "The process ends while bytes wait to be sent.",
        (
            "proxy.test_dataplane.DataplaneTests.test_draining_does_not_wait_for_a_stuck_reader",
            "test_upgrades.SuccessTests.test_everything_goes_over",
            "transport.test_last_words.LastWordsTests.test_draining_cuts_by_reset",
        ),
    ),
    Scenario(
        65,
        "Many connections at once that open, write and close at random.",
        (
            "proxy.test_relay.RealTests.test_many_at_once",
            "proxy.test_dataplane.DataplaneTests.test_random_lives",
        ),
    ),
    Scenario(
        66,
        "A server that speaks first.",
        ("proxy.test_connection.RealTests.test_a_greeting_comes_before_the_client_types",),
    ),
    Scenario(
        67,
        "A client that resets in the midst of a stream.",
        ("proxy.test_relay.RealTests.test_client_reset_is_passed_on",),
    ),
    Scenario(
        68,
        "A client that reads a byte now and then.",
        (
            "transport.test_last_words.LastWordsTests.test_a_slow_reader",
            "transport.test_keepalive.LivingTests.test_who_does_not_read_lives",
        ),
    ),
    Scenario(
        69,
        "What was read early comes before later bytes, however much it is.",
        (
            "proxy.test_connection.HoldingTests.test_the_exact_bytes_come_first",
            "proxy.test_connection.HoldingTests.test_only_so_much_is_held",
        ),
    ),
    Scenario(
        70,
        "One side sends and closes while the other stays open, spliced or copied.",
        (
            "transport.lean.test_joining.SplicingTests.test_an_end_while_splicing",
            "transport.lean.test_joining.CopyingTests.test_bytes_and_end_in_one_segment",
        ),
    ),
    Scenario(
        71,
        "The header of version 1 is sent exactly, for both families.",
        (
            "wire.test_proxy_protocol.BuildTests.test_exact_bytes",
            "proxy.test_received_header.SentHeaderTests.test_addresses",
        ),
    ),
    Scenario(
        72,
        "A header is read, and the client that it names is in the log and is the one that limits count.",
        (
            "proxy.test_received_header.HeaderTests.test_the_client_is_the_true_one",
            "proxy.test_received_header.HeaderTests.test_limits_count_the_true_client",
            "proxy.test_proxy_protocol_peers.PeerTests.test_every_way",
        ),
    ),
    Scenario(
        73,
        "Without the option, a header is a client's bytes like any other.",
        ("proxy.test_received_header.OptionalTests.test_strangers_are_served_as_they_are",),
    ),
    Scenario(
        74,
        "UNKNOWN and LOCAL, with and without further fields.",
        (
            "proxy.test_received_header.HeaderTests.test_local_and_unknown_keep_the_address",
            "wire.test_proxy_protocol.VectorTests.test_verdicts",
        ),
    ),
    Scenario(
        75,
        "Address blocks that are too short or too long, Unix addresses, unknown commands and versions.",
        (
            "wire.test_proxy_protocol.Version2Tests.test_commands_and_families",
            "wire.test_proxy_protocol.VectorTests.test_verdicts",
        ),
    ),
    Scenario(
        76,
        "A header of version 1 of more than 107 bytes.",
        ("wire.test_proxy_protocol.Version1Tests.test_longest",),
    ),
    Scenario(
        77,
        "A header that is cut behind any byte.",
        (
            "wire.test_proxy_protocol.PropertyTests.test_any_cut",
            "proxy.test_received_header.RealTests.test_cut_anywhere",
        ),
    ),
    Scenario(
        78,
        "Authority, protocols, checksum, unique id; fields past the end; bytes behind the header.",
        (
            "wire.test_proxy_protocol.Version2Tests.test_fields",
            "wire.test_proxy_protocol.Version2Tests.test_checksum",
            "proxy.test_received_header.SentHeaderTests.test_fields_of_a_load_balancer",
        ),
    ),
    Scenario(
        79,
        "A header that is missing is refused, or allowed where that is asked for.",
        (
            "proxy.test_received_header.EndTests.test_endings",
            "proxy.test_received_header.OptionalTests.test_without_one",
        ),
    ),
    Scenario(
        80,
        "Header and hello in one packet.",
        ("proxy.test_received_header.HeaderTests.test_the_client_is_the_true_one",),
    ),
    Scenario(
        81,
        "A header and silence.",
        ("proxy.test_received_header.EndTests.test_endings",),
    ),
    Scenario(
        82,
        "A limit of connections for a client: others pass, and who leaves makes room.",
        (
            "proxy.test_limits.AdmissionTests.test_each_limit_counts_its_own",
            "proxy.test_limits.AdmissionTests.test_who_leaves_makes_room",
            "proxy.test_guard.RateTests.test_numbers_and_rates_in_a_dry_run",
        ),
    ),
    Scenario(
        83,
        "So many connections of one address at once.",
        ("proxy.test_limits.RealTests.test_one_too_many_is_closed_and_logged",),
    ),
    Scenario(
        84,
        "So many new connections of one address in a time.",
        (
            "proxy.test_guard.RateTests.test_the_third_passes_and_the_fourth_is_refused",
            "proxy.test_rates.RateTests.test_any_number_of_keys",
            "workers.test_workers_together.LimitTests.test_rates_and_access_lists_of_all_workers",
        ),
    ),
    Scenario(
        85,
        "Silence ends a connection, and a byte either way begins its time anew.",
        (
            "proxy.test_relay.RealTests.test_idle_connection_ends_in_time",
            "proxy.test_relay.SilenceTests.test_a_byte_either_way_resets_idle",
        ),
    ),
    Scenario(86, "A longest duration, whatever goes on.", ("proxy.test_relay.RealTests.test_the_longest_duration",)),
    Scenario(
        87,
        "A time to connect.",
        (
            "proxy.test_reaching.AttemptTests.test_each_attempt_has_the_connect_timeout",
            "proxy.test_reaching.RealTests.test_a_deaf_endpoint_ends_in_time",
        ),
    ),
    Scenario(
        88,
        "The access log has addresses, bytes, times, the name and the ending; lines can be filtered.",
        (
            "proxy.test_log_line.JsonTests.test_a_complete_record",
            "proxy.test_log_line.BothTests.test_every_ending_is_its_word",
            "proxy.test_access_log.EndedTests.test_a_choice_of_endings",
            "test_logs.AccessLogTests.test_a_choice",
        ),
    ),
    Scenario(
        89,
        "The log has the client's address though the connection is gone.",
        (
            "proxy.test_connection.DecisionTests.test_the_record_says_who_and_where",
            "test_end_to_end.LabTests.test_what_cannot_be_routed_is_closed_and_logged",
        ),
    ),
    Scenario(
        90,
        "Lines for connections that live long, while they live.",
        (
            "proxy.test_serving.OpenLinesTests.test_one_line_each_time",
            "proxy.test_serving.ServingTests.test_a_connection_that_goes_on_has_lines",
            "test_logs.AccessLogTests.test_connections_that_go_on",
        ),
    ),
    Scenario(
        91,
        "A reload: live connections stay, new ones follow the new routes, listeners come and go.",
        (
            "proxy.test_dataplane.DataplaneTests.test_a_reload_leaves_live_connections_alone",
            "test_upgrades.SuccessTests.test_under_load",
            "transport.test_ports.PortsTests.test_a_port_that_goes_closes_and_its_connections_stay",
            "test_end_to_end.LabTests.test_a_port_changes_from_tcp_to_tls_under_an_open_session",
        ),
    ),
    Scenario(
        92,
        "A reload with bad configuration keeps the old one.",
        (
            "test_end_to_end.LabTests.test_a_broken_edit_changes_nothing",
            "workers.test_workers.ServingTests.test_broken_settings_change_nothing",
        ),
    ),
    Scenario(
        93,
        "Several processes on one port.",
        (
            "workers.test_workers.ServingTests.test_both_serve_and_are_counted_together",
            "workers.test_workers_together.PortTests.test_a_port_of_another_process_is_not_shared",
        ),
    ),
    Scenario(
        94,
        "At the limit of descriptors clients wait, and are served later.",
        ("transport.test_descriptors.RealTests.test_connections_wait_and_are_served_later",),
    ),
    Scenario(
        95,
        "Binds for IPv6 alone and for both families.",
        (
            "transport.test_ports.PortsTests.test_an_unset_bind_takes_both_families",
            "transport.test_binding.OpenTests.test_explicit_ipv6_is_ipv6_only",
        ),
    ),
    Scenario(
        96,
        "Unix sockets as listeners and endpoints.",
        (
            "transport.test_unix_listeners.UnixListenerTests.test_served",
            "transport.test_unix_endpoints.UnixEndpointTests.test_bytes_both_ways",
        ),
    ),
    Scenario(
        97,
        "A database's own request for TLS before the hello.",
        ("routing.compile.test_destinations.BeginningTests.test_databases",),
    ),
    Scenario(
        98,
        "Certificates of clients: the endpoint sees them; a Gateway that asks for them itself is not served yet.",
        (
            "proxy.test_dataplane.DataplaneTests.test_certificates_pass_through",
            "routing.compile.test_claims.ContentTests.test_termination_is_refused",
        ),
    ),
    Scenario(
        99,
        "Verification of endpoints' certificates: by the client; nothing is dialed where the gateway has to do it.",
        (
            "proxy.test_dataplane.DataplaneTests.test_certificates_pass_through",
            "routing.compile.test_destinations.PolicyTests.test_tls_to_the_endpoint_is_never_left_out",
        ),
    ),
    Scenario(
        100,
        "Any bytes in any pieces raise nothing and hold no more than the limit.",
        (
            "wire.test_clienthello.PropertyTests.test_any_bytes_raise_only_the_parsers_own_errors",
            "wire.test_clienthello.PropertyTests.test_a_waiting_parser_holds_no_more_than_the_limit",
        ),
    ),
)


class ScenarioTests(SynchronousTestCase):
    """The table."""

    def test_it_is_complete(self) -> None:
        """Each number is there once, in order, and has either tests or a reason."""
        self.assertEqual([each.number for each in SCENARIOS], list(range(1, 101)))
        self.assertEqual([each.number for each in SCENARIOS if bool(each.tests) == bool(each.reason)], [])

    def test_the_tests_are_there(self) -> None:
        """Every test that is named can be run."""
        for each in SCENARIOS:
            for name in each.tests:
                self.assertTrue(callable(namedAny(f"tests.{name}")), name)

    def test_most_have_one(self) -> None:
        """So many scenarios are tested; the others do not apply, or wait for something."""
        self.assertGreaterEqual(sum(bool(each.tests) for each in SCENARIOS), 98)
