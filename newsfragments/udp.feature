A Gateway's server for UDP gets a warning (``MG1010``): Istio opens a TCP port for it, and so does meshgate.
