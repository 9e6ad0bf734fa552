"""What differs in the working copy becomes a commit that is exactly what git would have made."""
