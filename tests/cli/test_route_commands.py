"""Tests of the commands about routes: check, explain, routes, diff and test."""

from __future__ import annotations

import json
import os
from copy import deepcopy

from meshgate.resources.codes import CODES, CODES_PAGE
from tests.cli.command_runs import BROKEN, MOVED, ROUTED, SHOP, UNROUTED, CommandTestCase, file_text
from tests.configurations import destination_rule, gateway, target, tcp_rule, tcp_server, virtual_service

EXPECTATIONS = """\
routes: [routes]
expect:
- {name: by name, port: 443, sni: www.example.com, virtual_service: default/web, destination: "x:80"}
- {port: 443, sni: other.example.com, closed: true}
- {port: 1, no_listener: true}
"""


class CheckTests(CommandTestCase):
    """``meshgate check``."""

    def test_exit_status(self) -> None:
        """An error fails; a warning fails where that is asked for."""
        self.run_command("check", "--fail-on", "warning", "routes")
        self.write("routes/lonely.yaml", file_text(UNROUTED))
        self.run_command("check", "routes")
        self.run_command("check", "--fail-on", "warning", "routes", exit_code=1)
        self.write("routes/broken.yaml", file_text(BROKEN))
        self.run_command("check", "routes", exit_code=1)
        self.run_command("check", "--fail-on", "info", "routes", exit_code=2)

    def test_text(self) -> None:
        """Each problem is a line, the next says where codes are explained, and the last line counts the problems."""
        self.write("routes/broken.yaml", file_text(BROKEN))
        *lines, explained, last = self.run_command("check", "routes", exit_code=1).stdout.splitlines()
        self.assertIn("routes/broken.yaml:1:", lines[0])
        self.assertIn(f" explained at {CODES_PAGE}", explained)
        self.assertRegex(last, r"^1 error, \d+ warnings? in 5 resources$|^1 error in 5 resources$")

    def test_json(self) -> None:
        """The JSON form has every problem and the number of resources."""
        self.write("routes/lonely.yaml", file_text(UNROUTED))
        found = self.run_json("check", "routes")
        self.assertEqual(found["resources"], 6)
        self.assertEqual({problem["name"] for problem in found["problems"]}, {"lonely"})
        for problem in found["problems"]:
            self.assertEqual(problem["help_uri"], f"{CODES_PAGE}#{problem['code'].lower()}")

    def test_github(self) -> None:
        """Each problem is a workflow command, and nothing else is printed."""
        self.write("routes/broken.yaml", file_text(BROKEN))
        lines = self.run_command("check", "--format", "github", "routes", exit_code=1).stdout.splitlines()
        self.assertTrue(lines)
        for line in lines:
            self.assertRegex(line, r"^::(error|warning|notice) file=routes/broken\.yaml,line=1,col=\d+,title=MG\d{4}")

    def test_sarif(self) -> None:
        """The log has a result for each problem, and a rule for each code."""
        self.write("routes/broken.yaml", file_text(BROKEN))
        log = json.loads(self.run_command("check", "--format", "sarif", "routes", exit_code=1).stdout)
        (run,) = log["runs"]
        self.assertEqual([rule["id"] for rule in run["tool"]["driver"]["rules"]], sorted(CODES))
        self.assertTrue(run["results"])

    def test_sarif_of_nothing(self) -> None:
        """Without problems, the log has no results, by which services close old alerts."""
        log = json.loads(self.run_command("check", "--format", "sarif", "routes").stdout)
        self.assertEqual(log["runs"][0]["results"], [])


class SeveralGatewaysTests(CommandTestCase):
    """Routes for several gateways of a cluster."""

    def setUp(self) -> None:
        """A private gateway beside the public one, with a port of its own."""
        super().setUp()
        inner = gateway("inner", tcp_server(5432), tcp_server(3306))
        inner["spec"]["selector"] = {"istio": "private"}
        rule = tcp_rule("x", match=[{"port": 5432}])
        self.write("routes/inner.yaml", file_text(inner, virtual_service("sql", gateways=["inner"], tcp=[rule])))

    def test_check(self) -> None:
        """Every gateway is judged under its own name, unless one is chosen or described."""
        selector, first, _, last = self.run_command("check", "routes").stdout.splitlines()
        self.assertIn("info[MG2040]", selector)
        self.assertIn("MG2008", first)
        self.assertTrue(first.endswith(" [gateway private]"))
        self.assertEqual(last, "1 warning, 1 info in 7 resources, at the gateways istio-ingressgateway, private")
        found = self.run_json("check", "routes")
        self.assertEqual(found["gateways"], ["istio-system/istio-ingressgateway", "istio-system/private"])
        self.assertEqual([each["gateway"] for each in found["problems"]], ["", "private"])
        for option in ("--gateway=istio-ingressgateway", "--gateway-label=istio=ingressgateway"):
            found = self.run_json("check", option, "routes")
            self.assertEqual([each["code"] for each in found["problems"]], ["MG2001"], option)
            self.assertEqual(found["gateways"], ["istio-system/istio-ingressgateway"])

    def test_answers_for_one(self) -> None:
        """The other commands answer for the first gateway, and say so, or for the one that is chosen."""
        found = self.run_command("explain", "--port=5432", "--plain", "routes")
        self.assertIn("for the gateway istio-ingressgateway; choose another one with --gateway: private", found.stderr)
        self.assertIn("for the gateway private, and not for this one", found.stdout)
        chosen = self.run_command("explain", "--port=5432", "--plain", "--gateway=private", "routes")
        self.assertTrue(chosen.stdout.startswith("routed"))
        self.assertNotIn("choose", chosen.stderr)

    def test_wrong_options(self) -> None:
        """The routes have to show the gateway, whose labels cannot be given as well."""
        found = self.run_command("routes", "--gateway=edge", "routes", exit_code=2)
        self.assertIn("the routes show no gateway 'edge', but istio-ingressgateway, private", found.stderr)
        found = self.run_command("routes", "--gateway=private", "--gateway-label=a=b", "routes", exit_code=2)
        self.assertIn("exclude each other", found.stderr)


class OrderTests(CommandTestCase):
    """The order of the problems of ``meshgate check``."""

    def test_a_file_reads_from_top_to_bottom(self) -> None:
        """Problems of one resource and of several together are sorted by file and line."""
        for name in ("one", "two"):
            lost = virtual_service(name, gateways=["gone"], tcp=[tcp_rule("gone")])
            self.write(f"{name}.yaml", f"{file_text(lost)}\n---\n{file_text({**lost, 'kind': 'Gateway'})}\n")
        shown = self.run_command("check", "two.yaml", "one.yaml", exit_code=1).stdout.splitlines()[:-2]
        locations = [line.split(": ")[0].split(":") for line in shown]
        lines = [(file, int(line), int(column)) for file, line, column in locations]
        self.assertEqual(lines, sorted(lines))
        self.assertEqual({file for file, _, _ in lines}, {"one.yaml", "two.yaml"})
        self.assertTrue({"MG1001", "MG2010"} <= {line.split("[")[1][:6] for line in shown})


class ExplainTests(CommandTestCase):
    """``meshgate explain``."""

    def test_text(self) -> None:
        """The verdict comes first, and the story below."""
        verdict, *steps = self.run_command("explain", *ROUTED, "routes").stdout.splitlines()
        self.assertEqual(verdict, "routed  port 443, www.example.com")
        self.assertIn("  1. the listener [::]:443 is open", steps[0])
        self.assertIn("127.0.0.1:80", steps[-1])

    def test_what_lost_is_told(self) -> None:
        """A rule that lost a name stands below the story of the one that has it."""
        loser = virtual_service("younger", tls=SHOP[1]["spec"]["tls"])
        self.write("routes/younger.yaml", file_text(loser))
        story = self.run_command("explain", *ROUTED, "routes").stdout
        self.assertIn("dropped or ignored here:\n    routes/younger.yaml:1:203: error[MG2005]", story)

    def test_a_destination_without_an_endpoint(self) -> None:
        """The destination is named once, with its share and the reason."""
        self.write("routes/shop.yaml", file_text(*SHOP[:4], virtual_service("s", tls=[split(1, 3)])))
        self.assertIn(
            "destination x.default.svc.cluster.local:80 has no endpoint: no EndpointSlice names the Service",
            self.run_command("explain", *ROUTED, "routes").stdout,
        )
        text = self.run_command("explain", "--port", "443", "--sni", "s.example.com", "routes").stdout
        self.assertIn("destination x.default.svc.cluster.local:80 with 1 of 4 has no endpoint: no Endpoint", text)
        self.assertIn("destination nowhere.default.svc.cluster.local:80 with 3 of 4: the host nowhere", text)

    def test_ends(self) -> None:
        """Closed connections and closed ports are answers, not errors."""
        self.assertIn(
            "closed  port 443, plain", self.run_command("explain", "--port", "443", "--plain", "routes").stdout
        )
        self.assertIn(
            "no listener  port 1, no server name", self.run_command("explain", "--port", "1", "routes").stdout
        )

    def test_ends_that_are_none(self) -> None:
        """Addresses are addresses, and a server name is what a client can send."""
        for option, value, message in [
            ("--bind", "here", "'here' is not an IP address"),
            ("--source", "there", "'there' is not an IP address"),
            ("--sni", "b\u00fccher.example", "clients send names in ASCII"),
        ]:
            result = self.run_command("explain", "--port", "443", option, value, "routes", exit_code=2)
            self.assertIn(message, result.stderr)

    def test_calls(self) -> None:
        """Many calls are answered one a line, in their order; empty lines are passed over."""
        calls = [{"port": 443, "sni": "www.example.com"}, {"port": 31400, "tls": False, "bind": None}, {"port": 2}]
        self.write("calls", "\n\n".join(map(json.dumps, calls)))
        result = self.run_command("explain", "--calls", "calls", "--format", "json", "routes")
        answers = [json.loads(line) for line in result.stdout.splitlines()]
        self.assertEqual([answer["result"] for answer in answers], ["routed", "routed", "no_listener"])
        self.assertEqual([answer["virtual_service"] for answer in answers], ["default/web", "default/db", None])

    def test_calls_from_standard_input(self) -> None:
        """The calls may come from standard input."""
        result = self.run_command("explain", "--calls", "-", "routes", stdin='{"port": 31400, "tls": false}\n')
        self.assertIn("routed  port 31400, plain", result.stdout)

    def test_broken_calls(self) -> None:
        """A line that is no call is named by its number, before anything is answered."""
        wrong = (
            "x",
            "[]",
            "443",
            "{}",
            '{"port": "443"}',
            '{"port": true}',
            '{"port": 443, "tls": "yes"}',
            '{"port": 443, "sni": 1}',
            '{"port": 443, "bind": []}',
            "[" * 100_000,
            b"\xff",
        )
        for line in wrong:
            content = b'{"port": 1}\n\n' + (line if isinstance(line, bytes) else line.encode())
            self.write("calls", content)
            result = self.run_command("explain", "--calls", "calls", "routes", exit_code=2)
            self.assertIn("line 3 is not a JSON object", result.stderr)
            self.assertEqual(result.stdout, "")

    def test_wrong_options(self) -> None:
        """Options that exclude each other are refused."""
        for arguments, message in (
            ((), "give either --port for one connection, or --calls"),
            (("--port", "1", "--calls", "-"), "give either --port for one connection, or --calls"),
            (("--port", "1", "--plain", "--sni", "a"), "exclude each other"),
            (("--port", "0"), "--port"),
            (("--calls", "nowhere"), "nowhere"),
            (("--calls", "-", "-"), "standard input can be read only once"),
        ):
            result = self.run_command("explain", *arguments, "routes", exit_code=2)
            self.assertIn(message, result.stderr)


class RoutesTests(CommandTestCase):
    """``meshgate routes``."""

    def test_text(self) -> None:
        """A route is a row with its port, names, resources and endpoints."""
        rows = self.run_command("routes", "routes").stdout.splitlines()
        self.assertEqual(len(rows), 3)
        for text in ("443", "TLS", "www.example.com", "default/gw", "default/web", "127.0.0.1:80"):
            self.assertIn(text, rows[1])

    def test_without_an_endpoint(self) -> None:
        """The code of the problem stands where the endpoints would."""
        self.write("gone.yaml", file_text(*SHOP[:4]))
        result = self.run_command("routes", "gone.yaml")
        self.assertEqual([line.split("  ")[-1] for line in result.stdout.splitlines()[1:]], ["none (MG2022)"] * 2)

    def test_json(self) -> None:
        """The rows are those of the status."""
        self.assertEqual([row["port"] for row in self.run_json("routes", "routes")], [443, 31400])


class DiffTests(CommandTestCase):
    """``meshgate diff``."""

    def setUp(self) -> None:
        """Write a second configuration."""
        super().setUp()
        self.write("moved.yaml", file_text(*MOVED))

    def test_nothing(self) -> None:
        """Exit status 0, and a line that says so."""
        self.assertEqual(self.run_command("diff", "routes", "routes").stdout, "nothing changes for traffic\n")
        self.assertEqual(
            self.run_json("diff", "routes", "routes"),
            {"changed": False, "ports": [], "names": [], "endpoints": [], "policies": [], "access": []},
        )

    def test_a_name_moves(self) -> None:
        """Exit status 1, the name, and from where to where."""
        self.assertEqual(
            self.run_command("diff", "routes", "moved.yaml", exit_code=1).stdout,
            "  port [::]:443\n"
            "    ~ www.example.com moves: x.default.svc.cluster.local:80 → y.default.svc.cluster.local:80\n"
            "1 name changed\n",
        )
        (name,) = self.run_json("diff", "routes", "moved.yaml", exit_code=1)["names"]
        self.assertEqual((name["listener"], name["name"], name["change"]), ("[::]:443", "www.example.com", "moves"))
        self.assertEqual(name["after"]["destinations"], [{"name": "y.default.svc.cluster.local:80", "share": 1.0}])

    def test_policies(self) -> None:
        """The changes of a DestinationRule are described and counted; a tidied file is no change."""
        pool = {"tcp": {"maxConnections": 9, "idleTimeout": "5s"}}
        rule = destination_rule("d", "x", trafficPolicy={"connectionPool": pool, "loadBalancer": {"simple": "RANDOM"}})
        self.write("ruled.yaml", file_text(*SHOP, rule))
        self.assertEqual(
            self.run_command("diff", "routes", "ruled.yaml", exit_code=1).stdout,
            "  connections for 2 names\n"
            "    ~ as in the settings → closed after 5s of silence\n"
            "  connections to x.default.svc.cluster.local:80, for 2 names\n"
            "    ~ endpoints by LEAST_REQUEST, the one of two with fewer connections → endpoints by RANDOM, any at "
            "random; 9 connections at the most\n"
            "2 policies changed\n",
        )
        row, _ = self.run_json("routes", "ruled.yaml")
        self.assertEqual((row["policy"]["idle"], row["destinations"][0]["policy"]["max_connections"]), (5.0, 9))

    def test_access_lists(self) -> None:
        """Networks that come and go, who is refused besides, and what is counted only; of many, some are named."""
        many = ", ".join(f"10.{number}.0.0/16" for number in range(0, 44, 2))
        for file, notes in (
            ("closed.yaml", {"allow": "10.0.0.0/8", "deny": "10.9.0.0/16"}),
            ("tried.yaml", {"deny": many, "access-dry-run": "true"}),
        ):
            gateway_of_shop, *others = deepcopy(SHOP)
            names = {f"meshgate.io/{name}": value for name, value in notes.items()}
            gateway_of_shop["metadata"]["annotations"] = names
            self.write(file, file_text(gateway_of_shop, *others))
        self.assertEqual(
            self.run_command("diff", "routes", "closed.yaml", exit_code=1).stdout,
            "  clients, for 2 names\n"
            "    + allow 10.0.0.0/8\n"
            "    + deny 10.9.0.0/16\n"
            "    ~ clients outside of allow are refused\n"
            "1 access list changed\n",
        )
        text = self.run_command("diff", "closed.yaml", "tried.yaml", exit_code=1).stdout
        self.assertIn("    - allow 10.0.0.0/8\n    - deny 10.9.0.0/16\n    + deny 10.0.0.0/16\n", text)
        self.assertIn("    and 4 more networks\n    ~ a client need not be in allow any more\n    ~ a dry run: ", text)

    def test_everything_goes(self) -> None:
        """Ports that close are told with the names on them; the way back opens them."""
        self.write("empty.yaml", "")
        self.assertEqual(
            self.run_command("diff", "--allow-empty", "routes", "empty.yaml", exit_code=1).stdout,
            "- port [::]:443 closes\n"
            "    - www.example.com is closed; before, it went to x.default.svc.cluster.local:80\n"
            "- port [::]:31400 closes\n"
            "    - * is closed; before, it went to x.default.svc.cluster.local:80\n"
            "2 ports and 2 names changed\n",
        )
        back = self.run_command("diff", "--allow-empty", "empty.yaml", "routes", exit_code=1).stdout
        self.assertIn("+ port [::]:443 opens\n    + www.example.com → x.default", back)

    def test_endpoints(self) -> None:
        """Endpoints are told once, with the names that they serve counted."""
        self.write("other.yaml", file_text(*SHOP).replace("127.0.0.1", "127.0.0.9"))
        self.assertEqual(
            self.run_command("diff", "routes", "other.yaml", exit_code=1).stdout,
            "  destination x.default.svc.cluster.local:80, for 2 names\n"
            "    - 127.0.0.1:80\n"
            "    + 127.0.0.9:80\n"
            "1 destination changed\n",
        )

    def test_weights_and_manner(self) -> None:
        """Shares are told in percent, and a port whose first bytes count from now on is told as such."""
        old, new = (file_text(*SHOP, virtual_service("s", tls=[split(*weights)])) for weights in ((1, 1), (3, 1)))
        self.write("old.yaml", old)
        self.write("new.yaml", new)
        text = self.run_command("diff", "old.yaml", "new.yaml", exit_code=1).stdout
        self.assertIn("s.example.com is shared otherwise: nowhere.default.svc.cluster.local:80 50%, x.default", text)
        self.assertIn("→ nowhere.default.svc.cluster.local:80 25%, x.default.svc.cluster.local:80 75%", text)

    def test_a_port_in_another_manner(self) -> None:
        """A port that turns from plain TCP to TLS is told as changed."""
        text = file_text(*SHOP)
        tcp = '"name": "tcp-31400", "protocol": "TCP"}, "hosts": ["*"]'
        self.assertIn(tcp, text)
        tls = tcp.replace("TCP", "TLS") + ', "tls": {"mode": "PASSTHROUGH"}'
        moved = text.replace(tcp, tls).replace(
            '"tcp": [{"match": [{"port": 31400}]', '"tls": [{"match": [{"sniHosts": ["*"]}]'
        )
        self.write("tls.yaml", moved)
        result = self.run_command("diff", "routes", "tls.yaml", exit_code=1)
        self.assertIn(
            "~ port [::]:31400 changes: plain TCP, IPv4 and IPv6 → TLS, the first bytes decide, IPv4 and IPv6",
            result.stdout,
        )

    def test_standard_input(self) -> None:
        """One of the two may be standard input, and not both."""
        self.run_command("diff", "-", "routes", stdin=file_text(*SHOP))
        self.assertIn("only once", self.run_command("diff", "-", "-", exit_code=2).stderr)

    def test_broken_input(self) -> None:
        """A file that is not YAML or a resource that is not valid makes the exit status 2, on either side."""
        for name, content in (("broken", file_text(*SHOP, BROKEN)), ("unreadable", "a: [\n")):
            self.write(f"folder/{name}.yaml", content)
            self.write("folder/shop.yaml", file_text(*SHOP))
            for sides in (("routes", "folder"), ("folder", "routes")):
                result = self.run_command("diff", *sides, exit_code=2)
                self.assertIn("nothing changes for traffic", result.stdout)
                self.assertIn("folder", result.stderr)
            (self.folder / "folder" / f"{name}.yaml").unlink()
        self.write("only.yaml", "a: [\n")
        self.assertEqual(self.run_command("diff", "routes", "only.yaml", exit_code=2).stdout, "")

    def test_errors_between_resources(self) -> None:
        """Errors of several resources together are no broken input: they are part of what is compared."""
        loser = virtual_service("younger", tls=SHOP[1]["spec"]["tls"])
        self.write("routes/younger.yaml", file_text(loser))
        self.run_command("check", "routes", exit_code=1)
        self.run_command("diff", "routes", "routes")

    def test_wrong_calls(self) -> None:
        """Both have to be named and to exist."""
        self.assertIn("NEW", self.run_command("diff", "routes", exit_code=2).stderr)
        self.assertIn("nowhere: no such file", self.run_command("diff", "routes", "nowhere", exit_code=2).stderr)

    def test_it_looks_as_the_gateway_does(self) -> None:
        """To a gateway that takes none of the routes, they do not differ."""
        self.run_command("diff", "--gateway-label", "istio=other", "routes", "moved.yaml")


def split(*weights: int) -> dict[str, object]:
    """A rule with two destinations."""
    hosts = ("x", "nowhere")
    return {
        "match": [{"sniHosts": ["s.example.com"]}],
        "route": [
            {"destination": {"host": host, "port": {"number": 80}}, "weight": weight}
            for host, weight in zip(hosts, weights, strict=True)
        ],
    }


class TestTests(CommandTestCase):
    """``meshgate test``."""

    def setUp(self) -> None:
        """Write expectations that hold."""
        super().setUp()
        self.write("expectations.yaml", EXPECTATIONS)

    def test_they_hold(self) -> None:
        """Each is a line, and the last line counts them."""
        self.assertEqual(
            self.run_command("test", "expectations.yaml").stdout,
            "ok    by name (port 443, www.example.com)\n"
            "ok    port 443, other.example.com\n"
            "ok    port 1, no server name\n"
            "3 of 3 expectations hold\n",
        )

    def test_addresses_under_the_extended_semantics(self) -> None:
        """Clients are told apart by their addresses, and the report says whose expectation it is."""
        near = {"match": [{"sourceSubnet": "10.0.0.0/8"}], "route": [target("near")]}
        far = {"route": [target("far")]}
        self.write(
            "by-address.yaml", file_text(gateway("gw", tcp_server(31400)), virtual_service("v", ["*"], tcp=[near, far]))
        )
        self.write(
            "expectations.yaml",
            "semantics: extended\nexpect:\n"
            "- {port: 31400, plain: true, source: 10.1.2.3, destination: near}\n"
            "- {port: 31400, plain: true, source: 192.0.2.1, destination: far}\n",
        )
        self.assertEqual(
            self.run_command("test", "expectations.yaml", "by-address.yaml").stdout,
            "ok    port 31400, plain from 10.1.2.3\nok    port 31400, plain from 192.0.2.1\n2 of 2 expectations hold\n",
        )

    def test_one_fails(self) -> None:
        """The report has the location, the differences, and the steps of the connection."""
        self.write("moved.yaml", file_text(*MOVED))
        text = self.run_command("test", "expectations.yaml", "moved.yaml", exit_code=1).stdout
        self.assertTrue(
            text.startswith(
                "FAIL  by name (port 443, www.example.com), expectations.yaml:3\n"
                "      expected destination x:80, found y.default.svc.cluster.local:80\n"
                "        1. the listener [::]:443 is open"
            ),
            text,
        )
        self.assertTrue(text.endswith("2 of 3 expectations hold, 1 failed\n"))

    def test_json(self) -> None:
        """Programs get every expectation with its explanation."""
        found = self.run_json("test", "expectations.yaml", "routes")
        self.assertEqual((found["held"], found["failed"]), (3, 0))
        first = found["expectations"][0]
        self.assertEqual((first["name"], first["line"], first["differences"]), ("by name", 3, []))
        self.assertEqual(first["explanation"]["virtual_service"], "default/web")

    def test_routes_beside_the_file(self) -> None:
        """The file's routes are found from anywhere."""
        os.chdir("/")
        self.run_command("test", str(self.folder / "expectations.yaml"))

    def test_no_routes(self) -> None:
        """Without routes there is nothing to test."""
        self.write("open.yaml", EXPECTATIONS.partition("\n")[2])
        self.assertIn("there are no routes to test", self.run_command("test", "open.yaml", exit_code=2).stderr)

    def test_a_broken_file(self) -> None:
        """Every problem of the file is a line on standard error, and the exit status is 2."""
        self.write("broken.yaml", "expect:\n- {prot: 1}\n")
        result = self.run_command("test", "broken.yaml", "routes", exit_code=2)
        self.assertEqual(result.stdout, "")
        self.assertIn(
            "broken.yaml:2:4: error[MG0202]: expect[0].prot: unknown key prot (did you mean port?)", result.stderr
        )
        self.assertIn("there is no such file", self.run_command("test", "nowhere", "routes", exit_code=2).stderr)

    def test_whose_gateway_it_is(self) -> None:
        """The file's gateway comes before the default one, and the options before the file."""
        self.write("other.yaml", "gateway: {labels: {istio: other}}\n" + EXPECTATIONS)
        self.run_command("test", "other.yaml", exit_code=1)
        self.run_command("test", "--gateway-label", "istio=ingressgateway", "other.yaml")
