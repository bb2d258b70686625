The data path can be compiled: `MESHGATE_COMPILE=1 pip install`, a quarter less processor time for a connection under full load.
