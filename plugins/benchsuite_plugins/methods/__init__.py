"""Built-in methods, one a file."""
