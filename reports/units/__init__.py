"""One unit: its card, what its label predicts of the images, and both as a page."""
