"""The authority over HTTP: the same operations, for whoever proves who they are."""
