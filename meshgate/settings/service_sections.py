"""The sections of the settings file about what runs beside the data path: the lab, the API and the metrics."""

from __future__ import annotations

from typing import Annotated

from meshgate.resources.model import Items, ValueForm
from meshgate.settings.section import (
    Address,
    DnsName,
    Name,
    PathText,
    Port,
    Section,
    Text,
    key,
)


class EchoSettings(Section):
    """A TCP echo service. Except for its port and address, the keys are texts of its greeting."""

    port: Port = key("The TCP port that the service listens on.")
    bind: Address = key("The IP address that the service listens on.", "127.0.0.1")
    node: Text = key("The node named in the greeting.", "minikube")
    pod: Text = key("The pod named in the greeting.", "tcp-echo-5b8d7c9f64-x7k2m")
    namespace: Text = key("The namespace named in the greeting.", "default")
    address: Text = key("The IP address named in the greeting.", "127.0.0.1")
    service: Text = key("The service account named in the greeting.", "default")


class HttpsSettings(Section):
    """An HTTPS service with a certificate of its own, which answers with JSON."""

    name: Name = key("The name that the service gives itself in its answers, and its certificate's files have.")
    hosts: Annotated[Items[DnsName], ValueForm("List of DNS names")] = key(
        "The host names that its certificate is made for.", min_length=1
    )
    port: Port = key("The TCP port that the service listens on.")
    bind: Address = key("The IP address that the service listens on.", "127.0.0.1")
    message: Text = key(
        "The body of its answers; an empty one is Hello from NAME!!!, with the name of the service.", ""
    )


class LabSettings(Section):
    """The demonstration services."""

    certificates: PathText = key(
        "The folder of the certificates that the lab makes for itself, relative to state_dir.", "certificates"
    )
    echo: Items[EchoSettings] = key("TCP echo services, each of which greets its clients.", ())
    https: Items[HttpsSettings] = key("HTTPS services, each of which answers in JSON.", ())


class ServicePortSettings(Section):
    """A port of the Service of the gateway, as the API shows it."""

    name: Name = key("The name of the port.")
    port: Port = key("The number of the port, on which the gateway itself listens, too.")
    node_port: Annotated[int, ValueForm("Number")] = key(
        "The port of each node that a cluster would have for it; 0 means none.", 0, ge=0, le=65535
    )


class ApiSettings(Section):
    """The configuration API, which kubectl and other clients of Kubernetes' API speak."""

    bind: Address = key("The IP address that the API listens on.", "127.0.0.1")
    port: Port = key("The TCP port that the API listens on, with TLS unless http says otherwise.", 18443)
    names: Annotated[Items[Text], ValueForm("List of names and addresses")] = key(
        "Further names and IP addresses by which clients reach the API, for its certificate and the check of Host "
        "headers; bind, localhost and the loopback addresses are always among them.",
        (),
    )
    http: Annotated[bool, ValueForm("true or false")] = key(
        "Speak plain HTTP without credentials instead of HTTPS: every user of this machine may read everything but "
        "Secrets and the history. Only with a loopback address as bind.",
        False,
    )
    http_writes: Annotated[bool, ValueForm("true or false")] = key(
        "With http: every user of this machine may also change everything, and read Secrets.", False
    )
    pods: Annotated[bool, ValueForm("true or false")] = key(
        "Run the pods of Deployments whose image the lab has, as services of this process on loopback addresses.", False
    )
    namespaces: Annotated[Items[Name], ValueForm("List of names")] = key(
        "Namespaces that exist from the start, besides default_namespace and the gateway's own.", ()
    )
    service_ports: Items[ServicePortSettings] = key(
        "Ports of the Service istio-ingressgateway, as kubectl shows it, besides the stock ones: status-port 15021, "
        "http2 80, https 443, tcp 31400 and tls 15443.",
        (),
    )


class MetricsSettings(Section):
    """Metrics for Prometheus, and the paths by which a load balancer or Kubernetes asks if the gateway is ready."""

    bind: Address = key(
        "The IP address of /metrics, /livez and /readyz, in plain HTTP without credentials.", "127.0.0.1"
    )
    port: Port = key("Their TCP port.", 15090)
