"""Replies: plain data in the shapes of OpenAI, vLLM and SGLang, and our own"""
