"""Small networks that are trained while somebody watches: with shortcuts and without, side by side."""
