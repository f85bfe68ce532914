"""Which factors there are: a set of sequences as a prefix forest, laid out in preorder and cut into chunks. NumPy only."""

from chainrule.forest.chunks import Chunk, chunks
from chainrule.forest.forest import Forest
from chainrule.forest.windows import Window, windows

__all__ = ["Chunk", "Forest", "Window", "chunks", "windows"]
