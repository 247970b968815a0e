"""A method and a benchmark that halluc finds by their entry points."""
