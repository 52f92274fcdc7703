"""Who may use an authority, and how callers prove who they are."""
