The data path can be compiled: `MESHGATE_COMPILE=1 pip install`, a third less processor time for a connection.
