"""ResNet Demo: what every residual block of a network did to one photo."""
