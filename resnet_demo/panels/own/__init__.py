"""Own: try it on your own."""
