"""An example of a route provider for meshgate: routes from a JSON inventory of hosts."""
