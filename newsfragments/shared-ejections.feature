Workers count the failures of ``outlierDetection`` together, so that an endpoint is left out after as many failures as the policy says, by all workers at once.
