"""The server: an HTTP interface to language models, for clients of OpenAI, vLLM, SGLang and llama.cpp, and our own"""

from chainrule.errors import InputError, require

require("serve", "chainrule.serving", InputError)

from chainrule.serving.app import create_app  # noqa: E402
from chainrule.serving.limits import Limits  # noqa: E402

__all__ = ["Limits", "create_app"]
