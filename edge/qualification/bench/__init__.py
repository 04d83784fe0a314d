"""Times of the whole loop, cold and hot, and a budget from them."""
