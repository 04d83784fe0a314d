"""A camera's intrinsics from pictures of a chessboard."""
