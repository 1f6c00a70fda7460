"""The Bybit v5 client: signing, limits, REST, three sockets, and the venue port made of them."""
