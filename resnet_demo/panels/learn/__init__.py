"""Learn: why do shortcuts matter?"""
