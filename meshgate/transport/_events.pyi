from meshgate.transport.events import Events as Events
