"""`bench fetch`: data, lists and weights that experiments need, from where they are published."""
