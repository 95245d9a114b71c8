"""Explain: why this answer?"""
