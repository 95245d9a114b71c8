"""How it arrives: one kind of input a file, from untrusted bytes to pixels."""
