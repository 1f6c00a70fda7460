"""The brake's rules, pure: what breaches, how a flattening goes on, when the account counts as flat, and when a trader counts as dead."""
