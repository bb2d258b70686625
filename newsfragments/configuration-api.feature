With a section `api` in the settings, meshgate answers Kubernetes' API for the kinds that it reads: kubectl applies, lists, watches and deletes routes without a cluster.
