"""The demonstration workloads of the lab (TCP echo, HTTPS) and the certificates they serve."""
