"""The demonstration: two hosts, a hub and a messenger, all private, seen at work."""
