"""The configuration API: Kubernetes' HTTP API for the kinds that meshgate reads, with a store of its own."""
