"""The `halluc` command: one file a group of commands; they parse, call and print."""
