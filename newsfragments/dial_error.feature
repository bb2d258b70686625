The access log has a column ``dial_error``: why dials failed, by the name of the system's error.
