Where meshgate is compiled, a line of the JSON access log costs as little as one of the text log: 0.4 µs in place of 4.7.
