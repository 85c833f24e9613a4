"""Figures about the package, printed as tables; never part of the tests."""
