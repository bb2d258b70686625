Who may connect can be limited: by the source address, for the whole gateway (`access` in the settings) and for each
Gateway (annotations `meshgate.io/allow` and `meshgate.io/deny`), and by the rate of new connections of a client and of a
listener (`limits.client_rate`, `limits.listener_rate`), over all workers. Each can be tried as a dry run, and
`meshgate explain --from ADDRESS` says why a client is admitted or refused.
