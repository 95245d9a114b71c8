"""Commands beside the page; nothing on the page's path imports them."""
