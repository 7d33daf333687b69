"""Forward migrations of the ledger database, run by `store.migration`."""
