DestinationRules are read, every field of them, and held against all of Istio's rules.
