"""Data on this machine and on the hub: records, COCO, pinned files, selections of samples."""
