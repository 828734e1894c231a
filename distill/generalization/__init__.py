"""The law against its network on data unlike the training data."""
