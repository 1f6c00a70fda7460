"""What proves who somebody is: passwords, one-time codes, passkeys, and the text of tokens and codes. Knows no person and keeps nothing."""
