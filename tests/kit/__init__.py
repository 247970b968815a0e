"""What tests share: tiny models of every family, stand-in runs, a fake endpoint."""
