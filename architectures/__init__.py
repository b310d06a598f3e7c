"""The networks of the lecture "CNN Architectures", one paper a file: `from architectures.lenet import lenet5`."""
