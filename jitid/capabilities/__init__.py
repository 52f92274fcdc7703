"""What jitid can do, a folder each: operations, the work behind them, and their SQL."""
