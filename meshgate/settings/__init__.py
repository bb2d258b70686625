"""The settings of the gateway: their models, their file, and their reference."""
