"""Addresses that providers call, in the providers' own form."""
