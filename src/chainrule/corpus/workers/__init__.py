"""Workers, which score parts: one in this process, processes on this machine, or actors on a Ray cluster"""
