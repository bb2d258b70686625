An unknown host of a destination (``MG2020``) gets a hint that fits: ``db.data`` that means ``db.data.svc.cluster.local``,
a Pod of a Service, or a host that only a wildcard of a ServiceEntry has.
