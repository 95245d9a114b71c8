"""Look: what does each block do?"""
