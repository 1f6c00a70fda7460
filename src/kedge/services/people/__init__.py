"""People: their accounts, sessions, tokens and approvals, and the journal of what they did."""
