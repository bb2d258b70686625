The program's own log is no longer renamed at 1 MB behind logrotate's back; ``log: {rotate: 10MiB, keep: 5}`` has the gateway rotate it itself.
