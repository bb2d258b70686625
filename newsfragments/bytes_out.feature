For connections that did not end as ``ok``, ``bytes_out`` in the access log is what the client's side has acknowledged.
