from meshgate.transport.lean.events import Events as Events
