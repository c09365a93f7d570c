"""What belongs to an image itself: its small picture or why there is none, and what is known of its contents."""
