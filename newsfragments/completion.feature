An installation brings man pages, and the completion of commands, options and fields for bash, zsh and fish.
