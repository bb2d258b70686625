A ``Containerfile`` builds an image without a compiler, for a user who is not root and a root file system that is read-only.
