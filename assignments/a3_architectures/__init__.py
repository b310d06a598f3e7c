"""Assignment 3, Architectures: small filters, Inception modules, residual blocks, published weights."""
