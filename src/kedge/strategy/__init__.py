"""Signal -> target position -> execution plan. A strategy sees a view and returns targets; it holds no state."""
