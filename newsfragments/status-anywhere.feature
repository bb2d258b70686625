``meshgate status`` finds ``./meshgate.yaml``, takes ``--state-dir``, and works beside broken settings.
