"""Route providers: the plug-in interfaces, the feed of snapshots, and the built-in providers."""
