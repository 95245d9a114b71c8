"""How it looks: arrays and records to pictures and HTML."""
