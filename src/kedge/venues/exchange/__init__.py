"""The simulated exchange as a Bybit v5 server: HTTP and three WebSockets over `simulation.venue`."""
