"""Deployments and Services for the tests of the lab's pods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

NAMESPACE = "istioinaction"
FIELDS = {
    "NODE_NAME": "spec.nodeName",
    "POD_NAME": "metadata.name",
    "POD_NAMESPACE": "metadata.namespace",
    "POD_IP": "status.podIP",
    "SERVICE_ACCOUNT": "spec.serviceAccountName",
}


def echo_container(port: int) -> dict[str, Any]:
    """A container of the echo image."""
    fields = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in FIELDS.items()]
    return {
        "name": "echo",
        "image": "cjimti/go-echo:latest",
        "env": [{"name": "TCP_PORT", "value": str(port)}, *fields],
        "ports": [{"name": "tcp", "containerPort": port}],
    }


def tls_container(port: int, volume: str = "certs") -> dict[str, Any]:
    """A container of the HTTPS image, with its certificate from a volume."""
    values = {
        "LISTEN_ADDR": f"0.0.0.0:{port}",
        "NAME": "simple",
        "MESSAGE": "Hello!",
        "TLS_CERT_LOCATION": "/etc/certs/tls.crt",
        "TLS_KEY_LOCATION": "/etc/certs/tls.key",
    }
    return {
        "name": "tls",
        "image": "docker.io/nicholasjackson/fake-service:v0.14.1",
        "env": [{"name": name, "value": value} for name, value in values.items()],
        "volumeMounts": [{"name": volume, "mountPath": "/etc/certs"}],
    }


def deployment(
    container: dict[str, Any], name: str = "echo", replicas: int = 1, volumes: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """A Deployment of one container."""
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container], "volumes": list(volumes)}},
        },
    }


def service(name: str = "echo", **port: Any) -> dict[str, Any]:
    """A Service that selects the Pods of a Deployment."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"selector": {"app": name}, "ports": [{"name": "tcp", "port": 7, **port}]},
    }
