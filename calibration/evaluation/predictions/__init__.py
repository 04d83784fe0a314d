"""What each network says of each frame."""
