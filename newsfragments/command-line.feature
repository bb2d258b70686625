``meshgate explain-field`` takes the short names of kinds (``gw``, ``vs``, ``dr``, ``se``, ``we`` …), and says which kinds
and fields are not served. All commands have ``--color``, and follow ``NO_COLOR``. ``meshgate check`` of a folder with a
settings file in it names the command that takes the settings.
