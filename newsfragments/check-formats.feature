Read more from 'meshgate check': '--fail-on warning' is stricter, '--format github' annotates pull requests, and '--format sarif' feeds code scanning.
