Follow files and folders of routes live, and keep the last good version of whatever breaks.
