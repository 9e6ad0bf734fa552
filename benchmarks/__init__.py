"""Measures autosync against plain git in the same run on the same machine: ``make bench``."""
