Serve in several processes: 'workers: N' or 'workers: auto'. A worker that dies is replaced without losing a connection that waits, and a change is reported live once every worker has it.
