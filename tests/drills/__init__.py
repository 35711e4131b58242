"""Drills: the product on servers of its own that are killed, for minutes or hours. `make drill` lists them."""
