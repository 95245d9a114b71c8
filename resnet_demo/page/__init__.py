"""The page around the panels: layout, events, address, server."""
