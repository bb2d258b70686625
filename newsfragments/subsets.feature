Route to the subsets of DestinationRules, and follow exportTo of Services, ServiceEntries and DestinationRules.
