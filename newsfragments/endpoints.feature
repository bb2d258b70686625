``Endpoints`` are read: those that people write for a Service without a selector, with the name of that Service.
