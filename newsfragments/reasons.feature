The log says why an endpoint is tried last or left out: the error of the dial, that it does not answer, or that it closes at once.
