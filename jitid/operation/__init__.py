"""Operations: their base class, and the context in which they are performed."""
