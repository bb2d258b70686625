Near endpoints are preferred, as by Istio's gateway: ``localityLbSetting`` with ``distribute``, ``failover`` and
``failoverPriority``, the default with ``outlierDetection``, ``trafficDistribution`` of Services and
``internalTrafficPolicy: Local``. ``gateway.locality`` and ``gateway.node`` of the settings say where the gateway is.
