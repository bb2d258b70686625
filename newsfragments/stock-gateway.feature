The gateway has the labels of Istio's own by default, ``app: istio-ingressgateway`` and ``istio: ingressgateway``; the
Services, Deployments and Pods of the input show more. ``meshgate check`` judges every gateway that the input shows (public,
private, egress), each problem with its gateway; ``--gateway NAME`` chooses one. A selector of another gateway is no longer
taken for a misspelled one, and ``MG2042`` names the ports of the input's own Service.
