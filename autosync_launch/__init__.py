"""autosync: starts the pipeline, watches over it, and answers for it."""
