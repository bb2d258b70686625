Rules for HTTP that are never reached are told, as those for TLS and TCP are.
