"""Cut: what if a part were missing?"""
