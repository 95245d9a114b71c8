"""Train and evaluate; nothing on the page's path imports it."""
