"""How the product itself is: its alerts, what it answered how fast, and what it reaches outside (Z11, Z14, U10)."""
