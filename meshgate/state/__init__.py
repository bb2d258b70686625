"""The state folder: who holds it, and the files that tell what the gateway has in force."""
