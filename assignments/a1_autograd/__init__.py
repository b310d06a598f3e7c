"""Assignment 1: automatic differentiation, from one ReLU to a network that reads digits. Begin with README.md."""
