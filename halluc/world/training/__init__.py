"""Train the embedded models on drawn scenes; nothing here is imported to evaluate."""
