"""Networks in torch, and published weights for them. They know nothing of how they are trained or used."""
