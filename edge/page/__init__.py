"""What a run hears -> a page in the browser: a process of its own serves it, and the loop only sends messages."""
