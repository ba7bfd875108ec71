"""TransferNet (Hong et al., CVPR 2016)."""
