"""Fakes, clocks, traffic, simulation, contract suites. Production never imports it."""
