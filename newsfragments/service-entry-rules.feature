ServiceEntries and WorkloadEntries are held against all of Istio's rules, down to the addresses and ports of each endpoint.
