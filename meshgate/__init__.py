"""
meshgate: an L4 ingress gateway that reads Istio's YAML, without Istio and without a cluster.

The folders below are layers; each imports only from itself and from those named before it:
``wire``, ``resources``, ``routing``, ``processes``, ``providers``, ``transport``, ``proxy``, ``workers``, ``lab``.
"""

__version__ = "0.1.0"
