"""The contrastive loss, and pixel weights for the reconstruction loss."""
