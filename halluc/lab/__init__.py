"""The laboratory: controlled experiments on drawn scenes, which photographs cannot give."""
