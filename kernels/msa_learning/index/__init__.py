"""The index branch: its weights and file format, its initialisation, its training signals."""
