"""The built-in plugins, which come in by exactly the door that a stranger's package uses."""
