"""One file for each format of labels; `table.py` lists them. None of them opens a picture."""
