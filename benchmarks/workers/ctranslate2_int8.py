"""CTranslate2 with weights of 8 bits, and activations rounded to 8 bits: faster, but another model."""

from workers.ctranslate2 import CTranslate2
from workers.protocol import serve


class CTranslate2Int8(CTranslate2):
    quantization = "int8"


if __name__ == "__main__":
    serve(CTranslate2Int8)
