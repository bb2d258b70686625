Tell what Istio's analyzers tell, and more, in 'meshgate check', the log and the status: hosts, subsets, Secrets and Gateways that do not exist, and resources that contradict each other.
