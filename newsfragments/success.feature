The log says success, too, each once: at the start version, settings file, workers, transport, whether the data path is
compiled, and the ports; for each generation, in one line, what became different for connections; a repaired file, a port
bound at last, a provider, a name or a worker that has recovered.
