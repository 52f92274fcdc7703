"""Operations on existing credentials and tasks: list, show, revoke, share, give, retire."""
