"""The hub: fetch, push, git's protocol for both, and what a refusal means."""
