"""``python -m meshgate.workers NUMBER``: a worker process. Started by the gateway only."""

import sys

# A worker terminates no TLS. Twisted, which loads OpenSSL wherever it can, works without it, in 6 MiB less.
sys.modules["OpenSSL"] = None  # type: ignore[assignment]

from meshgate.workers.worker import main  # noqa: E402 - it imports Twisted

main()
