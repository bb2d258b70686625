A connection waits less while one of thousands of routes changes: rules are exchanged one by one, and no step of the compiler takes more than a few milliseconds.
