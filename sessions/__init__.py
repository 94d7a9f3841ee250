"""What happened: sessions, threads, events; and the turns that make it happen."""
