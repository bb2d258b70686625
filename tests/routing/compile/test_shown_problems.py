"""Tests of :mod:`meshgate.routing.compile.shown_problems`."""

from __future__ import annotations

import json
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.latest import latest
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.reader import read_text
from meshgate.routing.compile import shown_problems
from meshgate.routing.compile.compiler import Compiler
from meshgate.routing.compile.gateway_proxy import ISTIO_LABELS, Proxy
from meshgate.routing.compile.known_gateways import known_gateways
from meshgate.routing.compile.shown_problems import judge, one_for_each_cause, proxy_of
from tests.configurations import (
    Document,
    deployment,
    destination_rule,
    read,
    service,
    target,
    tcp_rule,
    tcp_server,
    virtual_service,
)
from tests.routing.compile import test_incremental
from tests.routing.compile.test_known_gateways import HTTP, ISTIO, selecting

INFO, WARNING = Severity.INFO, Severity.WARNING


def shown(*problems: Problem) -> list[str]:
    """The messages that are left."""
    return [problem.message for problem in one_for_each_cause(problems)]


class CauseTests(SynchronousTestCase):
    """Problems with a common cause."""

    def test_missing_endpoints(self) -> None:
        """Warnings with one text are one; infos, for which Pods of the input are the reason, are one for each file."""
        a, b = (Problem(WARNING, "MG2022", text, file="f") for text in ("a has none", "b has none"))
        again = Problem(WARNING, "MG2022", "a has none", file="g")
        self.assertEqual(shown(a, b, again), ["a has none; 1 more destination has the same problem", "b has none"])
        of_files = (("f", "a"), ("f", "b"), ("f", "c"), ("g", "d"))
        infos = [Problem(INFO, "MG2022", text, file=file) for file, text in of_files]
        self.assertEqual(shown(*infos), ["a; 2 more destinations have the same problem", "d"])
        self.assertEqual(len(shown(infos[0], a)), 2)

    def test_unknown_hosts(self) -> None:
        """Infos of one host that was not read are one; errors are mended one by one."""
        for severity, count in ((INFO, 1), (Severity.ERROR, 2)):
            problems = [Problem(severity, "MG2020", "x is unknown", line=line) for line in (1, 2)]
            self.assertEqual(len(shown(*problems)), count)

    def test_other_problems(self) -> None:
        """Problems of other codes stay, even where their texts are the same, and keep their order."""
        problems = [Problem(WARNING, code, "x", line=line) for line, code in enumerate(["MG2001", "MG2042", "MG2001"])]
        self.assertEqual(one_for_each_cause(problems), tuple(problems))
        port = problems[1]
        self.assertEqual(shown(port, problems[0], port), ["x; 1 more server has the same problem", "x"])

    def test_a_port_that_is_not_named(self) -> None:
        """That a destination names no port is left out where the port that counts does not exist."""
        unnamed, missing = (Problem(WARNING, code, code, path="spec.tcp[0]") for code in ("MG2047", "MG2021"))
        elsewhere = Problem(WARNING, "MG2047", "elsewhere", path="spec.tcp[1]")
        self.assertEqual(shown(unnamed, missing, elsewhere), ["MG2021", "elsewhere"])

    def test_rules_of_another_kind(self) -> None:
        """A server without fitting rules stands for rules that no other server takes either, and for no others."""
        server = Problem(WARNING, "MG2008", "server", causes=("v at a", "w at a"))
        rule, also = (Problem(WARNING, "MG2052", text, causes=(f"{text} at a",)) for text in ("v", "x"))
        of_two = Problem(WARNING, "MG2052", "two", causes=("v at a", "v at b"))
        port = Problem(WARNING, "MG2052", "port")
        self.assertEqual(shown(server, rule, also, of_two, port), ["server", "x", "two", "port"])
        self.assertEqual(shown(rule), ["v"])


class JudgingTests(SynchronousTestCase):
    """Problems at several gateways."""

    def judged(self, *documents: Document) -> list[str]:
        """The problems: their resource, code and gateway."""
        resources = read(*documents)
        known = known_gateways(resources, ISTIO, any_namespace=True)
        problems = judge(resources, Proxy({}, "", in_cluster=True), known, known)
        return [f"{each.name} {each.code} {each.gateway}".strip() for each in problems]

    def test_each_under_its_own_name(self) -> None:
        """Servers clash at one gateway only; of the other's selector it is an info that nothing has it."""
        public = [selecting("a", istio="ingressgateway"), selecting("b", HTTP, istio="ingressgateway")]
        other = [selecting("c", istio="private"), selecting("d", HTTP, app="istio-private")]
        echo = service("echo", {"port": 80, "name": "tcp"}, selector={"app": "echo"})
        routes = [virtual_service(name, gateways=[name], tcp=[tcp_rule("echo")]) for name in "ac"]
        found = self.judged(*public, *other, *routes, echo, deployment("echo", {"app": "echo"}))
        mark = {"a": "istio-ingressgateway", "b": "istio-ingressgateway", "c": "private", "d": "private"}
        wanted = [("a", "MG2041"), ("b", "MG2003"), ("c", "MG2041"), ("d", "MG2003"), ("a", "MG2022"), ("c", "MG2022")]
        marked = [f"{name} {code} {mark[name]}" for name, code in wanted]
        self.assertEqual(found, [*marked[:2], "c MG2040", *marked[2:]])

    def test_a_gateway_that_two_gateways_take(self) -> None:
        """Its problems come once, without the name of either."""
        labels = {"istio": "ingressgateway"}
        documents = [
            selecting("gw"),
            selecting("inner", tcp_server(81), istio="private"),
            selecting("outer", tcp_server(443), **labels),
            virtual_service("v", gateways=["inner", "outer"], tcp=[tcp_rule("nowhere")]),
        ]
        self.assertEqual(self.judged(*documents), ["gw MG2008", "inner MG2040", "v MG2020"])

    def test_what_only_one_of_them_finds(self) -> None:
        """A subset, or a rule, that one of two gateways does not find is reported under that gateway's name alone."""
        policy: Document = {"trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}}}
        public = selecting("public", tcp_server(80), istio="ingressgateway")
        private = selecting("private", tcp_server(80), app="edge")
        for subset, want in (
            ("v1", ["v MG2043 istio-ingressgateway"]),
            ("", ["d MG2079 istio-ingressgateway"]),
        ):
            found = self.judged(
                public,
                private,
                deployment("edge", {"app": "edge"}, namespace="default"),
                virtual_service(
                    "v",
                    ["*"],
                    ["public", "private"],
                    tcp=[{"route": [target("x.shop.svc.cluster.local", 80, subset=subset)]}],
                ),
                service("x", {"port": 80, "name": "tcp"}, namespace="shop"),
                destination_rule("d", "x.shop.svc.cluster.local", {"name": "v1"}, **policy),
            )
            self.assertEqual([each for each in found if "MG2043" in each or "MG2079" in each], want)

    def test_selectors_that_nothing_else_has(self) -> None:
        """One info for each gateway that nothing but selectors shows, with a hint if a label was mixed up."""
        for selector, want in [
            ({"istio": "internal"}, "a selector has labels of the gateway's pod"),
            ({"app": "ingressgateway"}, "did you mean istio: ingressgateway?"),
            ({"Istio": "ingressgateway"}, "did you mean istio: ingressgateway?"),
            ({"istio": "istio-ingressgateway"}, "did you mean app: istio-ingressgateway?"),
            ({"istio": "egressgateway"}, None),
            ({}, None),
        ]:
            resources = read(selecting("a", **selector), selecting("b", tcp_server(443), **selector))
            known = known_gateways(resources, ISTIO, any_namespace=True)
            problems = judge(resources, Proxy({}, "", in_cluster=True), known, known)
            found = [each.hint for each in problems if each.code == "MG2040"]
            self.assertEqual(found, [want] if want else [], selector)

    def test_names_in_several_namespaces(self) -> None:
        """Gateways that share a name are told apart by their namespaces."""
        own = [deployment("edge", {"app": f"edge-{name}"}, namespace=name) for name in "ab"]
        gateways = [selecting(name, app=f"edge-{name}") for name in "ab"]
        self.assertEqual(self.judged(*own, *gateways), ["a MG2008 a/edge", "b MG2008 b/edge"])

    def test_others_of_a_proxy(self) -> None:
        """A gateway knows the others by name."""
        known = known_gateways(read(selecting("e", istio="egressgateway")), ISTIO, any_namespace=True)
        proxy = proxy_of(ISTIO, Proxy({}, "", extended=True), known)
        self.assertEqual([each.name for each in proxy.others], ["istio-egressgateway"])
        self.assertEqual((proxy.labels, proxy.namespace, proxy.extended), (ISTIO_LABELS, "istio-system", True))


@st.composite
def selecting_gateways(draw: st.DrawFn) -> Document:
    """A Gateway for one of several gateways, or for any."""
    made = draw(test_incremental.gateways())
    made["spec"]["selector"] = draw(st.sampled_from([{}, {"istio": "ig"}, {"app": "a"}, {"app": "b"}, {"app": "none"}]))
    return made


DOCUMENTS = st.lists(
    st.one_of(selecting_gateways(), test_incremental.routes(), test_incremental.others()), min_size=2, max_size=10
)


class EveryGatewayTests(SynchronousTestCase):
    """The problems at several gateways, for which no compilation does what others do."""

    @given(DOCUMENTS)
    @settings(max_examples=100, deadline=None)
    def test_as_if_each_was_compiled_in_full(self, documents: list[Document]) -> None:
        """What is left out for a gateway is what another gateway judges."""
        own = [deployment(name, {"app": name}, namespace="istio-system") for name in "ab"]
        reading = read_text("\n---\n".join(json.dumps(one) for one in (*documents, *own)), "routes.yaml")
        resources, refused = latest(reading.resources)[0], reading.refused
        known = known_gateways([*resources, *refused], ISTIO, any_namespace=False)

        def problems() -> tuple[Problem, ...]:
            return judge(resources, Proxy({}, "", in_cluster=True), known, known, refused)

        found = problems()
        with mock.patch.object(shown_problems, "Compiler", lambda proxy, *_: Compiler(proxy)):
            self.assertEqual(found, problems())
