"""Of several replicas: which account is worked by which, and what this process holds. Nothing here runs a pass."""
