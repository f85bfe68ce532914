"""The factors of a set of sequences: a prefix forest in preorder, cut into chunks. NumPy only."""

from chainrule.forest.chunks import Chunk, chunks
from chainrule.forest.forest import Forest
from chainrule.forest.windows import Window, windows

__all__ = ["Chunk", "Forest", "Window", "chunks", "windows"]
