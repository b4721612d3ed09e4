"""What arrived: the one event shape, how bytes become it, and why they may not."""
