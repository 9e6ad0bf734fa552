"""What comes from others reaches the working copy, the index and the branch, and no edit is lost."""
