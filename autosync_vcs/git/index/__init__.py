"""git's index: prepared beside, changed in place, locked, and finished after a kill."""
