"""What is measured: one question a file, named as in the papers."""
