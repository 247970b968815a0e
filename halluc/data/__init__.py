"""Data on this machine and on hubs: records, COCO's objects, pinned files, parts to tune on."""
