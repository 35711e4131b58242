"""Wallets and their transactions: the only part of the program that moves money."""

from app.domain.ledger import orm_guard

orm_guard.install()
