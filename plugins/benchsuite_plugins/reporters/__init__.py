"""Built-in reporters, one a file."""
