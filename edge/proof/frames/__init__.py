"""Representative frames: for each rule the least that matches, and just less."""
