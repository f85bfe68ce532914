"""The server: an HTTP interface to language models, for clients of OpenAI, vLLM, SGLang and llama.cpp, and our own"""
