"""The systems: networks, losses, updates and steps of inference."""
