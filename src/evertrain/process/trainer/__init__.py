"""The processes that make versions and judge them."""
