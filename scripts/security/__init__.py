"""`make security`: look for holes, and write down what was found in docs/security.md (S14)."""
