One VirtualService may have thousands of rules or names without holding up connections when it changes: what it asks is compiled in steps of a few milliseconds, and so is letting go of it.
