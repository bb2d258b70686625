Plug in route providers of your own; 'examples/meshgate-inventory' is one to copy.
