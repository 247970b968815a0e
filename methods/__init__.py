"""One file a method; `halluc list methods` shows them."""
