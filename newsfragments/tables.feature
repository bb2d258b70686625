Tables are never folded inside a word, and ``meshgate routes`` shows the code of the problem where a route has no endpoint.
