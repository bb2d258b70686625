"""``python -m meshgate.workers NUMBER``: a worker process. Started by the gateway only."""

from meshgate.workers.worker import main

main()
