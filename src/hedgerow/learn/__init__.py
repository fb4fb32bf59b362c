"""Learning, in torch.

Nothing is imported here: `hedgerow.backbones.hub` reads `networks`, and must not meet the rest on the way.
"""
