"""The sample pictures, one module each; `make_pictures.py` beside this folder is the command."""
