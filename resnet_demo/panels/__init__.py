"""The panels of the page: one stem a panel."""
